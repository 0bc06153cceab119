"""Smoothed targets against a target distribution over all candidates, written out."""

import math

import numpy as np
import pytest
import test_llmedt
import torch
from small_baselines import build, windows

from recbole_edt.config import EDTConfig, identity, resolve
from recbole_edt.data.windows import LABELS
from recbole_edt.errors import UserError
from recbole_edt.model.candidate_sets import ItemVectors, NextItemLoss
from recbole_edt.model.protocols import capabilities_of
from recbole_edt.model.smoothing import SmoothingSettings, TargetSmoothing, nearest_items

EPS, TAU, K = 0.3, 0.5, 3
KEYS = {
    "target_smoothing": EPS, "target_smoothing_temperature": TAU, "target_smoothing_neighbours": K,
}  # fmt: skip
DOMAIN = [-1, 0, 1, 0, 0, 1, 0, 0, 1, 0]
NO_VECTOR, NEW = 4, 6  # of domain 0


@pytest.fixture
def vectors():
    values = np.random.default_rng(2).normal(size=(len(DOMAIN), 5))
    values[[0, NO_VECTOR]] = 0
    return values


def cosine(x, y):
    return float(x @ y / math.sqrt((x @ x) * (y @ y)))


def target_of(label, vectors, domain, known, eps=EPS, tau=TAU, k=K):
    """Return the whole distribution over items, one by one."""
    others = [
        i for i in range(1, len(domain))
        if i != label and domain[i] == domain[label] and known[i]
        and vectors[i].any() and vectors[label].any()
    ]  # fmt: skip
    nearest = sorted(others, key=lambda i: -cosine(vectors[i], vectors[label]))[:k]
    target = np.zeros(len(domain))
    target[label] = 1 - eps if nearest else 1
    exponents = {i: math.exp(cosine(vectors[i], vectors[label]) / tau) for i in nearest}
    for item, exponent in exponents.items():
        target[item] += eps * exponent / sum(exponents.values())
    return target


def smoothing_of(vectors, count=K):
    domain, known = torch.tensor(DOMAIN), torch.ones(len(DOMAIN), dtype=torch.bool)
    known[[0, NEW]] = False
    groups = [(domain == k).nonzero().flatten() for k in range(2)]
    table = nearest_items(torch.from_numpy(vectors).float(), domain >= 0, known, groups, count)
    return TargetSmoothing(*table), known


@pytest.mark.parametrize("scope", ["target_domain", "all"])
@pytest.mark.parametrize("has_bias", [True, False])
def test_the_loss_is_the_cross_entropy_with_the_dense_target(vectors, scope, has_bias):
    smoothing, known = smoothing_of(vectors)
    competes = known.clone()
    competes[NEW] = True
    loss = NextItemLoss("CE", 1, torch.tensor(DOMAIN), competes)
    loss.smoothing = smoothing.double()
    smoothing.use(SmoothingSettings(EPS, TAU, K))
    generator = torch.Generator().manual_seed(1)
    # domain 1 has two other items for three neighbours, item 4 no vector; labels repeat
    labels = torch.tensor([1, 2, NO_VECTOR, 9, 2, 8, 1])
    states = torch.randn(len(labels), 4, generator=generator, dtype=torch.float64)
    items = torch.randn(len(DOMAIN), 4, generator=generator, dtype=torch.float64)
    bias = torch.randn(len(DOMAIN), generator=generator, dtype=torch.float64) * has_bias
    leaves = [[part.clone().requires_grad_() for part in (states, items, bias)] for _ in range(2)]
    s, i, b = leaves[0]
    table = ItemVectors(i, b if has_bias else None)
    found = loss([s], loss.candidate_sets(labels, scope), table)
    s, i, b = leaves[1]
    expected = 0.0
    for row, label in enumerate(labels.tolist()):
        scores = i @ s[row] + b
        candidates = [
            c for c in range(1, len(DOMAIN)) if scope == "all" or DOMAIN[c] == DOMAIN[label]
        ]
        log_share = scores - scores[candidates].logsumexp(0)
        target = torch.from_numpy(target_of(label, vectors, DOMAIN, known))
        expected = expected - (target * log_share).sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)  # cosines are float32
    for loss_value in (found, expected):
        loss_value.backward()
    for ours, theirs in zip(*leaves, strict=True):
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-5)


def test_neighbours_are_known_items_of_the_labels_domain_and_never_itself(vectors):
    smoothing, _ = smoothing_of(vectors, count=8)
    smoothing.use(SmoothingSettings(EPS, TAU, 8))
    for item, (near, weights) in enumerate(
        zip(smoothing.neighbours.tolist(), smoothing.weights, strict=True)
    ):
        given = [i for i, w in zip(near, weights.tolist(), strict=True) if w]
        assert not {item, 0, NEW, NO_VECTOR} & {*given}
        assert {DOMAIN[i] for i in given} <= {DOMAIN[item]}
        assert float(weights.sum()) == pytest.approx(float(bool(given)))
    assert not smoothing.weights[[0, NO_VECTOR]].any()


def dense(model, labels):
    """Let a model compute the loss from whole targets, candidate by candidate."""
    domain = model.item_domain.tolist()
    vectors, counts = labels

    def loss(states, one, items):
        table, bias = items.of(one.candidates)
        log_shares = (states @ table.T + (0 if bias is None else bias)).log_softmax(1)
        total = states.sum() * 0
        for row, label in enumerate(one.labels.tolist()):
            target = torch.from_numpy(target_of(label, vectors, domain, counts > 0)).float()
            total = total - (target[one.candidates] * log_shares[row]).sum()
        return total

    model.next_item._loss = loss


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("ABXI", {"inner_size": 12, "n_heads": 2}), ("C2DSR", {}), ("LLM4CDSR", {"n_heads": 2}),
        ("SASRecLLM", {"inner_size": 12}), ("SASRecSingle", {"inner_size": 12}), ("TriCDR", {}),
    ],
)  # fmt: skip
def test_every_trained_model_takes_it(name, keys):
    model = build(name, **keys, **KEYS, loss_type="CE")
    batch = windows()
    torch.manual_seed(1)
    found = model.calculate_loss(batch)
    catalogue = build.__globals__["Catalogue"](3)
    dense(model, (catalogue.item_vectors(), catalogue.item_counts()))
    torch.manual_seed(1)
    assert found.item() == pytest.approx(model.calculate_loss(batch).item(), rel=1e-5)
    assert not any("smoothing" in key for key in model.state_dict())


def test_each_phase_of_llmedt_has_its_own_keys():
    keys = {**KEYS, "shared_target_smoothing": 0.0, "domain_target_smoothing_neighbours": 2}
    model = test_llmedt.build(**keys).eval()
    plain = test_llmedt.build().eval()
    batch = test_llmedt.windows(model)
    assert batch[LABELS].any()
    assert torch.equal(model.calculate_loss(batch), plain.calculate_loss(batch))
    capabilities_of(model).begin_phase("domain")
    smoothing = model.next_item.smoothing
    assert smoothing.share == EPS
    assert (smoothing.weights > 0).sum(1).max() == 2
    capabilities_of(plain).begin_phase("domain")
    assert model.calculate_loss(batch).item() != pytest.approx(plain.calculate_loss(batch).item())


REFUSED = [
    ("LLMEDT", {"loss_type": "SS", "target_smoothing": 0.2}, "expected 0 with loss_type: SS"),
    ("LLMEDT", {"recipe": "paper", "domain_target_smoothing": 0.2}, "domain_.* loss_type: BCE"),
    ("ABXI", {"target_smoothing": 0.2}, "found 0.2, expected 0 with loss_type: published"),
    ("GRU4Rec", {"target_smoothing": 0.2}, "expected 0: GRU4Rec has no cross-entropy"),
    ("Popularity", {"target_smoothing": 0.2}, "expected 0: Popularity has no cross-entropy"),
    ("LLMEDT", {"target_smoothing": 1}, "expected a value from 0 to below 1"),
    ("LLMEDT", {"target_smoothing_temperature": 0}, "expected a value > 0"),
    ("LLMEDT", {"target_smoothing_neighbours": 0}, "expected a value > 0"),
]


@pytest.mark.parametrize(("model", "keys", "said"), REFUSED)
def test_what_is_refused(model, keys, said):
    with pytest.raises(UserError, match=said):
        resolve(model, "none", overrides=keys)


def test_keys_that_change_nothing_leave_a_runs_id_as_it_was():
    settings = EDTConfig("LLMEDT", "none").to_dict()
    assert settings["target_smoothing"] == 0
    assert not any("target_smoothing" in key for key in identity(settings))
    given = EDTConfig("LLMEDT", "none", overrides={"shared_target_smoothing": 0.1}).to_dict()
    assert [k for k in identity(given) if "target_smoothing" in k] == ["shared_target_smoothing"]
