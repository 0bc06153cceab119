"""RecBole casts times to float32, where epoch seconds 10 s apart are equal: nothing may move."""

import numpy as np
import pandas as pd
import pytest

from recbole_edt.data.split import TEST, load_or_make_split
from recbole_edt.recbole_bridge.shims import prepare_recbole

USERS, LENGTH = 30, 12


@pytest.fixture
def shuffled(prepare_csv):
    """Prepare 30 users with one interaction every 10 s, the rows in random order."""
    rng = np.random.default_rng(0)
    items = [(f"i{number}", "food" if number % 2 else "kitchen") for number in range(40)]
    rows = [
        (f"u{user}", f"i{item}", 1_300_000_000 + 10 * place)
        for user in range(USERS)
        for place, item in enumerate(rng.permutation(40)[:LENGTH])
    ]
    shuffled = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).sample(
        frac=1, random_state=1
    )
    catalogue = pd.DataFrame(items, columns=["item_id", "domain"]).assign(title="t")
    prepare_csv(inter=shuffled.to_csv(index=False), items=catalogue.to_csv(index=False))
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


def test_interactions_and_targets_are_in_exact_order(shuffled, read, tmp_path):
    assert shuffled["timestamp"].astype(np.float32).nunique() < LENGTH  # the trap is there
    inter = read("small.inter").astype({"timestamp": int})
    expected = shuffled.groupby("user_id")["item_id"].agg(list).to_dict()
    assert inter.groupby("user_id")["item_id"].agg(list).to_dict() == expected
    codes = load_or_make_split(tmp_path / "dataset" / "small", "small", "leave_one_out").codes
    targets = inter[codes == TEST].set_index("user_id")["item_id"].to_dict()
    assert targets == {user: items[-1] for user, items in expected.items()}


def test_recbole_finds_the_same_targets(shuffled, tmp_path):
    prepare_recbole()
    from recbole.config import Config
    from recbole.data.dataset import SequentialDataset

    config = Config(
        model="SASRec",
        dataset="small",
        config_file_list=[str(tmp_path / "dataset" / "small" / "small.yaml")],
        config_dict={"data_path": str(tmp_path / "dataset"), "train_neg_sample_args": None},
    )
    dataset = SequentialDataset(config)
    test = dataset.build()[2].inter_feat
    found = dict(
        zip(
            dataset.id2token("user_id", test["user_id"].numpy()),
            dataset.id2token("item_id", test["item_id"].numpy()),
            strict=True,
        )
    )
    assert found == shuffled.groupby("user_id")["item_id"].last().to_dict()
