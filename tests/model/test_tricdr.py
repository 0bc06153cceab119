"""Tri-CDR against its equations in plain loops, on fixed weights."""

import numpy as np
import pytest
import torch
from small_baselines import MAX, N_ITEMS, build, histories, rows_of, slow_encoder, windows
from torch.nn.functional import cosine_similarity, leaky_relu, softplus

from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.errors import UserError
from recbole_edt.model.baselines import tri_attention
from recbole_edt.model.baselines.tri_attention import TripleAttention
from recbole_edt.model.baselines.tricdr import nt_xent
from recbole_edt.model.baselines.unseen import UnseenItems

NEAR = {"rtol": 1e-5, "atol": 1e-5}


# --------------------------------------------------------------------- attention


def slow_attention(module, query, context, states):
    """Attend over a list of states as the equations say, without splitting the first layer."""
    if not states:
        return torch.zeros_like(query)
    scores = []
    for state in states:
        x = torch.cat([state, query, state * query, query - state, context])
        x = module.bend_first(module.first.weight @ x + module.first.bias)
        x = module.bend_second(module.second.weight @ x + module.second.bias)
        scores.append((module.last.weight @ x + module.last.bias)[0])
    weights = torch.softmax(torch.stack(scores), dim=0)
    return sum(w * s for w, s in zip(weights, states, strict=True))


def attention_case(seed=0):
    torch.manual_seed(seed)
    module = TripleAttention(8)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    states, owner = torch.randn(2, 6, 8), torch.tensor([0, 0, 0, 1, 1, 1, 1])
    query, context = torch.randn(7, 8), torch.randn(7, 8)
    return module, query, context, owner, states, torch.tensor([1, 4, 0, 2, 6, 3, 0])


def test_attention_is_that_of_the_unsplit_form():
    module, query, context, owner, states, seen = attention_case()
    found = module(query, context, owner, states, seen)
    for m in range(7):
        visible = list(states[owner[m], : seen[m]])
        expected = slow_attention(module, query[m], context[m], visible)
        torch.testing.assert_close(found[m], expected, **NEAR)


def test_attention_over_nothing_is_zero_and_has_gradients():
    module, query, context, owner, states, _ = attention_case()
    for some in (states, states[:, :0]):
        assert not module(query, context, owner, some, torch.zeros(7, dtype=torch.long)).any()
    states.requires_grad_()
    module(query, context, owner, states, torch.tensor([0, 1, 0, 0, 2, 0, 0])).sum().backward()
    assert torch.isfinite(states.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


def test_attention_in_chunks_is_the_same(monkeypatch):
    gradients, values = [], []
    for limit in (1 << 19, 13):  # two slots at a time
        monkeypatch.setattr(tri_attention, "_MOST_PAIRS", limit)
        module, *arguments = attention_case()
        value = module(*arguments)
        value.square().sum().backward()
        values.append(value)
        gradients.append([p.grad for p in module.parameters()])
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)


# ------------------------------------------------------------------------ losses


def test_contrastive_loss_is_cross_entropy_over_all_others():
    generator = torch.Generator().manual_seed(1)
    one, other = (torch.randn(4, 8, generator=generator) for _ in range(2))
    vectors, total = [*one, *other], 0.0
    for i, vector in enumerate(vectors):
        similar = {
            j: cosine_similarity(vector, v, dim=0) / 0.1 for j, v in enumerate(vectors) if j != i
        }
        partner = similar.pop((i + 4) % 8)
        total -= torch.log_softmax(torch.stack([partner, *similar.values()]), 0)[0]
    torch.testing.assert_close(nt_xent(one, other, 0.1), total / 8, **NEAR)


def test_negatives_are_all_unseen_items_and_no_other():
    groups = torch.tensor([-1, 0, 1, 0, 1, 0, 0, 1])
    rows = torch.tensor([0, 0, 0, 1, 1, 2, 3, 2])
    # user 1 knows rows 0 and 2 of group 0 (one of them twice), user 2 all of group 1
    users, items = np.array([1, 1, 1, 2, 2, 2]), np.array([5, 1, 5, 2, 4, 7])
    unseen = UnseenItems(users, items, groups, rows)
    for user, group, expected in ((1, 0, {1, 3}), (1, 1, {0, 1, 2}), (2, 0, {0, 1, 2, 3})):
        drawn, possible = unseen.draw(torch.full((300,), user), group)
        assert possible.all()
        assert set(drawn.tolist()) == expected
    assert not unseen.draw(torch.tensor([2]), 1)[1].any()


# ------------------------------------------------------------------------- model


class Slow:
    """The model slot by slot."""

    def __init__(self, model):
        self.model, self.domain = model, model.item_domain.tolist()
        self.table = model.target_items or model.mixed_items

    def encode(self, encoder, table, row):
        return slow_encoder(encoder, [table.weight[i] * 8**0.5 for i in row])

    def views(self, k, row):
        """Return c^mix, c^src, c^tgt after a history, and whether it has a source."""
        model, part = self.model, self.model.targets[k]
        own = [i for i in row if self.domain[i] == k]
        other = [i for i in row if self.domain[i] != k]
        source_table = model.source_items[k] if model.source_items else model.mixed_items
        mixed = self.encode(model.mixed_encoder, model.mixed_items, row)
        target = self.encode(part.target_encoder, self.table, own)
        source = self.encode(part.source_encoder, source_table, other)
        query = target[-1] if own else torch.zeros(8)
        context = sum(mixed) / len(mixed)
        views = [slow_attention(part.attention, query, context, h) for h in (mixed, source, target)]
        return views, bool(other)

    def score(self, k, views, item):
        first, _, second = self.model.targets[k].fusion
        u = leaky_relu(first.weight @ torch.cat(views) + first.bias, 0.01)
        u = second.weight @ u + second.bias
        return 5 * cosine_similarity(u, self.table.weight[item], dim=0)


@pytest.mark.parametrize("n_domains", [2, 3])
@pytest.mark.parametrize("tables", ["separate", "shared"])
@torch.no_grad()
def test_scores_are_those_of_the_equations(n_domains, tables):
    model, batch = build("TriCDR", n_domains, item_tables=tables), windows(rows=3)
    slow, scores = Slow(model), model.full_sort_predict(histories(batch[ITEMS]))
    for u, (row, _) in enumerate(rows_of(batch)):
        views = [slow.views(k, row)[0] for k in range(n_domains)]
        for item in range(1, N_ITEMS):
            k = slow.domain[item]
            expected = slow.score(k, views[k], item)
            assert float(scores[u, item]) == pytest.approx(float(expected), abs=2e-5)


@pytest.mark.parametrize("n_domains", [2, 3])
@pytest.mark.slow
def test_loss_terms_are_those_of_the_equations(n_domains, monkeypatch):
    rates = [1000, 1, 1]
    model, batch = build("TriCDR", n_domains, contrastive_rates=rates), windows(rows=3, seed=5)
    # the negative of every label is the first item of its domain
    draw = lambda users, group: (torch.zeros_like(users), users > 0)  # noqa: E731
    monkeypatch.setattr(model.unseen, "draw", draw)
    slow, next_item, contrastive, triplet = Slow(model), 0.0, 0.0, 0.0
    for k in range(n_domains):
        losses, lasts = [], []
        first = int(model.members(k)[0])
        for row, labels in rows_of(batch):
            last = None
            for t, label in enumerate(labels):
                history = row[: t + 1]
                if slow.domain[label] == k and label and any(slow.domain[i] == k for i in history):
                    views, has_source = slow.views(k, history)
                    positive, negative = (slow.score(k, views, i) for i in (label, first))
                    losses.append(softplus(-positive) + softplus(negative))
                    last = views if has_source else None
            if last:
                heads = model.targets[k].heads
                lasts.append([head(c) for head, c in zip(heads, last, strict=True)])
        next_item += sum(losses) / len(losses)
        if lasts:
            mixed, source, target = (torch.stack(some) for some in zip(*lasts, strict=True))
            pairs = ((mixed, source), (mixed, target), (source, target))
            for rate, pair in zip(rates, pairs, strict=True):
                contrastive += rate / 1002 * nt_xent(*pair, 0.1)
            distance = [(source - other + 1e-6).norm(dim=1) for other in (mixed, target)]
            triplet += torch.relu(distance[0] - distance[1] + 4).mean()
    found = model.loss_terms(batch)
    torch.testing.assert_close(found[0], next_item, **NEAR)
    torch.testing.assert_close(found[1], 0.1 * contrastive, **NEAR)
    torch.testing.assert_close(found[2], 10 * triplet, **NEAR)
    torch.testing.assert_close(model.calculate_loss(batch), sum(found), **NEAR)


def test_an_item_changes_no_earlier_state():
    model, ids = build("TriCDR", 3), torch.randint(1, N_ITEMS, (4, MAX))
    before = [state for state in model.last_states(histories(ids[:, :5]))]
    user, slot = torch.arange(4), torch.full((4,), 4)
    changed = torch.cat([ids[:, :5], torch.randint(1, N_ITEMS, (4, 3))], dim=1)
    mixed = model.mixed_states(changed)
    for k in range(3):
        views = model.views(k, changed, mixed, user, slot)
        torch.testing.assert_close(model.query(k, views), before[k], **NEAR)


def test_users_of_one_domain_only():
    model = build("TriCDR", 2).train()
    batch, members = windows(rows=1), model.members(0)[:5].unsqueeze(0)
    assert all(torch.isfinite(s).all() for s in model.last_states(histories(members)))
    batch[ITEMS], batch[LABELS] = members[:, :-1], members[:, 1:]
    next_item, contrastive, triplet = (term.detach() for term in model.loss_terms(batch))
    assert contrastive.item() == triplet.item() == 0.0  # there is no source
    assert float(next_item) > 0
    # no label has an item of its own domain before it
    batch[ITEMS], batch[LABELS] = members[:, :1], model.members(1)[:1].unsqueeze(0)
    loss = model.calculate_loss(batch)
    loss.backward()
    assert float(loss.detach()) == 0.0


@pytest.mark.parametrize(
    ("loss_type", "scope"),
    [(loss, "target_domain") for loss in ("published", "CE", "SS", "BCE")] + [("published", "all")],
)
def test_every_loss_trains_every_parameter(loss_type, scope):
    model = build("TriCDR", 3, loss_type=loss_type, loss_scope=scope, num_negatives=6).train()
    model.calculate_loss(windows(rows=20)).backward()
    assert {n for n, p in model.named_parameters() if p.grad is None} == set()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"loss_type": "publish"}, "did you mean 'published'"),
        ({"n_heads": 3}, "n_heads"),
        ({"contrastive_rates": [1, 1]}, "contrastive_rates"),
        ({"contrastive_rates": [0, 0, 0]}, "contrastive_rates"),
        ({"item_tables": "one"}, "item_tables"),
        ({"contrastive_temperature": 0}, "contrastive_temperature"),
    ],
)
def test_bad_settings_are_named(keys, said):
    with pytest.raises(UserError, match=said):
        build("TriCDR", **keys)
