"""C2DSR against its equations in plain loops, on fixed weights."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from small_baselines import (
    MAX,
    N_ITEMS,
    Catalogue,
    build,
    histories,
    rows_of,
    slow_encoder,
    windows,
)
from torch.nn.functional import softplus

from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.errors import UserError
from recbole_edt.model.baselines.item_graph import GraphConvolution, successor_graph

NEAR = {"rtol": 1e-5, "atol": 1e-5}


# ------------------------------------------------------------------------- graph

# user 1 takes 1 3 2 3 2, user 2 takes 3 2 1; item 1 is of domain 0, items 2 and 3 of domain 1
USERS = np.array([1, 1, 1, 1, 1, 2, 2, 2])
ROWS = np.array([1, 3, 2, 3, 2, 3, 2, 1])


def test_graph_of_a_hand_made_example():
    mixed = successor_graph(USERS, ROWS, 4).to_dense()
    expected = torch.tensor(
        [[0, 0, 0, 0], [0, 0, 0, 1], [0, 1 / 2, 0, 1 / 2], [0, 0, 1, 0]], dtype=torch.float
    )
    torch.testing.assert_close(mixed, expected)


def test_graph_within_domains_skips_what_lies_between():
    users, items = np.array([1, 1, 1, 2, 2]), np.array([2, 1, 3, 3, 2])
    own = successor_graph(users, items, 4, np.array([-1, 0, 1, 1])).to_dense()
    expected = torch.zeros(4, 4)
    expected[2, 3] = expected[3, 2] = 1
    torch.testing.assert_close(own, expected)


def test_graph_can_leave_out_the_last_item_of_each_user():
    without = successor_graph(USERS, ROWS, 4, drop_last=True)
    shorter = successor_graph(USERS[[0, 1, 2, 3, 5, 6]], ROWS[[0, 1, 2, 3, 5, 6]], 4)
    torch.testing.assert_close(without.to_dense(), shorter.to_dense())
    assert float(without.to_dense()[2, 1]) == 0.0


def test_only_the_switch_takes_last_items_out_of_the_model():
    assert (
        build("C2DSR").mixed_graph.graph._nnz()
        > build("C2DSR", graph_last_item=False).mixed_graph.graph._nnz()
    )


@pytest.mark.parametrize("layers", [1, 2])
def test_convolution_is_the_mean_of_all_layers(layers):
    graph = torch.rand(N_ITEMS, N_ITEMS)
    group = torch.arange(N_ITEMS) % 2
    module = GraphConvolution(graph.to_sparse_coo(), group, 8, layers, 0.0)
    vectors = torch.randn(N_ITEMS, 8)
    found = [vectors]
    for bias in module.bias:
        found.append(graph @ found[-1] + bias[group])
    torch.testing.assert_close(module(vectors), sum(found) / (layers + 1), **NEAR)


# ------------------------------------------------------------------------- model


class Slow:
    """The model's terms of one batch, user by user and slot by slot."""

    def __init__(self, model):
        self.model = model
        domain = model.item_domain.tolist()
        self.domain = domain
        self.K = model.num_domains
        users, items, _ = Catalogue(self.K).training_sequences()
        self.mixed = self._tokens(model.mixed_items.weight, model.mixed_graph.bias, users, items, 0)
        self.own = self._tokens(model.own_items.weight, model.own_graph.bias, users, items, 1)

    def _tokens(self, table, bias, users, items, by_domain):
        followers = {i: [] for i in range(N_ITEMS)}
        for user in set(users.tolist()):
            row = items[users == user].tolist()
            rows = [[i for i in row if self.domain[i] == k] for k in range(self.K)]
            for some in rows if by_domain else [row]:
                for before, after in pairwise(some):
                    followers[before].append(after)
        tokens = {}
        for i in range(1, N_ITEMS):
            average = sum(table[j] for j in followers[i]) / max(len(followers[i]), 1)
            layer = average + bias[0][self.domain[i] if by_domain else 0]
            tokens[i] = ((table[i] + layer) / 2 + table[i]) * 8**0.5
        return tokens

    def mixed_states(self, row):
        return slow_encoder(self.model.mixed_encoder, [self.mixed[i] for i in row])

    def own_states(self, row, k, removed=()):
        kept = [self.domain[i] == k and t not in removed for t, i in enumerate(row)]
        vectors = [self.own[i] if here else None for i, here in zip(row, kept, strict=True)]
        return slow_encoder(self.model.own_encoders[k], vectors)

    def logits(self, k, state, padding_state):
        head, padding = self.model.head, self.model.padding_head
        members = [i for i in range(1, N_ITEMS) if self.domain[i] == k]
        scores = {i: head.weight[i] @ state + head.bias[i] for i in members}
        return scores, (padding.weight @ padding_state + padding.bias)[0]

    def cross_entropy(self, label, state, padding_state):
        scores, padding = self.logits(self.domain[label], state, padding_state)
        return -torch.log_softmax(torch.stack([scores.pop(label), *scores.values(), padding]), 0)[0]

    def next_labels(self, row, labels, k):
        """Map each slot that holds an item of k to the next label of k."""
        found = {}
        for t, item in enumerate(row):
            later = [y for y in labels[t:] if y and self.domain[y] == k]
            if self.domain[item] == k and later:
                found[t] = later[0]
        return found

    def terms(self, batch, corrupted, slots=None):
        """Return the four kinds of terms: sums of L_s and L over slots, list of I_k."""
        rows = list(rows_of(batch))
        mixed_loss = own_loss = 0.0
        judged = [[] for _ in range(self.K)]
        for u, (row, labels) in enumerate(rows):
            h = self.mixed_states(row)
            first = 0 if slots is None else len(row) - slots
            for t, label in enumerate(labels):
                if label and t >= first:
                    mixed_loss += self.cross_entropy(label, h[t], h[t])
            nexts = [self.next_labels(row, labels, k) for k in range(self.K)]
            for k in range(self.K):
                removed = [t for t in range(len(row)) if t not in nexts[k]]
                own = self.own_states(row, k, removed)
                for t, label in nexts[k].items():
                    if t >= first:
                        own_loss += self.cross_entropy(label, h[t] + own[t], own[t])
                others = [t for j in range(self.K) if j != k for t in nexts[j]]
                if nexts[k] and others:
                    fake_h = self.mixed_states(corrupted[k][u])
                    own_mean = sum(own[t] for t in nexts[k]) / len(nexts[k])
                    weight, bias = self.model.judges[k].weight[0], self.model.judges[k].bias[0]
                    real, fake = (
                        sum(states[t] for t in others) / len(others) @ weight @ own_mean + bias
                        for states in (h, fake_h)
                    )
                    judged[k].append(softplus(-real) + softplus(fake))
        infomax = sum(sum(some) / len(some) for some in judged if some)
        return mixed_loss, own_loss, infomax


def corrupt(model, monkeypatch, batch):
    """Fix the random replacements and return them, K times one list of items per user."""
    rng = torch.Generator().manual_seed(3)
    fixed = []
    for k in range(model.num_domains):
        members = model.members(k)
        drawn = members[torch.randint(len(members), batch[ITEMS].shape, generator=rng)]
        fixed.append(torch.where(model.item_domain[batch[ITEMS]] == k, drawn, batch[ITEMS]))
    monkeypatch.setattr(model, "replaced", lambda ids, k: fixed[k])
    return [[[i for i in row if i] for row in some.tolist()] for some in fixed]


@pytest.mark.parametrize("n_domains", [2, 3])
@pytest.mark.parametrize("slots", [None, 3])
@pytest.mark.slow
def test_loss_terms_are_those_of_the_equations(n_domains, slots, monkeypatch):
    model, batch = build("C2DSR", n_domains, loss_slots=slots), windows(rows=3)
    corrupted = corrupt(model, monkeypatch, batch)
    mixed, own, infomax = Slow(model).terms(batch, corrupted, slots)
    found = model.loss_terms(batch)
    divisor = 3 * (slots or batch[ITEMS].shape[1])
    torch.testing.assert_close(found[0], (mixed + own) / divisor, **NEAR)
    torch.testing.assert_close(found[1], infomax, **NEAR)
    total = 0.7 * found[0] + 0.3 * found[1]
    torch.testing.assert_close(model.calculate_loss(batch), total, **NEAR)


@pytest.mark.parametrize("n_domains", [2, 3])
def test_scores_are_those_of_the_equations(n_domains):
    model, batch = build("C2DSR", n_domains, n_heads=2), windows(rows=3)
    slow, scores = Slow(model), model.full_sort_predict(histories(batch[ITEMS]))
    for u, (row, _) in enumerate(rows_of(batch)):
        h = slow.mixed_states(row)[-1]
        for k in range(n_domains):
            places = [t for t, item in enumerate(row) if slow.domain[item] == k]
            # an empty slot, if there is no item of the domain
            own = slow.own_states(row, k)[places[-1] if places else 0]
            for item, expected in slow.logits(k, h + own, own)[0].items():
                assert float(scores[u, item].detach()) == pytest.approx(
                    float(expected.detach()), abs=2e-5
                )


def test_a_user_without_any_item_of_a_domain():
    model = build("C2DSR", 2)
    members = model.members(0)[:5].unsqueeze(0)
    own = model.last_states(histories(members))
    mixed = model.mixed_encoder(model.tokens()[0][members], members > 0)[:, -1]
    torch.testing.assert_close(own[1], mixed + model.own_encoders[1].norm.bias, **NEAR)
    batch = windows(rows=1)
    batch[ITEMS], batch[LABELS] = members[:, :-1], members[:, 1:]
    next_item, infomax = model.loss_terms(batch)
    assert torch.isfinite(next_item)
    assert float(infomax) == 0.0


def test_an_item_changes_no_earlier_state():
    model = build("C2DSR", 3)
    ids = torch.randint(1, N_ITEMS, (4, MAX))
    full = model.last_states(histories(ids[:, :5]))
    mixed, own_tokens = model.tokens()
    changed = torch.cat([ids[:, :5], torch.randint(1, N_ITEMS, (4, 3))], dim=1)
    h = model.mixed_encoder(mixed[changed], changed > 0)[:, 4]
    slots = [model.item_domain[changed] == k for k in range(3)]
    for k, own in enumerate(model.own_states(own_tokens, changed, slots)):
        for u in range(4):
            places = [t for t in range(5) if slots[k][u, t]]
            if places:
                torch.testing.assert_close(h[u] + own[u, places[-1]], full[k][u], **NEAR)


def test_replacements_are_of_the_same_domain_and_leave_the_rest():
    model, ids = build("C2DSR", 3), windows(rows=50)[ITEMS]
    new = model.replaced(ids, 1)
    torch.testing.assert_close(model.item_domain[new], model.item_domain[ids])
    assert torch.equal(new != ids, (new != ids) & (model.item_domain[ids] == 1))
    assert (new != ids).any()


@pytest.mark.parametrize(
    ("loss_type", "scope"),
    [(loss, "target_domain") for loss in ("published", "CE", "SS", "BCE")] + [("published", "all")],
)
def test_every_loss_trains_every_parameter(loss_type, scope):
    model = build("C2DSR", 3, loss_type=loss_type, loss_scope=scope, num_negatives=6).train()
    model.calculate_loss(windows()).backward()
    without = {n for n, p in model.named_parameters() if p.grad is None}
    assert without == (
        set() if loss_type == "published" else {"padding_head.weight", "padding_head.bias"}
    )
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"loss_type": "publish"}, "did you mean 'published'"),
        ({"n_heads": 3}, "n_heads"),
        ({"loss_slots": 0}, "loss_slots"),
        ({"loss_slots": 2.5}, "loss_slots"),
        ({"next_item_weight": 1.5}, "next_item_weight"),
    ],
)
def test_bad_settings_are_named(keys, said):
    with pytest.raises(UserError, match=said):
        build("C2DSR", **keys)
