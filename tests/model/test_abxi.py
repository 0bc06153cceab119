"""ABXI against a slow re-computation from its equations on left-padded rows of fixed length."""

import gzip
import math
from pathlib import Path

import pytest
import torch
from baseline_toys import Catalogue, build, histories_of, metrics_of, random_sequences, windows_of

from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.model.baselines import abxi
from recbole_edt.model.baselines.sampled_scores import draw_sets, scores_of_own_sets

SHARED = Path(__file__).parents[3] / "shared" / "data" / "food-kitchen" / "inter.csv.gz"
T = 7
SMALL = {
    "hidden_size": 8, "inner_size": 12, "thread_rank": 2, "invariant_rank": 3,
    "MAX_ITEM_LIST_LENGTH": T, "num_negatives": 3,
}  # fmt: skip


def make(n_domains=2, **keys):
    return build("ABXI", n_domains, scale=0.3, **{**SMALL, **keys}).eval()


# ---------------------------------------------------------------- the equations, slot by slot


def norm(layer, v):
    v = v - v.mean()
    return v / torch.sqrt((v * v).mean() + layer.eps) * layer.weight + layer.bias


def swiglu(part, v):
    gate = part.gate.weight @ v
    return part.out.weight @ (gate * torch.sigmoid(gate) * (part.value.weight @ v))


def low_rank(part, v):
    return part.up.weight @ (part.down.weight @ v)


def thread_states(model, thread, row, empty_is_key=True):
    """Return h of every slot of one left-padded row of item ids (0: empty), None where empty."""
    d, heads = model.items.weight.shape[1], model.attention.n_heads
    tokens = []
    for t, item in enumerate(row):
        to_end = sum(other > 0 for other in row[t:])
        token = model.items.weight[item] + model.positions.weight[to_end]
        tokens.append(token if item else torch.zeros(d))
    w, b = model.attention.query_key_value.weight, model.attention.query_key_value.bias
    states = []
    for t, item in enumerate(row):
        if not item:
            states.append(None)
            continue
        joined = []
        for head in range(heads):
            at = slice(head * d // heads, (head + 1) * d // heads)
            q = (w[:d] @ tokens[t] + b[:d])[at]
            keys = [s for s in range(t + 1) if row[s] or empty_is_key]
            logits = [
                q @ (w[d : 2 * d] @ tokens[s] + b[d : 2 * d])[at] / math.sqrt(d / heads)
                for s in keys
            ]
            weights = torch.softmax(torch.stack(logits), 0)
            values = [(w[2 * d :] @ tokens[s] + b[2 * d :])[at] for s in keys]
            joined.append(sum(a * v for a, v in zip(weights, values, strict=True)))
        mixed = model.attention.out.weight @ torch.cat(joined) + model.attention.out.bias
        u = norm(model.attention_norm, tokens[t] + mixed)
        inner = u + swiglu(model.shared, u) + low_rank(model.thread_maps[thread], u)
        states.append(norm(model.thread_norms[thread], inner))
    return states


def query(model, k, mixed, own):
    own = torch.zeros_like(mixed) if own is None else own
    invariant = mixed + swiglu(model.project_shared, mixed)
    invariant = invariant + low_rank(model.invariant_maps[k], mixed)
    return norm(model.invariant_norms[k], invariant) + norm(
        model.own_norms[k], own + swiglu(model.project_own[k], own)
    )


def pad_left(row):
    return [0] * (T - len(row)) + row


def guided_row(items, labels, domain_of, k):
    """Return domain k's training row: its last item so far where its label stands."""
    row = []
    for t, label in enumerate(labels):
        before = [item for item in items[: t + 1] if domain_of(item) == k]
        row.append(before[-1] if domain_of(label) == k and before else 0)
    return row


def literal_queries(model, sequence, empty_is_key=True):
    """Return z of every label of a sequence."""
    items, labels = sequence[:-1], sequence[1:]
    domain_of = lambda item: int(model.item_domain[item])  # noqa: E731
    mixed = thread_states(model, 0, pad_left(items), empty_is_key)
    own = [
        thread_states(model, 1 + k, pad_left(guided_row(items, labels, domain_of, k)), empty_is_key)
        for k in range(model.num_domains)
    ]
    return [
        query(model, domain_of(label), h, own[domain_of(label)][slot])
        for label, slot, h in zip(
            labels, range(T - len(labels), T), mixed[T - len(items) :], strict=True
        )
    ]


@pytest.mark.parametrize("n_domains", [2, 3])
@pytest.mark.parametrize("attend_padding", [True, False])
@torch.no_grad()
def test_states_are_those_of_the_left_padded_rows(n_domains, attend_padding):
    model = make(n_domains, attend_padding=attend_padding)
    sequences = random_sequences(5, model.n_items, T + 1)
    batch = windows_of(sequences)
    z = model.training_states(batch[ITEMS], batch[LABELS], model.items.weight)
    expected = [v for s in sequences for v in literal_queries(model, s, attend_padding)]
    torch.testing.assert_close(z, torch.stack(expected), atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_published_loss_with_given_negatives(monkeypatch):
    model = make()
    sequences = [[3, 1, 7, 4, 9], [2, 8, 11, 5, 6, 10, 1]]
    batch = windows_of(sequences)
    drawn = iter([torch.randint(1, 12, (10, 3)), torch.randint(1, 12, (10, 3))])
    given = []

    def draw(members, seen, owner, count, shared):
        assert (len(owner), count, shared) == (10, 3, False)
        given.append(next(drawn))
        return given[-1], torch.zeros_like(given[-1], dtype=torch.bool)

    monkeypatch.setattr(abxi, "draw_sets", draw)
    loss = model.calculate_loss(batch)
    expected, slot = 0.0, 0
    for sequence in sequences:
        of_domain = {0: [], 1: []}
        for z, label in zip(literal_queries(model, sequence), sequence[1:], strict=True):
            rivals = [label, *given[0][slot].tolist(), *given[1][slot].tolist()]
            logits = model.items.weight[rivals] @ z / 0.75
            of_domain[int(model.item_domain[label])].append(-torch.log_softmax(logits, 0)[0])
            slot += 1
        expected += sum(sum(parts) / len(parts) for parts in of_domain.values() if parts) / 2
    assert float(loss) == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("n_domains", [2, 3])
@torch.no_grad()
def test_scores_are_those_of_dense_rows(n_domains):
    model = make(n_domains)
    sequences = random_sequences(5, model.n_items, T)
    of_first = [i for i in range(1, model.n_items) if model.item_domain[i] == 0]
    sequences.append(of_first[:3])  # a user without an item in the other domains
    scores = model.full_sort_predict(histories_of(sequences))
    for row, sequence in enumerate(sequences):
        mixed = thread_states(model, 0, pad_left(sequence))[-1]
        for k in range(n_domains):
            own = [item for item in sequence if model.item_domain[item] == k]
            state = thread_states(model, 1 + k, pad_left(own))[-1]
            z = query(model, k, mixed, state)
            members = model.members(k)
            expected = model.items.weight[members] @ z
            torch.testing.assert_close(scores[row, members], expected, atol=1e-5, rtol=0)


def test_parameters_are_as_many_as_in_the_release():
    catalogue = Catalogue(n_domains=2, n_items=1 + 11_837 + 16_258)
    model = build("ABXI", catalogue=catalogue)
    assert sum(p.numel() for p in model.parameters()) == 9_651_200


@pytest.mark.skipif(
    not SHARED.is_file(), reason="the shared study data are not beside the checkout"
)
def test_task_guided_rows_of_real_users():
    with gzip.open(SHARED.parent / "items.csv.gz", "rt", encoding="utf-8") as file:
        header = file.readline().rstrip("\n").split(",")
        place = {name: header.index(name) for name in ("item_id", "domain")}
        lines = [line.rstrip("\n").split(",") for line in file]
    domain_of = {cells[place["item_id"]]: cells[place["domain"]] for cells in lines}
    with gzip.open(SHARED, "rt", encoding="utf-8") as file:
        next(file)
        sequences = {}
        for line in file:
            user, item = line.split(",")[:2]
            if user not in sequences and len(sequences) == 100:
                break
            sequences.setdefault(user, []).append(item)
    tokens = sorted({item for sequence in sequences.values() for item in sequence})
    number = {token: n for n, token in enumerate(tokens, start=1)}
    domains = torch.tensor([-1, *(int(domain_of[token] == "kitchen") for token in tokens)])
    known = [[number[item] for item in sequence[:-2]] for sequence in sequences.values()]
    batch = windows_of(known)
    for k in range(2):
        rows = abxi.task_guided_row(batch[ITEMS], batch[LABELS], domains, k)
        for row, sequence in zip(rows.tolist(), known, strict=True):
            expected = guided_row(sequence[:-1], sequence[1:], lambda i: int(domains[i]), k)
            assert row == expected + [0] * (len(row) - len(expected))
            kept = [item for item in row if item]
            assert len(kept) == len(set(kept))


@torch.no_grad()
def test_editing_an_item_changes_no_earlier_state():
    model, compared = make(3), 0
    for sequence in random_sequences(6, model.n_items, T + 1, seed=1):
        for at in range(2, len(sequence)):
            # of the same domain: positions count how many of a domain follow
            same = model.members(int(model.item_domain[sequence[at]])).tolist()
            other = next((item for item in same if item not in sequence[: at + 1]), None)
            if other is None:
                continue
            compared += 1
            edited = [*sequence[:at], other, *sequence[at + 1 :]]
            before, after = (
                model.training_states(
                    *(windows_of([s])[f] for f in (ITEMS, LABELS)), model.items.weight
                )
                for s in (sequence, edited)
            )
            # slot at - 1 predicts the edited item and must not know it
            torch.testing.assert_close(before[:at], after[:at], rtol=0, atol=0)
            if at < len(before):
                assert not torch.equal(before[at:], after[at:])
    assert compared > 5


# ------------------------------------------------------------------------- negatives, losses


def test_negative_sets_hold_different_unseen_items_uniformly():
    torch.manual_seed(0)
    members = torch.arange(5, 25)
    seen = torch.zeros(2, 30, dtype=torch.bool)
    seen[0, 5:10] = True
    owner = torch.tensor([0, 1] * 4000)
    ids, is_seen = draw_sets(members, seen, owner, 4)
    assert not is_seen.any()
    assert ids.shape == (8000, 4)
    assert (ids.sort(dim=1).values.diff(dim=1) > 0).all()
    assert (ids[owner == 0] >= 10).all()
    share = torch.bincount(ids[owner == 1].flatten(), minlength=30)[members] / 4000
    assert (share - 4 / 20).abs().max() < 0.03  # five standard deviations


def test_a_small_domain_gives_all_it_has():
    members, seen = torch.arange(1, 5), torch.zeros(1, 6, dtype=torch.bool)
    seen[0, 2] = True
    ids, is_seen = draw_sets(members, seen, torch.zeros(3, dtype=torch.long), 128)
    assert (ids.sort(dim=1).values == members).all()
    assert (is_seen == (ids == 2)).all()


def test_scores_of_own_sets_and_their_gradient():
    torch.manual_seed(0)
    states = torch.randn(6, 5, dtype=torch.double, requires_grad=True)
    table = torch.randn(9, 5, dtype=torch.double, requires_grad=True)
    ids = torch.stack([torch.randperm(9)[:4] for _ in range(6)])  # not in ascending order
    dense = (states @ table.T).gather(1, ids)
    torch.testing.assert_close(scores_of_own_sets(states, table, ids), dense)
    assert torch.autograd.gradcheck(lambda s, t: scores_of_own_sets(s, t, ids), (states, table))


@pytest.mark.parametrize("negatives_per", ["slot", "user", "batch"])
def test_draws_that_take_everything_agree(negatives_per):
    # with more negatives than items, all ways of sharing compare with every unseen item
    model = make(negatives_per=negatives_per, num_negatives=50)
    reference = make(negatives_per="slot", num_negatives=50)
    batch = windows_of(random_sequences(4, model.n_items, T + 1))
    torch.testing.assert_close(model.calculate_loss(batch), reference.calculate_loss(batch))


@pytest.mark.parametrize("loss_type", ["published", "CE", "SS", "BCE"])
@pytest.mark.parametrize("n_domains", [2, 3])
def test_every_loss_reaches_every_parameter(loss_type, n_domains):
    model = make(n_domains, loss_type=loss_type).train()
    model.calculate_loss(windows_of(random_sequences(8, model.n_items, T + 1))).backward()
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert without == set()


@torch.no_grad()
def test_cross_entropy_is_over_the_labels_domain():
    model = make(loss_type="CE")
    sequence = [3, 1, 7, 4, 9]
    total = 0.0
    for z, label in zip(literal_queries(model, sequence), sequence[1:], strict=True):
        members = model.members(int(model.item_domain[label]))
        log = torch.log_softmax(model.items.weight[members] @ z / 0.75, 0)
        total -= float(log[members == label])
    assert float(model.calculate_loss(windows_of([sequence]))) == pytest.approx(total / 4, abs=1e-4)


def test_low_rank_maps_start_at_no_change():
    model = build("ABXI", **SMALL).eval()
    assert not low_rank(model.thread_maps[0], torch.ones(8)).any()
    assert model.thread_maps[0].up.weight.any()


@pytest.mark.parametrize("negatives_per", ["slot", "user", "batch"])
def test_a_batch_of_one_domain_only(negatives_per):
    model = make(negatives_per=negatives_per).train()
    of_first = model.members(0).tolist()
    loss = model.calculate_loss(windows_of([of_first[:4], of_first[2:5]]))
    loss.backward()
    assert torch.isfinite(loss)


# -------------------------------------------------------------------------------------- runs

RUN = (
    "--model=ABXI", "--dataset=toy", "--epochs=1", "--warmup_epochs=0", "--hidden_size=8",
    "--inner_size=8", "--thread_rank=2", "--invariant_rank=2", "--learning_rate=0.01",
)  # fmt: skip


@pytest.mark.parametrize("domains", [2, 3])
def test_an_epoch_through_the_command_line(make_dataset, run_cli, tmp_path, domains):
    make_dataset(domains=domains)  # without item vectors, which ABXI does not need
    where = (f"--data_path={tmp_path}/dataset", f"--output_dir={tmp_path}/output")
    runs = [metrics_of(run_cli("run", *RUN, *where, f"--seed={seed}")) for seed in (1, 1, 2)]
    assert len(runs[0]["test"]["domains"]) == domains
    assert runs[0]["test"] == runs[1]["test"]
    assert runs[0]["test"] != runs[2]["test"]


# --------------------------------------------------------------------- with LLM vectors


@pytest.mark.parametrize("loss_type", ["published", "CE", "SS"])
def test_with_llm_vectors_it_is_the_same_model_on_other_item_vectors(loss_type):
    """Scores and loss are those of the published model whose table holds ids plus projections."""
    keys = {"loss_type": loss_type, "dropout_prob": 0.0}
    with_text, plain = make(**keys, item_projection="pca"), make(**keys)
    z = torch.from_numpy(Catalogue().vectors)
    centred = torch.where(torch.arange(len(z))[:, None] > 0, z - z[1:].mean(0), -z[1:].mean(0))
    table = with_text.items.weight + centred @ with_text.text.projection.weight.T
    shared = {k: v for k, v in with_text.state_dict().items() if not k.startswith("text.")}
    plain.load_state_dict({**shared, "items.weight": table.detach()})
    batch = windows_of(random_sequences(5, plain.n_items, T + 1))
    losses = []
    for model in (with_text, plain):
        torch.manual_seed(1)
        losses.append(model.calculate_loss(batch))
        losses[-1].backward()
    torch.testing.assert_close(losses[0], losses[1], atol=1e-3, rtol=1e-3)  # half precision
    torch.testing.assert_close(
        with_text.items.weight.grad, plain.items.weight.grad, atol=1e-2, rtol=1e-2
    )
    assert with_text.text.projection.weight.grad.abs().sum() > 0
    history = histories_of(random_sequences(4, plain.n_items, T))
    with torch.no_grad():
        torch.testing.assert_close(
            with_text.full_sort_predict(history)[:, 1:], plain.full_sort_predict(history)[:, 1:],
            atol=1e-2, rtol=1e-2,
        )  # fmt: skip


def test_projected_vectors_start_small_beside_the_ids():
    model = build("ABXI", **SMALL, item_projection="pca")
    projected = model.text()[0][1:]
    assert projected.pow(2).mean().sqrt().item() == pytest.approx(0.05, rel=0.01)
