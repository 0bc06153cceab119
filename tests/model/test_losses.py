"""Losses against their definitions, written out term by term."""

import math

import pytest
import torch

from recbole_edt.model import losses


@pytest.fixture
def scores():
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    items = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    bias = torch.randn(7, generator=generator, dtype=torch.float64)
    return states, items, bias, torch.tensor([0, 6, 3, 3, 1])


def written_out(states, items, bias, labels):
    total = 0.0
    for state, label in zip(states, labels.tolist(), strict=True):
        exponents = [
            math.exp(float(state @ item) + float(b)) for item, b in zip(items, bias, strict=True)
        ]
        total -= math.log(exponents[label] / sum(exponents))
    return total


def test_cross_entropy_is_minus_the_log_of_the_softmax(scores):
    states, items, bias, labels = scores
    found = losses.cross_entropy(states, items, bias, labels)
    assert float(found) == pytest.approx(written_out(states, items, bias, labels))
    without = losses.cross_entropy(states, items, None, labels)
    assert float(without) == pytest.approx(written_out(states, items, torch.zeros(7), labels))


def test_cross_entropy_in_chunks_has_the_same_value_and_gradient(scores, monkeypatch):
    states, items, bias, labels = scores
    gradients = []
    for limit in (1 << 25, 14):  # 14 logits: two of five states at a time
        monkeypatch.setattr(losses, "_MOST_LOGITS", limit)
        leaf = items.clone().requires_grad_()
        loss = losses.cross_entropy(states, leaf, bias, labels)
        loss.backward()
        gradients.append((loss.item(), leaf.grad))
    assert gradients[0][0] == pytest.approx(gradients[1][0])
    torch.testing.assert_close(gradients[0][1], gradients[1][1])


def test_sampled_softmax_over_every_other_item_is_the_full_cross_entropy(scores):
    states, items, bias, labels = scores
    total = 0.0
    for row in range(5):
        others = torch.tensor([i for i in range(7) if i != int(labels[row])])
        all_scores = items @ states[row] + bias
        total += float(
            losses.sampled_softmax(
                all_scores[labels[row : row + 1]],
                all_scores[others][None],
                torch.zeros(1, 6, dtype=torch.bool),
                num_candidates=7,
            )
        )
    assert total == pytest.approx(written_out(states, items, bias, labels))


def test_sampled_softmax_leaves_out_a_negative_that_is_the_label():
    positive, negatives = torch.tensor([1.0]), torch.tensor([[1.0, 0.5]])
    hidden = torch.tensor([[True, False]])
    # one usable negative among two draws stands for (9 - 1) / 2 items
    expected = -math.log(math.exp(1.0) / (math.exp(1.0) + 4 * math.exp(0.5)))
    assert float(losses.sampled_softmax(positive, negatives, hidden, 9)) == pytest.approx(expected)


def test_binary_cross_entropy_sums_both_parts():
    found = losses.binary_cross_entropy(torch.tensor([2.0]), torch.tensor([-1.0]))
    expected = -math.log(1 / (1 + math.exp(-2))) - math.log(1 - 1 / (1 + math.exp(1)))
    assert float(found) == pytest.approx(expected)


def test_draw_others_is_uniform_over_the_others_and_never_the_label():
    torch.manual_seed(0)
    labels = torch.full((20_000,), 2)
    drawn = losses.draw_others(labels, 5)
    counts = torch.bincount(drawn, minlength=5)
    assert counts[2] == 0
    assert len(counts) == 5
    assert (counts[[0, 1, 3, 4]] - 5000).abs().max() < 300  # five standard deviations
    assert losses.draw_others(torch.tensor([0]), 1).tolist() == [0]
