"""The shared encoder reads no later position, and its padding is harmless."""

import pytest
import torch

from recbole_edt.model.backbone import Backbone, BackboneSettings


def backbone(n_layers=2, hidden_dropout=0.5, attn_dropout=0.5, state_scale=1.0):
    torch.manual_seed(0)
    settings = (8, n_layers, 2, 16, hidden_dropout, attn_dropout, "gelu", 1e-12, 0.2, state_scale)
    return Backbone(BackboneSettings(*settings)).eval()


def test_editing_an_item_changes_no_earlier_output():
    model, positions = backbone(), torch.randn(6, 8)
    sequence = torch.randn(1, 6, 8)
    before = model(sequence, positions)
    for place in range(6):
        edited = sequence.clone()
        edited[0, place] = torch.randn(8)  # a constant shift would vanish in the norm
        after = model(edited, positions)
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=0)
        assert not torch.allclose(after[:, place], before[:, place])


def test_padding_on_the_right_changes_nothing():
    model, positions = backbone(), torch.randn(9, 8)
    sequence = torch.randn(2, 5, 8)
    padded = torch.cat([sequence, torch.randn(2, 4, 8)], dim=1)
    torch.testing.assert_close(model(padded, positions)[:, :5], model(sequence, positions))


@pytest.mark.parametrize(
    ("n_layers", "hidden_dropout", "attn_dropout", "differs"),
    [(0, 0.5, 0.0, True), (1, 0.0, 0.5, True), (1, 0.0, 0.0, False)],
    ids=["of the input", "in attention", "none"],
)
def test_dropout_is_applied_in_training_only(n_layers, hidden_dropout, attn_dropout, differs):
    model = backbone(n_layers, hidden_dropout, attn_dropout)
    sequence, positions = torch.randn(2, 5, 8), torch.randn(5, 8)
    still = model(sequence, positions)
    assert torch.equal(model(sequence, positions), still)
    model.train()
    assert torch.equal(model(sequence, positions), still) != differs


def test_dropout_of_a_layer_is_applied_to_both_of_its_branches():
    model = backbone(n_layers=1, attn_dropout=0.0)
    layer = model.layers[0]
    layer.dropout.p = 1.0  # everything that the branches add is dropped, and nothing else
    sequence = torch.randn(2, 5, 8)
    assert not torch.equal(layer(sequence), sequence)
    assert torch.equal(layer.train()(sequence), sequence)


def test_state_scale_is_the_first_weight_of_the_last_norm():
    sequence, positions = torch.randn(2, 5, 8), torch.randn(5, 8)
    full, small = backbone()(sequence, positions), backbone(state_scale=0.3)(sequence, positions)
    torch.testing.assert_close(small, 0.3 * full)
