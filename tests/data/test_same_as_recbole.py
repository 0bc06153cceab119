"""The parts of CrossDomainDataset against RecBole's own SequentialDataset and Dataset."""

import numpy as np
import pytest
import torch
from stock import stock_parts
from synthetic import write_inter, write_items

from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset

PARTS = ("train", "valid", "test")


def our_parts(model, folder, **keys):
    config = EDTConfig(model, folder.name, overrides={"data_path": str(folder.parent), **keys})
    return CrossDomainDataset(config).build()


def everything(part):
    return part[np.arange(len(part))].interaction


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    mine, expected = everything(ours), everything(theirs)
    assert set(mine) == set(expected)
    for field, tensor in expected.items():
        assert mine[field].dtype == tensor.dtype, field
        assert torch.equal(mine[field], tensor), field


@pytest.mark.parametrize("max_length", [1, 7, 50, 200])
def test_every_sequential_row_is_recboles(ml100k_small, max_length):
    ours = our_parts("SASRec", ml100k_small, MAX_ITEM_LIST_LENGTH=max_length)
    theirs = stock_parts(
        "SASRec", ml100k_small, MAX_ITEM_LIST_LENGTH=max_length, train_neg_sample_args=None
    )
    for mine, expected in zip(ours, theirs, strict=True):
        assert_same(mine, expected)


def test_every_general_row_is_recboles(ml100k_small):
    ours, theirs = our_parts("BPR", ml100k_small), stock_parts("BPR", ml100k_small)
    for mine, expected in zip(ours, theirs, strict=True):
        assert_same(mine, expected)


@pytest.mark.parametrize("model", ["SASRec", "BPR"])
def test_further_columns_of_unsorted_files_are_recboles(tmp_path, model):
    """Numbers of tokens follow the file's order, whatever the order of the rows in memory."""
    rng = np.random.default_rng(5)
    folder = tmp_path / "shop"
    write_inter(folder / "shop.inter", [])
    lines = ["user_id:token\titem_id:token\tdevice:token\ttags:token_seq\ttimestamp:float"]
    for row in rng.permutation(12 * 8):
        user, at = divmod(int(row), 8)
        tags = " ".join(rng.choice(["new", "sale", "gift", "blue"], rng.integers(1, 4)))
        lines.append(f"u{user}\ti{(3 * user + at) % 20}\tdevice{rng.integers(5)}\t{tags}\t{row}")
    (folder / "shop.inter").write_text("\n".join(lines) + "\n")
    items = [f"i{n}\t{'ab'[n % 2]}\ttag{n % 3}" for n in rng.permutation(23)]
    (folder / "shop.item").write_text(
        "\n".join(["item_id:token\tdomain:token\tkind:token", *items])
    )
    columns = ["user_id", "item_id", "device", "tags", "timestamp"]
    keys = {"load_col": {"inter": columns, "item": ["item_id", "domain", "kind"]}}
    if model == "SASRec":
        keys["train_neg_sample_args"] = None
    ours, theirs = our_parts(model, folder, **keys), stock_parts(model, folder, **keys)
    for field in [*columns[:-1], "domain", "kind"]:
        tokens = theirs[0].field2id_token[field]
        assert ours[0].field2id_token[field].tolist() == tokens.tolist()
    for mine, expected in zip(ours, theirs, strict=True):
        assert_same(mine, expected)


def test_any_order_of_rows_can_be_asked_for(ml100k_small):
    ours = our_parts("SASRec", ml100k_small)[0]
    theirs = stock_parts("SASRec", ml100k_small, train_neg_sample_args=None)[0]
    index = np.random.default_rng(1).permutation(len(ours))[:64]
    mine, expected = ours[index].interaction, theirs[index].interaction
    assert all(torch.equal(mine[field], expected[field]) for field in expected)


@pytest.mark.parametrize("model", ["SASRec", "BPR"])
def test_user_item_matrix_is_recboles(ml100k_small, model):
    loss = {"SASRec": {"train_neg_sample_args": None}, "BPR": {}}[model]
    ours = our_parts(model, ml100k_small)[0].inter_matrix()
    theirs = stock_parts(model, ml100k_small, **loss)[0].inter_matrix()
    assert ours.shape == theirs.shape
    assert (ours.tocsr() != theirs.tocsr()).nnz == 0


@pytest.fixture
def seconds_apart(tmp_path):
    """Write users whose items are 10 s apart, in shuffled lines; item number = position."""
    rng = np.random.default_rng(3)
    start = 1_700_000_000
    rows = [(f"u{u}", f"i{i:02d}", start + 977 * u + 10 * i) for u in range(30) for i in range(12)]
    folder = tmp_path / "seconds"
    write_inter(folder / "seconds.inter", [rows[k] for k in rng.permutation(len(rows))])
    write_items(folder / "seconds.item", [(f"i{i:02d}", "ab"[i % 2]) for i in range(12)])
    return folder


def test_seconds_do_not_merge(seconds_apart):
    """RecBole casts timestamps to float32 (steps of 128 s here) before it sorts by them."""

    def sequences(part):
        rows, token = everything(part), part.field2id_token["item_id"]
        ends = [token[list(row)] for row in rows["item_id_list"].numpy()]
        targets = token[rows["item_id"].numpy()]
        return [" ".join([*end[:length], target]) for end, length, target in
                zip(ends, rows["item_length"], targets, strict=True)]  # fmt: skip

    right = " ".join(f"i{i:02d}" for i in range(12))
    assert sequences(our_parts("SASRec", seconds_apart)[2]) == [right] * 30
    theirs = stock_parts("SASRec", seconds_apart, train_neg_sample_args=None)[2]
    assert sequences(theirs) != [right] * 30, "RecBole is mended: this class needs no own sort"
