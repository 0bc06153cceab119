"""LLMEDT on a made-up catalogue: both phases against slow, literal re-computations."""

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_edt.config import EDTConfig
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.errors import UserError
from recbole_edt.model.llmedt import DOMAIN, LLMEDT, SHARED

N_ITEMS, MAX = 23, 8


class Catalogue:
    """What the model reads of a dataset: item vectors, domains, counts."""

    def __init__(self, n_domains=3):
        rng = np.random.default_rng(4)
        self.domains = [f"d{k}" for k in range(n_domains)]
        self.item_domain = torch.from_numpy(
            np.r_[-1, rng.permutation(np.arange(N_ITEMS - 1) % n_domains)]
        )
        self.vectors = rng.normal(size=(N_ITEMS, 12)).astype(np.float32)
        self.vectors[0] = 0

    def num(self, field):
        return N_ITEMS

    def item_vectors(self):
        return self.vectors

    def item_counts(self):
        return np.arange(N_ITEMS)

    def seen_items(self):
        return np.ones(N_ITEMS, dtype=bool)


def build(n_domains=3, **keys):
    keys = {
        "hidden_size": 8,
        "inner_size": 16,
        "adapter_size": 4,
        "MAX_ITEM_LIST_LENGTH": MAX,
        **keys,
    }
    torch.manual_seed(0)
    config = EDTConfig("LLMEDT", "none", overrides=keys)
    config["device"] = torch.device("cpu")
    return LLMEDT(config, Catalogue(n_domains))


def windows(model, rows=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sequence = torch.randint(1, N_ITEMS, (rows, MAX + 1), generator=generator)
    lengths = torch.randint(2, MAX + 1, (rows,), generator=generator)
    inside = torch.arange(MAX) < lengths[:, None]
    return Interaction({ITEMS: sequence[:, :-1] * inside, LABELS: sequence[:, 1:] * inside})


def labels_of(batch):
    """Yield every label with the items before it."""
    for inputs, labels in zip(batch[ITEMS].tolist(), batch[LABELS].tolist(), strict=True):
        yield from ((inputs[: t + 1], label) for t, label in enumerate(labels) if label)


def histories(batch):
    lengths = (batch[ITEMS] > 0).sum(1)
    return Interaction({"item_id_list": batch[ITEMS], "item_length": lengths})


def train_threads(model, batch, steps=5):
    model.begin_phase(DOMAIN)
    model.train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        model.calculate_loss(batch).backward()
        optimizer.step()
    model.eval()


def literal_state(model, items, domain):
    """Return h_T + h'^k_T of one history, item by item, without batching or padding."""
    vectors = model.items()[0].detach() * model.input_scale
    ids = torch.tensor(items)
    state = model.backbone(vectors[ids][None], model.positions)[0, -1]
    own = ids[model.item_domain[ids] == domain]
    if model.phase == DOMAIN and len(own):
        thread = model.threads[domain]
        hidden = model.backbone(vectors[own][None], thread.positions)[0, -1]
        state = state + thread.weight * hidden + thread.up(torch.relu(thread.down(hidden)))
    return state


@pytest.mark.parametrize("n_domains", [2, 3, 5])
@pytest.mark.parametrize("phase", [SHARED, DOMAIN])
def test_scores_are_those_of_the_definition(n_domains, phase):
    model = build(n_domains)
    batch = windows(model)
    if phase == DOMAIN:
        train_threads(model, batch)
    model.eval()
    scores = model.full_sort_predict(histories(batch)).detach()
    vectors, bias = (t.detach() for t in model.items())
    for row, sequence in enumerate(batch[ITEMS]):
        items = sequence[sequence > 0].tolist()
        for item in range(1, N_ITEMS):
            state = literal_state(model, items, int(model.item_domain[item]))
            expected = (state @ vectors[item] + bias[item]).item()
            assert float(scores[row, item]) == pytest.approx(expected, abs=1e-4)


def test_predict_is_one_column_of_the_full_ranking():
    model = build()
    batch = windows(model)
    train_threads(model, batch)
    inputs = histories(batch)
    inputs.update(Interaction({"item_id": torch.tensor([1, 5, 9, 13, 17, 22])}))
    scores = model.full_sort_predict(inputs)
    picked = scores[torch.arange(6), inputs["item_id"]]
    torch.testing.assert_close(model.predict(inputs), picked)


@pytest.mark.parametrize("phase", [SHARED, DOMAIN])
def test_cross_entropy_ranks_each_label_within_its_own_domain(phase):
    model = build(hidden_dropout_prob=0.0, attn_dropout_prob=0.0, adapter_dropout=0.0)
    batch = windows(model)
    if phase == DOMAIN:
        train_threads(model, batch)
    model.eval()
    total, count = 0.0, 0
    vectors, bias = (t.detach() for t in model.items())
    for history, label in labels_of(batch):
        domain = int(model.item_domain[label])
        rivals = (model.item_domain == domain).nonzero().flatten()
        state = literal_state(model, history, domain).detach()
        log = torch.log_softmax(vectors[rivals] @ state + bias[rivals], dim=0)
        total -= float(log[rivals == label])
        count += 1
    assert model.calculate_loss(batch).item() == pytest.approx(total / count, rel=1e-4)


def test_loaded_weights_and_trained_ones_are_what_scores_are_made_of():
    model, other = build().eval(), build(state_scale=0.9)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    inputs, weights = histories(windows(model)), other.state_dict()
    expected, before = other.eval().full_sort_predict(inputs), model.full_sort_predict(inputs)
    model.load_state_dict(weights)
    torch.testing.assert_close(model.full_sort_predict(inputs), expected)
    assert not torch.allclose(before[:, 1:], expected[:, 1:])


def test_the_domain_phase_starts_at_no_change():
    model = build().eval()
    inputs = histories(windows(model))
    before = model.full_sort_predict(inputs)
    model.begin_phase(DOMAIN)
    torch.testing.assert_close(model.full_sort_predict(inputs), before, rtol=0, atol=0)


def test_the_domain_phase_trains_the_threads_and_nothing_else():
    model = build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train_threads(model, windows(model), steps=3)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("threads.") for name in changed)
    # the threads' position vectors learn: in the release they keep their random start [code]
    assert {f"threads.{k}.positions" for k in range(3)} <= changed
    # and so does the weight of the domain state, which starts at nothing
    assert {f"threads.{k}.weight" for k in range(3)} <= changed


def test_the_domain_phase_goes_on_from_the_shared_positions():
    model = build()
    with torch.no_grad():
        model.positions.normal_()
    model.begin_phase(DOMAIN)
    for thread in model.threads:
        assert torch.equal(thread.positions, model.positions)
        assert thread.positions is not model.positions


def states_in_training(residual_weight, **keys):
    """Return the domain states of a model in training, and in evaluation."""
    model = build(n_heads=2, **keys)
    model.begin_phase(DOMAIN)
    for thread in model.threads:
        thread.weight.data.fill_(residual_weight)
        torch.nn.init.normal_(thread.up.weight)
    ids = windows(model)[ITEMS]
    items = model.eval().whole_table()[0][ids]
    still = torch.stack(model.domain_states(items, ids))
    model.train()
    moving = torch.stack(model.domain_states(items, ids))
    assert not model.backbone.training  # whatever comes next finds it frozen
    return moving, still


OFF = {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "adapter_dropout": 0.0}


def test_the_frozen_backbone_drops_nothing_in_the_domain_phase():
    moving, still = states_in_training(1.0, **OFF | {"hidden_dropout_prob": 0.5})
    assert torch.equal(moving, still)


def test_domain_dropout_is_of_the_threads_and_not_of_the_shared_state():
    keys = OFF | {"hidden_dropout_prob": 0.5, "domain_dropout": True}
    moving, still = states_in_training(1.0, **keys)
    assert not torch.equal(moving, still)
    model = build(n_heads=2, **keys)  # threads that add nothing leave the shared state alone
    model.begin_phase(DOMAIN)
    ids = windows(model)[ITEMS]
    items = model.whole_table()[0][ids]
    shared = model.eval().shared_state(items)
    for state in model.train().domain_states(items, ids):
        assert torch.equal(state, shared)


def test_the_adapter_has_a_dropout_of_its_own():
    moving, still = states_in_training(1.0, **OFF | {"adapter_dropout": 0.5})
    assert not torch.equal(moving, still)
    moving, still = states_in_training(1.0, **OFF)
    assert torch.equal(moving, still)


def test_a_thread_learns_from_the_labels_of_its_own_domain_only():
    model = build()
    batch = windows(model)
    only = model.item_domain[batch[LABELS]] == 1
    batch.update(Interaction({LABELS: batch[LABELS] * only}))
    model.begin_phase(DOMAIN)
    for thread in model.threads:  # away from zero, where half of the gradients vanish
        torch.nn.init.normal_(thread.up.weight)
    model.calculate_loss(batch).backward()
    moved = [
        any(p.grad is not None and p.grad.any() for p in t.parameters()) for t in model.threads
    ]
    assert moved == [False, True, False]


@pytest.mark.parametrize("loss_type", ["CE", "SS", "BCE"])
@pytest.mark.parametrize("scope", ["target_domain", "all"])
def test_every_loss_reaches_every_shared_parameter(loss_type, scope):
    model = build(loss_type=loss_type, loss_scope=scope, num_negatives=6)
    model.train()
    model.calculate_loss(windows(model)).backward()
    without = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert without == set()


@pytest.mark.parametrize("scope", ["target_domain", "all"])
@pytest.mark.parametrize("loss_type", ["CE", "SS", "BCE"])
@pytest.mark.parametrize("compete", [False, True])
def test_items_that_nobody_had_compete_only_when_asked_to(loss_type, scope, compete, monkeypatch):
    unseen = 7
    monkeypatch.setattr(Catalogue, "seen_items", lambda self: np.arange(N_ITEMS) != unseen)
    keys = {"loss_type": loss_type, "loss_scope": scope, "num_negatives": 200}
    model = build(unseen_negatives=compete, **keys)
    batch = windows(model, rows=60)
    for field in (ITEMS, LABELS):
        batch.update(Interaction({field: batch[field].where(batch[field] != unseen, 1)}))
    model.calculate_loss(batch).backward()
    assert (model.items.bias.grad[unseen] != 0) == compete
    assert model.items.bias.grad[1] != 0


@pytest.mark.parametrize("phase", [SHARED, DOMAIN])
def test_the_sampled_softmax_corrects_for_what_was_drawn_and_leaves_the_label_out(
    phase, monkeypatch
):
    model = build(2, loss_type="SS", num_negatives=15)  # of 11 items a domain, some twice
    batch = windows(model)
    if phase == DOMAIN:
        train_threads(model, batch)
    model.eval()
    monkeypatch.setattr(torch, "randint", lambda high, size, **_: torch.arange(*size) % high)
    total, count = 0.0, 0
    vectors, bias = (t.detach() for t in model.items())
    for history, label in labels_of(batch):
        domain = int(model.item_domain[label])
        members = (model.item_domain == domain).nonzero().flatten()
        drawn = members[torch.arange(15) % len(members)]
        drawn = drawn[drawn != label]
        state = literal_state(model, history, domain).detach()
        stands_for = np.log((len(members) - 1) / 15)
        others = vectors[drawn] @ state + bias[drawn] + stands_for
        own = vectors[label] @ state + bias[label]
        total += float(torch.logsumexp(torch.cat([others, own[None]]), 0) - own)
        count += 1
    assert model.calculate_loss(batch).item() == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("phase", [SHARED, DOMAIN])
@pytest.mark.parametrize("neighbours", [0, 2])
def test_new_items_are_scored_with_what_their_neighbours_learnt(phase, neighbours, monkeypatch):
    unseen = 7
    monkeypatch.setattr(Catalogue, "seen_items", lambda self: np.arange(N_ITEMS) != unseen)
    model = build(new_item_neighbours=neighbours)
    with torch.no_grad():
        model.items.ids.weight.normal_()
    if phase == DOMAIN:
        model.begin_phase(DOMAIN)
    model.eval()
    scores = model.full_sort_predict(histories(windows(model))).detach()
    model.items.set_neighbours(torch.empty(0).long(), torch.empty(0, 1).long())
    model.train().eval()  # forget the table
    alone = model.full_sort_predict(histories(windows(model))).detach()
    differs = ~torch.isclose(scores, alone).all(0)
    # other items' scores move only through histories that hold the new one
    assert bool(differs[unseen]) == bool(neighbours)
    without = (windows(model)[ITEMS] != unseen).all(1)
    assert without.any()
    others = torch.arange(N_ITEMS) != unseen
    torch.testing.assert_close(scores[without][:, others], alone[without][:, others])


@pytest.mark.parametrize("loss_type", ["SS", "BCE"])
def test_sampled_losses_draw_from_the_labels_domain(loss_type):
    model = build(loss_type=loss_type, num_negatives=50)
    targets = torch.arange(1, N_ITEMS)
    sets = model.next_item.candidate_sets(targets, "target_domain")
    for k, one in enumerate(sets):
        assert (model.item_domain[one.negatives] == k).all()
        assert (model.item_domain[one.labels] == k).all()
    if loss_type == "BCE":
        assert all((one.negatives != one.labels).all() for one in sets)


def test_sampled_losses_project_only_what_they_need(monkeypatch):
    model = build(loss_type="BCE")
    batch = windows(model, rows=1)
    asked = []
    forward = model.items.forward
    monkeypatch.setattr(model.items, "forward", lambda ids=None: asked.append(ids) or forward(ids))
    model.calculate_loss(batch)
    assert len(asked) == 1
    assert len(asked[0]) == len(asked[0].unique())


def test_paper_recipe_is_the_published_one():
    model = build(recipe="paper", profiles=False)  # this catalogue has none
    assert model.loss_type == "BCE"
    assert model.items.ids is None
    assert model.items.bias is None
    assert model.input_scale == pytest.approx(12**0.5)
    assert float(model.threads[0].weight) == 1.0


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"phases": ["domain"]}, "phases"),
        ({"phases": ["shared", "shared"]}, "phases"),
        ({"loss_type": "CEE"}, "did you mean 'CE'"),
        ({"n_heads": 3}, "n_heads"),
        ({"input_scale": "sqrt"}, "input_scale"),
    ],
)
def test_bad_settings_are_named(keys, said):
    with pytest.raises(UserError, match=said):
        build(**keys)
