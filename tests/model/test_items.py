"""The item representation at its start, and for some ids against all."""

import pytest
import torch

from recbole_edt.model.items import ItemEncoder, nearest_seen, principal_directions


def encoder(projection="pca", ids=True, bias="popularity", size=40, width=12, hidden=5):
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randn(size, width, generator=generator)
    vectors[0] = 0
    torch.manual_seed(0)
    return ItemEncoder(vectors, torch.arange(size), hidden, projection, ids, bias), vectors


@pytest.mark.parametrize("projection", ["pca", "mlp"])
@pytest.mark.parametrize("ids", [True, False])
def test_some_ids_are_the_rows_of_all(projection, ids):
    model, _ = encoder(projection, ids)
    vectors, bias = model()
    chosen = torch.tensor([7, 3, 3, 39])
    some, some_bias = model(chosen)
    torch.testing.assert_close(some, vectors[chosen])
    torch.testing.assert_close(some_bias, bias[chosen])


def test_pca_start_spans_the_leading_directions_with_the_stated_scale():
    generator = torch.Generator().manual_seed(5)
    spread = torch.tensor([5.0, 3.0, 1.0, 0.1])
    points = torch.randn(4000, 4, generator=generator) * spread
    points = points - points.mean(0)
    rows = principal_directions(points, 2)
    projected = points @ rows.T
    assert float(projected.square().mean()) == pytest.approx(0.09, rel=1e-3)
    # the first direction is the first axis, the second the second
    assert rows.abs().argmax(1).tolist() == [0, 1]
    # uncorrelated
    assert abs(float((projected[:, 0] * projected[:, 1]).mean())) < 1e-4


def test_more_hidden_dimensions_than_vector_dimensions_leaves_zero_rows():
    rows = principal_directions(torch.randn(50, 3), 5)
    assert rows.shape == (5, 3)
    assert rows[3:].abs().sum() == 0
    assert torch.isfinite(rows).all()


def test_popularity_bias_starts_at_half_the_log_of_the_count():
    model, _ = encoder()
    torch.testing.assert_close(
        model.bias.detach()[[0, 3]], 0.5 * torch.log(torch.tensor([1.0, 4.0]))
    )
    assert encoder(bias="none")[0]()[1] is None


def test_frozen_vectors_stay_out_of_the_checkpoint():
    names = set(encoder()[0].state_dict())
    assert names == {"projection.weight", "ids.weight", "bias"}


def test_new_items_are_scored_by_the_mean_of_their_neighbours_and_others_stay():
    model, _ = encoder()
    with torch.no_grad():
        model.ids.weight.normal_()
        model.bias.normal_()
    model.set_neighbours(torch.tensor([4, 9]), torch.tensor([[1, 2], [3, 3]]))
    (before, bias_before), (vectors, bias) = model(), model.for_scoring()
    others = [n for n in range(40) if n not in (4, 9)]
    assert torch.equal(vectors[others], before[others])
    assert torch.equal(bias[others], bias_before[others])
    ids = model.ids.weight
    mean = (ids[1] + ids[2]) / 2
    expected = mean / mean.norm() * (ids[1].norm() + ids[2].norm()) / 2
    torch.testing.assert_close(vectors[4] - before[4], expected - ids[4])
    torch.testing.assert_close(vectors[9] - before[9], ids[3] - ids[9])
    torch.testing.assert_close(bias[[4, 9]], torch.stack([bias[[1, 2]].mean(), bias[3]]))


@pytest.mark.parametrize("ids", [True, False])
def test_without_bias_or_ids_the_rest_is_lent(ids):
    model, _ = encoder(ids=ids, bias="none")
    model.set_neighbours(torch.tensor([4]), torch.tensor([[1]]))
    vectors, bias = model.for_scoring()
    assert bias is None
    assert torch.equal(vectors[4], model()[0][4]) != ids


def test_nearest_seen_stay_in_the_domain_and_need_vectors(monkeypatch):
    monkeypatch.setattr("recbole_edt.model.similarity._MOST_COSINES", 4)  # several chunks
    torch.manual_seed(1)
    vectors = torch.randn(30, 6)
    vectors[[0, 5, 20]] = 0
    seen = torch.rand(30) < 0.5
    seen[[5, 20]] = torch.tensor([True, False])
    groups = [torch.arange(1, 18), torch.arange(18, 28), torch.tensor([28, 29])]
    seen[28], seen[29] = True, False
    new, near = nearest_seen(vectors, seen, groups, 2)
    expected = {}
    for group in groups[:2]:  # the third has one seen item, fewer than asked for
        known = [int(i) for i in group if seen[i] and i not in (5, 20)]
        for item in (int(i) for i in group if not seen[i] and i != 20):
            cosine = torch.nn.functional.cosine_similarity(vectors[known], vectors[item], dim=1)
            expected[item] = {known[n] for n in cosine.topk(2).indices.tolist()}
    found = dict(zip(new.tolist(), map(set, near.tolist()), strict=True))
    assert found == expected
    assert len(expected) > 5
