"""LLM4CDSR against a slow re-computation from its equations, step by step."""

import math

import numpy as np
import pytest
import torch
from baseline_toys import Catalogue, build, histories_of, metrics_of, random_sequences, windows_of

from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.errors import UserError
from recbole_edt.model import losses
from recbole_edt.model.alignment import one_of_each, soft_alignment
from recbole_edt.model.baselines.llm4cdsr import reduce_by_domain

T = 7
SMALL = {"hidden_size": 8, "MAX_ITEM_LIST_LENGTH": T, "num_negatives": 3}


def make(n_domains=2, **keys):
    return build("LLM4CDSR", n_domains, scale=0.3, **{**SMALL, **keys}).eval()


# ---------------------------------------------------------------- the equations, step by step


def norm(layer, v, eps):
    v = v - v.mean()
    return v / torch.sqrt((v * v).mean() + eps) * layer.weight + layer.bias


def linear(layer, v):
    return layer.weight @ v + layer.bias


def gelu(v):
    return v * (1 + torch.erf(v / math.sqrt(2))) / 2


def feed_forward(part, v):
    if hasattr(part, "norm"):
        return norm(part.norm, v + linear(part.outer, gelu(linear(part.inner, v))), 1e-12)
    return v + linear(part.outer, linear(part.inner, v).clamp(min=0))


def encode(encoder, tokens):
    """Return the states of one sequence of scaled item vectors."""
    z = [token + encoder.positions.weight[t + 1] for t, token in enumerate(tokens)]
    for layer in encoder.layers:
        attention, d = layer.attention, len(z[0])
        w, b = attention.in_proj_weight, attention.in_proj_bias
        size = d // attention.num_heads
        after = []
        for t, token in enumerate(z):
            query, joined = norm(layer.norm_query, token, 1e-8), []
            visible = z[: t + 1] if encoder.causal else z
            for head in range(attention.num_heads):
                at = slice(head * size, (head + 1) * size)
                q = (w[:d] @ query + b[:d])[at]
                keys = torch.stack([(w[d : 2 * d] @ v + b[d : 2 * d])[at] for v in visible])
                values = torch.stack([(w[2 * d :] @ v + b[2 * d :])[at] for v in visible])
                joined.append(torch.softmax(keys @ q / math.sqrt(size), 0) @ values)
            mixed = query + linear(attention.out_proj, torch.cat(joined))
            after.append(feed_forward(layer.feed_forward, norm(layer.norm_inner, mixed, 1e-8)))
        z = after
    return [norm(encoder.norm, v, 1e-8) for v in z]


def adapt(adapter, z):
    return linear(adapter[1], linear(adapter[0], z))


def literal_scores(model, items, wanted):
    """Return the score of each wanted item after the items; and where its domain was met."""
    m, d = model.vectors.shape[1], model.width
    mixed = encode(
        model.mixed, [adapt(model.adapter, model.vectors[i]) * math.sqrt(m) for i in items]
    )
    scores = []
    for item in wanted:
        k = int(model.item_domain[item])
        own = [i for i in items if model.item_domain[i] == k]
        score = mixed[-1] @ adapt(model.adapter, model.vectors[item])
        if own:
            tokens = [model.own_vectors[i] * math.sqrt(d) for i in own]
            score = score + encode(model.threads[k], tokens)[-1] @ model.own_vectors[item]
        scores.append(score)
    return torch.stack(scores)


@pytest.mark.parametrize("feed_forward", ["bottleneck", "pointwise"])
@pytest.mark.parametrize("causal", [True, False])
@torch.no_grad()
def test_the_encoder_on_six_steps_without_padding(feed_forward, causal):
    model = make(feed_forward=feed_forward, causal=causal)
    tokens = torch.randn(2, 6, 8)
    states = model.mixed(tokens, torch.tensor([6, 6]))
    for row, sequence in enumerate(tokens):
        expected = torch.stack(encode(model.mixed, list(sequence)))
        torch.testing.assert_close(states[row], expected, atol=1e-5, rtol=0)
    # padding on the right changes nothing, whatever stands there
    longer = torch.cat([tokens, torch.randn(2, 1, 8)], dim=1)
    padded = model.mixed(longer, torch.tensor([6, 6]))[:, :6]
    torch.testing.assert_close(padded, states, atol=1e-6, rtol=0)


@pytest.mark.parametrize("n_domains", [2, 3])
@pytest.mark.parametrize("causal", [True, False])
@torch.no_grad()
def test_scores_are_the_sum_of_both_threads(n_domains, causal):
    model = make(n_domains, causal=causal)
    sequences = random_sequences(5, model.n_items, T)
    sequences.append(model.members(0)[:3].tolist())  # nothing of the other domains
    scores = model.full_sort_predict(histories_of(sequences))
    everything = range(1, model.n_items)
    for row, sequence in enumerate(sequences):
        expected = literal_scores(model, sequence, everything)
        torch.testing.assert_close(scores[row, 1:], expected, atol=2e-5, rtol=0)


def given_negatives(monkeypatch):
    """Make the negative of a label its successor in the domain; return the rule."""
    monkeypatch.setattr(losses, "draw_others", lambda rows, size: (rows + 1) % size)

    def negative(model, label):
        members = model.members(int(model.item_domain[label])).tolist()
        return members[(members.index(label) + 1) % len(members)]

    return negative


@pytest.mark.parametrize("n_domains", [2, 3])
@torch.no_grad()
def test_the_published_loss(n_domains, monkeypatch):
    model = make(n_domains, alpha=0.0)
    negative = given_negatives(monkeypatch)
    sequences = random_sequences(4, model.n_items, T + 1)
    of_domain = {k: [] for k in range(n_domains)}
    skipped = 0
    for sequence in sequences:
        for t in range(1, len(sequence)):
            label = sequence[t]
            k = int(model.item_domain[label])
            if all(model.item_domain[i] != k for i in sequence[:t]):
                skipped += 1  # the first of its domain has no local predecessor
                continue
            wanted = [label, negative(model, label)]
            positive, other = literal_scores(model, sequence[:t], wanted)
            loss = -torch.log(torch.sigmoid(positive)) - torch.log(1 - torch.sigmoid(other))
            of_domain[k].append(loss)
    assert skipped
    expected = sum(sum(parts) / len(parts) for parts in of_domain.values() if parts)
    loss = model.calculate_loss(windows_of(sequences))
    assert float(loss) == pytest.approx(float(expected), abs=1e-4)


@torch.no_grad()
def test_cross_entropy_is_over_the_labels_domain():
    model = make(loss_type="CE", alpha=0.0)
    sequence = [3, 1, 7, 4, 9]
    total = 0.0
    for t in range(1, len(sequence)):
        members = model.members(int(model.item_domain[sequence[t]]))
        log = torch.log_softmax(literal_scores(model, sequence[:t], members.tolist()), 0)
        total -= float(log[members == sequence[t]])
    assert float(model.calculate_loss(windows_of([sequence]))) == pytest.approx(total / 4, abs=1e-4)


# --------------------------------------------------------------------------- alignments


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_alignment_of_four_pairs(temperature):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(4, 8, generator=generator) * 0.5 for _ in range(2))

    def softmax(row):
        return [math.exp(v) / sum(math.exp(w) for w in row) for v in row]

    dot = lambda a, b: float((a * b).sum())  # noqa: E731
    targets, forth, back = [], [], []
    for i in range(4):
        soft = [temperature * (dot(x[i], x[j]) + dot(y[i], y[j])) / 2 for j in range(4)]
        targets.append(softmax(soft))
        forth.append(softmax([dot(x[i], y[j]) / temperature for j in range(4)]))
        back.append(softmax([dot(x[j], y[i]) / temperature for j in range(4)]))
    total = 0.0
    for i in range(4):
        for j in range(4):
            total -= targets[i][j] * math.log(forth[i][j]) / 2
            total -= targets[j][i] * math.log(back[i][j]) / 2
    assert float(soft_alignment(x, y, temperature)) == pytest.approx(total / 4, abs=1e-5)


def test_one_item_of_each_domain_from_the_row():
    torch.manual_seed(0)
    domain = torch.tensor([-1, 0, 0, 1, 1, 2])
    rows = torch.tensor([[1, 2, 3, 0], [4, 4, 4, 5]]).repeat(2000, 1)
    drawn = one_of_each(rows, domain, 3).T
    first, second = drawn[0::2], drawn[1::2]
    assert set(first[:, 0].tolist()) == {1, 2}
    assert float((first[:, 0] == 1).float().mean()) == pytest.approx(0.5, abs=0.06)
    assert (first[:, 1:] == torch.tensor([3, 0])).all()
    assert (second == torch.tensor([0, 4, 5])).all()


@torch.no_grad()
def test_domains_are_aligned_over_the_users_who_have_both():
    rest, model = make(3, alpha=0.0), make(3, alpha=0.7)
    a, b, c = (model.members(k).tolist() for k in range(3))
    # one item of each domain in a row, so that the draw is known; the last has one domain only
    sequences = [[a[0], b[0]], [b[1], a[1], c[1]], [c[0], a[2]], [a[3], a[2]]]
    batch = windows_of(sequences)
    torch.manual_seed(1)
    difference = -float(rest.calculate_loss(batch))
    torch.manual_seed(1)
    difference += float(model.calculate_loss(batch))
    vectors = [adapt(model.adapter, v) for v in model.vectors]

    def alignment(pairs):
        x, y = (torch.stack([vectors[i] for i in side]) for side in zip(*pairs, strict=True))
        return float(soft_alignment(x, y, 1.0))

    pairs = ([(a[0], b[0]), (a[1], b[1])], [(a[1], c[1]), (a[2], c[0])], [(b[1], c[1])])
    expected = sum(alignment(some) for some in pairs) / 3
    assert difference == pytest.approx(0.7 * expected, abs=1e-4)


def test_profiles_reach_the_encoders_if_they_are_used():
    catalogue = Catalogue()
    batch = windows_of(random_sequences(5, catalogue.n_items, T + 1))
    gradients = []
    for shift in (0.0, 1.0):
        catalogue.profiles += np.float32(shift) * catalogue.profiles[::-1]
        model = build("LLM4CDSR", catalogue=catalogue, profiles=True, beta=1.0, **SMALL).eval()
        torch.manual_seed(2)
        model.calculate_loss(batch).backward()
        gradients.append(model.mixed.positions.weight.grad.clone())
        assert all(p.grad is not None for p in model.profile_adapter.parameters())
    assert not torch.equal(*gradients)
    silent = build("LLM4CDSR", catalogue=catalogue, **SMALL)
    assert not hasattr(silent, "profile_adapter")


def test_the_profile_is_the_mean_over_present_domains():
    catalogue = Catalogue(n_domains=3)
    model = build("LLM4CDSR", catalogue=catalogue, profiles=True, **SMALL)
    assert model.has_profile.tolist() == catalogue.present.any(1).tolist()
    for user, present in enumerate(catalogue.present):
        if present.any():
            expected = catalogue.profiles[user][present].mean(0)
            np.testing.assert_allclose(model.profile[user], expected, rtol=1e-5)


# ------------------------------------------------------------------------------- the rest


def test_reduction_keeps_the_variance_of_each_domain():
    catalogue = Catalogue(n_domains=2, n_items=60, vector_size=10)
    domain = catalogue.item_domain.numpy()
    reduced = reduce_by_domain(catalogue.vectors, domain, 4)
    assert not reduced[0].any()
    for k in range(2):
        own = catalogue.vectors[domain == k]
        singular = np.linalg.svd(own - own.mean(0), compute_uv=False)[:4]
        norms = np.linalg.norm(reduced[domain == k], axis=0)
        np.testing.assert_allclose(norms, singular, rtol=1e-4)
        gram = reduced[domain == k].T @ reduced[domain == k]
        assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-3
    wide = reduce_by_domain(catalogue.vectors, domain, 12)  # more than there are dimensions
    assert wide.shape == (60, 12)
    assert not wide[:, 10:].any()


@torch.no_grad()
def test_editing_an_item_changes_no_earlier_state():
    model, open_model = make(3), make(3, causal=False)
    for sequence in random_sequences(6, model.n_items, T + 1, seed=1):
        for at in range(1, len(sequence)):
            other = next(i for i in range(1, model.n_items) if i not in sequence[: at + 1])
            edited = [*sequence[:at], other, *sequence[at + 1 :]]
            states = []
            for some, mine in ((sequence, model), (edited, model), (edited, open_model)):
                items = windows_of([some])[ITEMS]
                mixed, own = mine.states(mine.whole_table()[0][items], items)
                states.append(torch.cat([mixed, *own], dim=2)[0])
            torch.testing.assert_close(states[0][:at], states[1][:at], atol=1e-6, rtol=0)
            if at < len(sequence) - 1:  # with the release's attention earlier states do change
                assert not torch.allclose(states[1][:at], states[2][:at], atol=1e-3)


@pytest.mark.parametrize("loss_type", ["published", "CE", "SS", "BCE"])
@pytest.mark.parametrize("n_domains", [2, 3])
def test_every_loss_reaches_every_parameter(loss_type, n_domains):
    keys = {"loss_type": loss_type, "profiles": True, "freeze_local": False}
    model = make(n_domains, **keys).train()
    model.calculate_loss(windows_of(random_sequences(5, model.n_items, T + 1))).backward()
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert without == set()
    assert "own_vectors" not in dict(make(n_domains).named_parameters())


def test_a_batch_of_one_domain_only():
    model = make().train()
    of_first = model.members(0).tolist()
    loss = model.calculate_loss(windows_of([of_first[:4], of_first[2:5]]))
    loss.backward()
    assert torch.isfinite(loss)


def test_labels_and_local_states_are_of_the_same_slot():
    model = make(dropout_prob=0.0)
    batch = windows_of(random_sequences(2, model.n_items, T + 1))
    items, labels = batch[ITEMS], batch[LABELS]
    follows = model.has_predecessor(items, labels)
    for row in range(2):
        for t in range(items.shape[1]):
            label = int(labels[row, t])
            domains = model.item_domain[items[row, : t + 1]]
            assert bool(follows[row, t]) == bool(label and model.item_domain[label] in domains)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"loss_scope": "all"}, r"expected one of \['target_domain'\]"),
        ({"n_heads": 3}, "n_heads"),
        ({"loss_type": "publised"}, "did you mean 'published'"),
        ({"feed_forward": "pointwize"}, "did you mean 'pointwise'"),
    ],
)
def test_bad_settings_are_named(keys, said):
    with pytest.raises(UserError, match=said):
        make(**keys)


RUN = ("--model=LLM4CDSR", "--dataset=toy", "--epochs=1", "--hidden_size=8")


@pytest.mark.parametrize("domains", [2, 3])
def test_an_epoch_through_the_command_line(make_dataset, give_vectors, run_cli, tmp_path, domains):
    give_vectors(make_dataset(domains=domains))
    where = (f"--data_path={tmp_path}/dataset", f"--output_dir={tmp_path}/output")
    runs = [metrics_of(run_cli("run", *RUN, *where, f"--seed={seed}")) for seed in (1, 1, 2)]
    assert len(runs[0]["test"]["domains"]) == domains
    assert runs[0]["test"] == runs[1]["test"]
    assert runs[0]["test"] != runs[2]["test"]


def test_missing_vectors_are_named(make_dataset, run_cli, tmp_path):
    make_dataset()
    where = (f"--data_path={tmp_path}/dataset", f"--output_dir={tmp_path}/output")
    outcome = run_cli("run", *RUN, *where)
    assert outcome.status == 2
    assert "--only embeddings" in outcome.err
    assert outcome.err.count("\n") == 1
