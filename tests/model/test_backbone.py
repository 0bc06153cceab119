"""The shared encoder reads no later position, and its padding is harmless."""

import torch

from recbole_edt.model.backbone import Backbone, BackboneSettings


def backbone():
    torch.manual_seed(0)
    return Backbone(BackboneSettings(8, 2, 2, 16, 0.5, 0.5, "gelu", 1e-12, 0.2, 1.0)).eval()


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
