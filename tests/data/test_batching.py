"""Batches of like length: every row once, little padding, and no effect on SASRec's scores."""

import numpy as np
import pytest
import torch

from recbole_edt.config import EDTConfig
from recbole_edt.data.batching import batches_of_like_length
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.runs.assembly import build_model, prepare_data


def test_every_row_comes_once_and_the_order_is_seeded():
    lengths = np.random.default_rng(0).integers(1, 50, size=1000)
    seeded = torch.Generator().manual_seed(1)
    batches = list(batches_of_like_length(lengths, 16, seeded))
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert max(len(batch) for batch in batches) == 16
    again = list(batches_of_like_length(lengths, 16, torch.Generator().manual_seed(1)))
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))
    following = list(batches_of_like_length(lengths, 16, seeded))
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(batches, following, strict=True))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.3 * lengths.sum()  # 50 / 25.5 = 1.96 without sorting


@pytest.mark.parametrize("model", ["SASRec", "GRU4Rec"])
def test_trimming_changes_no_score(model, make_dataset):
    folder = make_dataset(users=30)
    scores = []
    for trimmed in (False, True):
        keys = {"data_path": str(folder.parent), "trim_batches": trimmed}
        config = EDTConfig(model, folder.name, overrides=keys)
        dataset = CrossDomainDataset(config)
        loader, _, _ = prepare_data(config, dataset)
        torch.manual_seed(0)
        network = build_model(config, loader.dataset).eval()
        rows = np.arange(len(loader.dataset))
        batch = loader.dataset[rows]
        assert batch["item_id_list"].shape[1] == (batch["item_length"].max() if trimmed else 50)
        scores.append(network.full_sort_predict(batch).detach())
        seen = torch.cat([batch["item_id"] for batch in loader])
        assert torch.equal(seen.sort().values, loader.dataset.inter_feat["item_id"].sort().values)
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-4, atol=1e-5)


def test_a_model_trains_on_trimmed_batches(make_dataset, tmp_path):
    folder = make_dataset()
    keys = {
        "data_path": str(folder.parent),
        "output_dir": str(tmp_path / "out"),
        "epochs": 2,
        "trim_batches": True,
        "show_progress": False,
    }
    first = run_recbole_edt("SASRec", folder.name, overrides=keys)
    second = run_recbole_edt("SASRec", folder.name, overrides=keys)
    assert first["test"] == second["test"]
    assert first["phases"][0]["epochs"] == 2
