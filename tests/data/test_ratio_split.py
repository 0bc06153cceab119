"""Splits by shares: RecBole's sizes and rows, seeded draws, what models may be trained on them."""

import json

import numpy as np
import pytest
from stock import stock_config

from recbole_edt.config import EDTConfig, resolve
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.ratio_split import RatioSplit, part_sizes
from recbole_edt.data.split import TEST, TRAIN, VALID
from recbole_edt.errors import UserError
from recbole_edt.evaluation.targets import Targets

from recbole.data import create_dataset  # isort: skip  (shims first)

SHARES = (0.6, 0.2, 0.2)
RATIO = {"split": "ratio", "split_ratios": [0.6, 0.2, 0.2]}


def parts_of(folder, model="BPR", **keys):
    config = EDTConfig(model, folder.name, overrides={"data_path": str(folder.parent), **keys})
    return CrossDomainDataset(config).build()


def pairs(part):
    """Return the numbers of users and items of a part; both number by first appearance."""
    users, items = (part.inter_feat[f].tolist() for f in (part.uid_field, part.iid_field))
    return {*zip(users, items, strict=True)}


@pytest.mark.parametrize("group", ["user", "none"])
def test_parts_are_recboles(make_dataset, group):
    folder = make_dataset()
    ours = parts_of(folder, **RATIO, split_group=group)
    args = {"split": {"RS": list(SHARES)}, "order": "TO", "group_by": group, "mode": "full"}
    theirs = create_dataset(stock_config("BPR", folder, eval_args=args)).build()
    store = ours[0].store
    first = {(store.users[start], store.items[start]) for start in store.starts[1:-1]}
    for one, other in zip(ours, theirs, strict=True):
        expected = pairs(other)
        if one is not ours[0]:  # a target without any history is left out here
            expected -= first
        assert pairs(one) == expected
        assert len(one) == len(expected) > 0


def test_sizes_are_recboles(make_dataset):
    dataset = create_dataset(stock_config("BPR", make_dataset()))
    totals = np.arange(1, 60)
    for ratios in ((0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (8, 1, 1), (0.5, 0.05, 0.45)):
        normed = [share / sum(ratios) for share in ratios]
        sizes = np.array(part_sizes(totals, ratios)).T
        for total, found in zip(totals, sizes, strict=True):
            ends = [0, *dataset._calcu_split_ids(int(total), normed), total]
            assert found.tolist() == np.diff(ends).tolist()


def test_a_random_split_is_drawn_once():
    users, times = np.repeat(np.arange(50), 10), np.tile(np.arange(10.0), 50)
    split = RatioSplit(SHARES, "random", "user", 3)
    codes = split.codes(users, times)
    np.testing.assert_array_equal(codes, split.codes(users, times))
    assert (codes != RatioSplit(SHARES, "random", "user", 4).codes(users, times)).any()
    for code, count in ((TRAIN, 6), (VALID, 2), (TEST, 2)):
        assert (np.bincount(users[codes == code]) == count).all()
    by_day = [np.mean(codes[times == day] == TRAIN) for day in range(10)]
    assert min(by_day) > 0.3  # every day has some of each
    together = RatioSplit(SHARES, "random", "none", 3).codes(users, times)
    assert np.bincount(together).tolist() == [300, 100, 100]
    assert len({*np.bincount(users[together == TEST], minlength=50)}) > 2


def test_every_held_out_row_is_a_target_after_its_history(make_dataset):
    parts = parts_of(make_dataset(), "SASRec", **RATIO)
    targets = Targets(parts[2], "test")
    rows = parts[2].rows
    assert len(targets) == len(rows) > len({*targets.users})
    first = parts[0].user_starts[targets.users]
    for n in range(len(targets)):
        assert len(targets.history(np.array([n]))[1]) == targets.rows[n] - first[n]


def test_under_a_random_split_the_training_rows_are_masked(make_dataset):
    parts = parts_of(make_dataset(), **RATIO, split_order="random")
    codes, store = parts[0].codes, parts[0].store
    for part, name, known in ((1, "valid", [TRAIN]), (2, "test", [TRAIN, VALID])):
        targets = Targets(parts[part], name)
        for n in range(0, len(targets), 7):
            of_user = (store.users == targets.users[n]) & np.isin(codes, known)
            found = sorted(targets.history(np.array([n]))[1].tolist())
            assert found == sorted(store.items[of_user].tolist())
            assert targets.items[n] not in found


@pytest.mark.parametrize(
    ("model", "keys"),
    [("Popularity", {"split_order": "time"}), ("BPR", {"split_order": "random", "epochs": 1}),
     ("Pop", {"split_order": "random", "split_group": "none", "candidates": "all"})],
)  # fmt: skip
def test_runs(run_cli, make_dataset, tmp_path, model, keys):
    folder = make_dataset()
    flags = [f"--{key}={value}" for key, value in {**RATIO, **keys}.items()]
    done = run_cli("run", f"--model={model}", "--dataset=toy", f"--data_path={folder.parent}",
                   f"--output_dir={tmp_path}/out", *flags)  # fmt: skip
    assert done.status == 0, done.err
    (path,) = tmp_path.glob("out/toy/*/*/metrics.json")
    record = json.loads(path.read_text())
    assert record["protocol"]["split"].startswith("ratio-0.6-0.2-0.2-")
    assert 0 < record["test"]["overall"]["ndcg@10"] < 1


@pytest.mark.parametrize(
    ("model", "keys", "message"),
    [
        ("SASRec", {**RATIO, "split_order": "random"}, "found 'random', expected 'time': SASRec"),
        ("LLMEDT", {**RATIO, "split_order": "random"}, "LLMEDT reads histories in the order"),
        (
            "BPR", {**RATIO, "split_order": "random", "content_expert": True},
            "with content_expert",
        ),
        ("BPR", {"split_ratios": [0.7, 0.2, 0.1]}, "split_ratios: without effect with split: leav"),
        ("BPR", {**RATIO, "split_ratios": [0.8, 0.2]}, "expected three numbers > 0"),
        (
            "BPR",
            {"eval_args": {"split": {"RS": [7, 2, 1]}, "order": "RO", "group_by": None,
                           "mode": "uni100"}},
            "write split: ratio, split_ratios: [7, 2, 1], split_order: random, "
            "split_group: none, candidates: all, sampled_candidates: 100",
        ),
        (
            "BPR", {"eval_args": {"split": {"LS": "valid_and_test"}, "mode": "full"}},
            "eval_args: not used here; write split: leave_one_out, candidates: all",
        ),
        ("BPR", {"benchmark_filename": ["a", "b", "c"]}, "'recbole-edt prepare atomic'"),
    ],
)  # fmt: skip
def test_what_is_refused(model, keys, message):
    with pytest.raises(UserError) as caught:
        resolve(model, "ml-100k-genres", (), keys)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
