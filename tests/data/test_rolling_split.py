"""Rolling splits by hand: which row is in which part of each fold, and what is refused."""

import json
from itertools import pairwise

import numpy as np
import pytest
from synthetic import write_inter, write_items

from recbole_edt.config import EDTConfig, resolve
from recbole_edt.config.keys.evaluation import most_folds
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.rolling_split import RollingSplit
from recbole_edt.data.split import by_time, load_or_make_split
from recbole_edt.errors import UserError
from recbole_edt.evaluation.sampled_candidates import load_or_draw

# one row a day, days 0 to 9; 0 training, 1 validation, 2 test, 3 context, 4 later
USERS = np.array([0, 1, 0, 1, 0, 0, 1, 2, 0, 0])
BY_HAND = {
    # windows of two days; fold 1 validates on days 4 and 5, tests on days 6 and 7
    1: [0, 0, 0, 0, 3, 1, 2, 2, 4, 4],  # day 4 is not user 0's last in the window
    2: [0, 0, 0, 0, 0, 0, 1, 1, 3, 2],
}


@pytest.mark.parametrize("fold", [1, 2])
def test_the_codes_of_each_fold_by_hand(fold):
    split = RollingSplit(2, 0.2, fold)
    assert split.kind == f"rolling-2-0.2-fold{fold}"
    assert split.codes(USERS, np.arange(10.0)).tolist() == BY_HAND[fold]


def test_rows_may_come_in_any_order_and_fast_time():
    shuffled = np.random.default_rng(3).permutation(10)
    codes = RollingSplit(2, 0.2, 1).codes(USERS[shuffled], 1e9 + 7.0 * shuffled)
    assert codes.tolist() == np.array(BY_HAND[1])[shuffled].tolist()


@pytest.mark.parametrize("fold", [None, 3])
def test_the_last_fold_is_the_split_time(fold):
    rng = np.random.default_rng(0)
    users, times = rng.integers(0, 40, 2003), rng.integers(0, 9000, 2003).astype(float)
    codes = RollingSplit(3, 0.1, fold).codes(users, times)
    assert np.array_equal(codes, by_time(users, times))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.13])
def test_a_test_window_is_the_next_folds_validation_window(share):
    rng = np.random.default_rng(1)
    users, times = rng.integers(0, 40, 3000), rng.permutation(3000).astype(float)
    folds = most_folds(share)
    codes = [RollingSplit(folds, share, n).codes(users, times) for n in range(1, folds + 1)]
    for earlier, later in pairwise(codes):
        assert np.array_equal(earlier == 2, later == 1)
        assert ((earlier != 0) | (later == 0)).all()  # training rows only become more
        assert times[earlier == 0].max() < times[(earlier == 1) | (earlier == 2)].min()
    ends = [times[one < 4].max() + 1 for one in codes]  # a row each moment
    assert np.allclose(np.diff(ends), 3000 * share, atol=1)
    assert ends[-1] == 3000


def test_no_fold_depends_on_what_comes_after_it():
    rng = np.random.default_rng(2)
    users, times = rng.integers(0, 40, 1000), np.arange(1000.0)
    split = RollingSplit(3, 0.1, 1)
    before = split.codes(users, times)
    later = before == 4
    assert later.sum() == 200
    users[later] = rng.integers(0, 400, 200)
    times[later] = times[later][rng.permutation(200)]
    assert np.array_equal(split.codes(users, times), before)


def write(tmp_path, times):
    folder = tmp_path / "dataset" / "toy"
    users = [f"u{user}" for user in USERS]
    rows = [
        (user, f"d{n % 2}-{n // 2}", t)
        for n, (user, t) in enumerate(zip(users, times, strict=True))
    ]
    write_inter(folder / "toy.inter", rows)
    write_items(folder / "toy.item", [(f"d{k}-{n}", f"d{k}") for k in range(2) for n in range(6)])
    return folder


def test_the_files_hold_a_fold(tmp_path):
    folder = write(tmp_path, range(10))
    split = load_or_make_split(folder, "toy", RollingSplit(2, 0.2, 1))
    assert split.codes.tolist() == BY_HAND[1]
    info = json.loads((folder / "split" / "rolling-2-0.2-fold1.json").read_text())
    assert info["counts"] == {"train": 4, "valid": 1, "test": 2, "context": 1, "later": 2}
    again = load_or_make_split(folder, "toy", RollingSplit(2, 0.2, 1))
    assert again.hash == split.hash
    last = load_or_make_split(folder, "toy", RollingSplit(2, 0.2, None))
    assert last.codes.tolist() == BY_HAND[2]
    info = json.loads((folder / "split" / "rolling-2-0.2.json").read_text())
    assert "later" not in info["counts"]


@pytest.mark.parametrize("model", ["SASRec", "BPR"])
def test_a_dataset_of_a_fold(tmp_path, model):
    folder = write(tmp_path, range(10))
    keys = {"data_path": str(folder.parent), "split": "rolling", "folds": 2, "fold_share": 0.2}
    dataset = CrossDomainDataset(EDTConfig(model, "toy", overrides={**keys, "fold": 1}))
    _, valid, test = dataset.build()
    token = dataset.field2id_token[dataset.iid_field]
    shown = [[token[item] for item in dataset.store.items[part.rows]] for part in (valid, test)]
    assert shown == [["d1-2"], ["d0-3"]]  # user 2's first row is no target: nothing is before it
    counted = {token[item]: int(n) for item, n in enumerate(dataset.item_counts()) if n}
    assert counted == {"d0-0": 1, "d1-0": 1, "d0-1": 1, "d1-1": 1}
    if model == "SASRec":  # RecBole draws negatives beside these targets
        assert not np.isin(dataset.codes[dataset.rows], (3, 4)).any()


def test_sampled_candidates_do_not_tell_what_a_user_has_later(tmp_path):
    """User 0 has d0-4 and d1-4 on days 8 and 9: fold 1 draws them, fold 2 does not."""
    folder = write(tmp_path, range(10))
    drawn = {}
    for fold, part_of, had in ((1, 1, 4), (2, 2, 6)):  # targets on days 5 and 9
        keys = {"data_path": str(folder.parent), "split": "rolling", "folds": 2, "fold_share": 0.2}
        dataset = CrossDomainDataset(EDTConfig("SASRec", "toy", overrides={**keys, "fold": fold}))
        part = dataset.build()[part_of]
        user, token = dataset.field2token_id[dataset.uid_field]["u0"], dataset.item_tokens
        rows = part.rows[dataset.store.users[part.rows] == user]
        items, _ = load_or_draw(part, "test", rows, 12 - had, "all")  # all that there are
        drawn[fold] = {token[item - 1] for item in items.ravel()}
    assert {"d0-4", "d1-4"} <= drawn[1]
    assert not {"d0-4", "d1-4"} & drawn[2]


def refusal(call):
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"folds": 0}, "folds: found 0, expected a value > 0"),
        ({"folds": 2.5}, "folds: found 2.5, expected a whole number"),
        ({"folds": 9}, "folds: found 9, expected at most 8 with fold_share: 0.1"),
        ({"folds": 3, "fold_share": 0.3}, "folds: found 3, expected at most 2 with fold_share"),
        ({"fold_share": 0.5}, "fold_share: found 0.5, expected a value between 0 and 0.5"),
        ({"fold_share": 0}, "fold_share: found 0, expected a value between 0 and 0.5"),
        ({"fold": 0}, "fold: found 0, expected a value > 0"),
        ({"fold": 4}, "fold: found 4, expected 1 to 3, as folds says"),
        ({"split_seed": 1}, "split_seed: without effect with split: rolling; expected split: rat"),
        (
            {"split": "time", "folds": 4},
            "folds: without effect with split: time; expected split: r",
        ),
        (
            {"split": "ratio", "fold": 1},
            "fold: without effect with split: ratio; expected split: r",
        ),
        ({"split": "roling"}, "split: found 'roling', expected one of"),
    ],
)
def test_keys_that_are_refused(keys, message):
    assert message in refusal(lambda: resolve("BPR", "toy", (), {"split": "rolling", **keys}))


def test_folds_without_rows_are_refused(tmp_path):
    same = refusal(lambda: RollingSplit(2, 0.2, 1).codes(USERS, np.full(10, 7.0)))
    assert same == (
        "split: rolling cuts at moments, but all 10 interactions have the timestamp 7; expected "
        "timestamps that differ"
    )
    # nobody has a row before the test window
    few = refusal(lambda: RollingSplit(1, 0.2, None).codes(np.arange(10), np.arange(10.0)))
    assert few.startswith("folds: fold 1 of 1 with fold_share: 0.2 has 6 training rows, none of")
    # days 4 to 7 are one moment, which is the test window of fold 1 and leaves no row to validate
    times = np.array([0.0, 1, 2, 3, 6, 6, 6, 6, 8, 9])
    empty = refusal(lambda: RollingSplit(2, 0.2, 1).codes(USERS, times))
    assert empty.startswith("folds: fold 1 of 2 with fold_share: 0.2 has 0 validation rows, none")
    # most rows have the first timestamp
    times = np.array([0.0] * 8 + [1, 2])
    start = refusal(lambda: RollingSplit(2, 0.2, 1).codes(USERS, times))
    assert start.startswith("folds: fold 1 of 2 with fold_share: 0.2 has 0 training rows, none of")


def test_most_folds_leave_rows_to_train_on():
    for share in (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.45, 0.4999):
        most = most_folds(share)
        assert most >= 1
        assert (most + 1) * share < 1 - 1e-9 <= (most + 2) * share + 1e-8
