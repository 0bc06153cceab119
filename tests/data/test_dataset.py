import numpy as np
import pandas as pd
import pytest
import torch
from synthetic import SHORT_USERS, write_inter, write_items

from recbole_edt.data.split import (
    CONTEXT,
    TEST,
    TRAIN,
    VALID,
    by_time,
    load_or_make_split,
    save_split,
)
from recbole_edt.errors import UserError


def users_of(part):
    users = part[np.arange(len(part))]["user_id"].numpy()
    return set(part.field2id_token["user_id"][users])


@pytest.mark.parametrize("model", ["SASRec", "BPR"])
def test_short_users_are_trained_on_first(make_dataset, load, model):
    """One interaction: training only; two: no validation; a target needs a history."""
    train, valid, test = load(make_dataset(), model).build()
    short = set(SHORT_USERS)
    first_rows = {"SASRec": set(), "BPR": short}[model]  # the rest has nothing before it
    assert users_of(train) & short == first_rows
    assert users_of(valid) & short == {"three"}
    assert users_of(test) & short == {"two", "three"}


@pytest.mark.parametrize("domains", [2, 4])
def test_domains_are_numbered_by_name(make_dataset, load, domains):
    dataset = load(make_dataset(domains=domains))
    assert dataset.domains == [f"d{k}" for k in range(domains)]
    tokens = dataset.field2id_token["item_id"]
    assert dataset.item_domain[0] == -1
    for item, domain in zip(tokens[1:], dataset.item_domain[1:], strict=True):
        assert f"d{domain}" == item.split("-")[0]
    assert "d0-13" in tokens, "an item without interactions is a candidate, too"


def test_counts_see_training_rows_only(make_dataset, load):
    folder = make_dataset(domains=4)
    part = load(folder).build()[2]
    frame = pd.read_csv(folder / "toy.inter", sep="\t", names=["user", "item", "time"], skiprows=1)
    frame = frame[part.split.codes == TRAIN]
    frame["domain"] = frame["item"].str.split("-").str[0]
    users, items = part.field2id_token["user_id"], part.field2id_token["item_id"]
    per_user = pd.crosstab(frame["user"], frame["domain"]).reindex(users[1:], fill_value=0)
    everyone = np.arange(1, part.user_num)
    counts = part.history_counts(everyone, part.user_starts[everyone + 1])
    np.testing.assert_array_equal(counts, per_user.to_numpy())
    per_item = frame["item"].value_counts().reindex(items[1:], fill_value=0)
    np.testing.assert_array_equal(part.item_counts()[1:], per_item.to_numpy())
    assert part.item_counts()[0] == 0
    assert (part.item_counts()[[part.token2id("item_id", f"d{k}-12") for k in range(4)]] == 0).all()


def test_histories_are_counted_up_to_the_target_context_included(make_dataset, load):
    folder = make_dataset(domains=3)
    codes = load_or_make_split(folder, "toy", "leave_one_out").codes.copy()
    codes[np.flatnonzero(codes == TRAIN)[1::2]] = CONTEXT
    save_split(folder, "toy", "leave_one_out", codes)
    part = load(folder).build()[2]
    users = part.flat["user_id"].numpy()[part.rows]
    counts = part.history_counts(users, part.rows)
    items, owners = part.flat["item_id"].numpy(), part.flat["user_id"].numpy()
    for row, user, found in zip(part.rows, users, counts, strict=True):
        before = [r for r in range(row) if owners[r] == user and part.codes[r] in (TRAIN, CONTEXT)]
        domains = part.item_domain[items[before]].tolist()
        assert found.tolist() == [domains.count(k) for k in range(3)]
    assert (part.codes == CONTEXT).sum() > 100


def test_memory_does_not_grow_with_the_longest_history(make_dataset, load):
    """Parts hold the numbers of their rows only; the columns are the store's own memory."""

    def held(length):
        parts = load(make_dataset(users=100), MAX_ITEM_LIST_LENGTH=length).build()
        flat, store = parts[0].flat, parts[0].store
        assert flat["user_id"].values is store.users
        assert flat["item_id"].values is store.items
        assert flat["timestamp"].values is store.times
        assert not any(column.flags.owndata for column in (store.users, store.items, store.times))
        return sum(part.rows.nbytes for part in parts), len(flat)

    (small, rows), (large, _) = held(5), held(500)
    assert small == large
    assert large <= 4 * rows


def test_time_split_never_trains_on_the_future(make_dataset, load):
    dataset = load(make_dataset(users=150), split="time")
    train, valid, test = dataset.build()
    times = train.flat["timestamp"].tensor().double().numpy()
    codes = train.codes
    assert times[train.rows].max() <= times[codes != TRAIN].min()
    assert times[valid.rows].max() <= times[test.rows].min()
    assert (codes == CONTEXT).any()
    for part, code in ((train, TRAIN), (valid, VALID), (test, TEST)):
        assert (codes[part.rows] == code).all()
        users = part.flat["user_id"][part.rows]
        assert code == TRAIN or len(users) == len(users.unique())


def test_time_split_by_hand_and_at_a_tied_cut():
    """Ten rows: cuts at the 80 % and 90 % quantiles; rows at a cut belong to the later window."""
    users = np.array([1, 1, 1, 2, 2, 2, 1, 2, 1, 2])
    t, c, v, e = TRAIN, CONTEXT, VALID, TEST
    assert by_time(users, np.arange(10.0)).tolist() == [t] * 8 + [v, e]
    # both windows begin at 8: none is left for validation, and no 8 is trained on
    tied = np.array([0.0, 1, 2, 3, 4, 5, 6, 8, 8, 8])
    assert by_time(users, tied).tolist() == [t] * 7 + [c, e, e]
    # several rows of a user in one window: the last is the target, by time and then by place
    longer, times = np.repeat(users, 2), np.repeat(np.arange(10.0), 2)
    assert by_time(longer, times).tolist() == [t] * 16 + [c, v, c, e]
    shuffled = np.random.default_rng(0).permutation(10)
    codes = by_time(users[shuffled], np.arange(10.0)[shuffled])
    assert codes[np.argsort(shuffled)].tolist() == [t] * 8 + [v, e]


def test_context_rows_are_history_of_later_targets(make_dataset, load):
    test = load(make_dataset(users=150), split="time").build()[2]
    rows = test[np.arange(len(test))]
    before = test.rows - 1
    has_context = test.codes[before] == CONTEXT
    assert has_context.any()
    last = rows["item_id_list"][torch.arange(len(test)), rows["item_length"] - 1]
    assert torch.equal(last, test.flat["item_id"][before])


ROWS = [(f"u{u}", f"i{i}", 10 * u + i) for u in range(4) for i in range(5)]
ITEMS = [(f"i{i}", "ab"[i % 2]) for i in range(5)]


@pytest.mark.parametrize(
    ("rows", "items", "said"),
    [
        (ROWS, [(i, "a") for i, _ in ITEMS], "one domain only (a)"),
        (ROWS, [(i, "ab"[i == "i3"]) for i, _ in ITEMS], "domain 'b' has one item only"),
        (ROWS, [*ITEMS[:-1], ("i4", "")], "item 'i4' has no domain"),
        (ROWS, ITEMS[:-1], "line 6: item 'i4' is not in bad.item"),
        ([*ROWS, ("u9", "i1", "")], ITEMS, "line 22"),
        ([*ROWS, ("", "i1", 3)], ITEMS, "line 22"),
        ([*ROWS, ("u9", "", 3)], ITEMS, "line 22"),
        ([*ROWS, ("u9", "i1", "soon")], ITEMS, "bad.inter: line 22: timestamp is 'soon'; expected"),
        ([*ROWS, ('"u9', "i1", 1)], ITEMS, "line 22: user_id is '\"u9'; expected no leading"),
        (ROWS, [*ITEMS, ("i5", '"a"')], "line 7: domain is '\"a\"'; expected no leading"),
        (ROWS[:2], ITEMS, "no training target"),
        ([], ITEMS, "bad.inter: no row after the header"),
        (ROWS, [], "bad.item: no row after the header"),
        (ROWS, [*ITEMS, ("i0", "b")], "line 7 repeats item 'i0'"),
    ],
)
def test_bad_rows_are_named_in_one_line(tmp_path, load, rows, items, said):
    folder = tmp_path / "bad"
    write_inter(folder / "bad.inter", rows)
    write_items(folder / "bad.item", items)
    with pytest.raises(UserError) as caught:
        load(folder).build()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("inter", "timestamp:float", "time:float", "timestamp"),
        ("inter", "item_id:token", "item:token", "item_id"),
        ("inter", "user_id:token", "user_id", "column 'user_id': expected NAME:TYPE"),
        ("item", "domain:token", "domain:tokne", "column 'domain:tokne'"),
        ("item", "domain:token", "domian:token", "(did you mean 'domian'?)"),
        ("item", "item_id:token", "item:token", "item_id"),
    ],
)
def test_bad_headers_are_named_in_one_line(make_dataset, load, file, old, new, said):
    folder = make_dataset()
    path = folder / f"toy.{file}"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError) as caught:
        load(folder).build()
    assert said in str(caught.value)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["inter", "item"])
def test_rows_of_another_length_are_no_data(make_dataset, load, file):
    folder = make_dataset()
    path = folder / f"toy.{file}"
    path.write_text(path.read_text() + "a\tb\t1\tmore\n")
    number = len(path.read_text().splitlines())
    with pytest.raises(UserError, match=rf"toy.{file}: line {number}: 4 fields; expected 3$"):
        load(folder)


def test_domain_column_of_another_name(make_dataset, load):
    folder = make_dataset()
    path = folder / "toy.item"
    path.write_text(path.read_text().replace("domain:token", "shop:token"))
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "shop"]}
    assert load(folder, DOMAIN_FIELD="shop", load_col=columns).domains == ["d0", "d1", "d2"]


def test_held_out_rows_make_no_item_a_seen_one(make_dataset, load):
    train = load(make_dataset()).build()[0]
    seen = train.seen_items()
    np.testing.assert_array_equal(seen, train.item_counts() > 0)
    held_out = np.setdiff1d(train.flat["item_id"].numpy(), np.flatnonzero(seen))
    assert "d0-12" in train.field2id_token["item_id"][held_out]
