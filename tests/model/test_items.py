"""The item representation at its start, and for some ids against all."""

import pytest
import torch

from recbole_edt.model.items import ItemEncoder, principal_directions


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
