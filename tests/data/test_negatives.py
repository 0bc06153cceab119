"""What the negatives of RecBole's models are drawn by."""

import numpy as np
import pytest

from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.runs.assembly import prepare_data


@pytest.mark.parametrize(("model", "more"), [("BPR", {}), ("SASRec", {"loss_type": "BPR"})])
def test_popular_negatives_are_those_of_training(make_dataset, model, more):
    """Held-out rows are of no weight: items that stand in nothing else are never drawn."""
    folder = make_dataset(users=90)
    keys = {
        "data_path": str(folder.parent), **more,
        "train_neg_sample_args": {"distribution": "popularity", "alpha": 1.0},
    }  # fmt: skip
    dataset = CrossDomainDataset(EDTConfig(model, folder.name, overrides=keys))
    loader, *_ = prepare_data(dataset.config, dataset)
    drawn = np.concatenate([batch["neg_item_id"].numpy() for _ in range(20) for batch in loader])
    counts = np.bincount(drawn, minlength=dataset.item_num)
    trained = dataset.item_counts() > 0
    held_out = np.setdiff1d(dataset.flat["item_id"].numpy(), np.flatnonzero(trained))
    assert len(held_out) >= 3
    assert not counts[held_out].any()
    assert (counts[trained] > 0).all()
    popular, rare = (dataset.field2token_id["item_id"][f"d0-{n}"] for n in (0, 11))
    assert counts[popular] > 2 * counts[rare]
