import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.filtering import FilterRules, apply_rules
from recbole_edt.prepare.raw import RawData, make_inter


def raw(rows, domains="ffkk", titles=("t",) * 4):
    """Make raw data from (user, item, time) rows of small numbers."""
    users, items, times = np.array(rows).T
    codes, ids = pd.factorize(users.astype(str))
    table = pd.DataFrame(
        {
            fields.ITEM: [f"i{number}" for number in range(len(domains))],
            fields.DOMAIN: list(domains),
            fields.TITLE: titles,
        }
    )
    return RawData(
        make_inter(codes, pd.Index(ids), items, pd.Index(table[fields.ITEM]), times), table, []
    )


def frame_of(data):
    """Return the interactions in reading order."""
    return data.interactions().frame(data.items)


def rows_of(data):
    return [tuple(row) for row in frame_of(data).astype(str).to_numpy()]


def test_min_user_inter_counts_over_all_domains():
    data, steps, _ = apply_rules(
        raw([(0, 0, 1), (0, 2, 2), (1, 1, 1), (1, 1, 2), (1, 3, 3)]), FilterRules(min_user_inter=3)
    )
    assert set(frame_of(data)[fields.USER]) == {"1"}
    by_rule = {step.rule: (step.users, step.items, step.interactions) for step in steps}
    assert by_rule["users with fewer than 3 interactions"] == (1, 0, 2)
    # the items of the dropped user lose all their interactions
    assert by_rule["items with fewer than 1 interaction"] == (0, 2, 0)


def test_domains_of_a_user_are_counted_one_by_one():
    rows = [
        (0, 0, 1),
        (0, 1, 2),
        (0, 2, 3),
        (1, 0, 1),
        (1, 1, 2),
        (2, 0, 1),
        (2, 1, 1),
        (2, 2, 1),
        (2, 3, 1),
    ]
    in_two, _, _ = apply_rules(raw(rows), FilterRules(min_user_domains=2))
    assert set(frame_of(in_two)[fields.USER]) == {"0", "2"}
    twice_in_two, _, _ = apply_rules(raw(rows), FilterRules(min_user_domains=2, min_domain_inter=2))
    assert set(frame_of(twice_in_two)[fields.USER]) == {"2"}


def test_untouched_items_stay_only_with_min_item_inter_0():
    rows = [(0, 0, 1), (0, 2, 2)]
    assert len(apply_rules(raw(rows), FilterRules())[0].items) == 2
    assert len(apply_rules(raw(rows), FilterRules(min_item_inter=0))[0].items) == 4


@pytest.mark.parametrize(
    ("which", "times"), [("keep", [1, 2, 5, 9]), ("first", [1, 2]), ("last", [2, 9])]
)
def test_repeats_are_judged_by_time_and_counted(which, times):
    data, _, notes = apply_rules(
        raw([(0, 0, 9), (0, 0, 1), (0, 2, 2), (0, 0, 5)]), FilterRules(duplicates=which)
    )
    assert sorted(frame_of(data)[fields.TIME]) == times
    assert notes["repeated (user, item) interactions"] == 2


def test_untitled_items_go_only_when_asked():
    data = raw([(0, 0, 1), (0, 1, 2), (0, 2, 3)], titles=("t", " \t", "t", "t"))
    kept, _, notes = apply_rules(data, FilterRules())
    assert kept.items[fields.TITLE].tolist() == ["t", "", "t"]
    assert notes["untitled items before the title rule"] == 1
    titled, steps, _ = apply_rules(data, FilterRules(require_title=True))
    assert titled.items[fields.ITEM].tolist() == ["i0", "i2"]
    assert ("untitled items", 1, 1) in [(s.rule, s.items, s.interactions) for s in steps]


def test_only_titles_of_items_that_stay_are_looked_up():
    data = raw([(0, 0, 1), (0, 2, 2), (1, 0, 1), (1, 2, 2), (1, 1, 3)])
    asked = []

    def load(wanted):
        asked.extend(wanted)
        return wanted.map({"i0": "zero", "i2": ""}), {}

    data.load_titles = load
    kept, _, _ = apply_rules(data, FilterRules(min_item_inter=2))
    assert asked == ["i0", "i2"]
    assert kept.items[fields.TITLE].tolist() == ["zero", ""]


def test_nothing_or_one_domain_left_is_an_error():
    data = raw([(0, 0, 1), (0, 2, 2), (1, 0, 1)])
    with pytest.raises(UserError, match="only the domain 'f' is left after filtering"):
        apply_rules(data, FilterRules(min_item_inter=2))
    with pytest.raises(UserError, match="nothing is left after filtering"):
        apply_rules(data, FilterRules(min_user_inter=9))
    with pytest.raises(UserError, match="3 domains asked for; the data have 2: f, k"):
        apply_rules(data, FilterRules(min_user_domains=3))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 9)), min_size=1),
    user=st.integers(1, 4),
    item=st.integers(1, 4),
    domains=st.integers(1, 2),
)
def test_result_is_the_largest_set_that_satisfies_all_rules(rows, user, item, domains):
    rules = FilterRules(min_user_inter=user, min_item_inter=item, min_user_domains=domains)
    expected = [(str(u), i, t) for u, i, t in rows]
    while True:  # drop one offending user or item at a time, in any order
        counts = pd.DataFrame(expected, columns=["u", "i", "t"])
        bad_users = [
            u for u, own in counts.groupby("u")
            if len(own) < user or own["i"].floordiv(2).nunique() < domains
        ]  # fmt: skip
        bad_items = [i for i, own in counts.groupby("i") if len(own) < item]
        if not bad_users and not bad_items:
            break
        expected = [
            row for row in expected
            if (row[0] != bad_users[-1] if bad_users else row[1] != bad_items[-1])
        ]  # fmt: skip
    if len({i // 2 for _, i, _ in expected}) < 2:
        with pytest.raises(UserError):
            apply_rules(raw(rows), rules)
    else:
        data, _, _ = apply_rules(raw(rows), rules)
        assert rows_of(data) == [(u, f"i{i}", f"{float(t)}") for u, i, t in expected]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=8, max_size=40),
    st.integers(2, 8),
    st.integers(4, 12),
)
def test_upper_limits_leave_what_recbole_leaves(pairs, max_user, max_item):
    rows = [(user, item, time) for time, (user, item) in enumerate(pairs)]
    left = pd.DataFrame(rows, columns=["user", "item", "time"])
    while True:  # RecBole's loop: both intervals are judged by the same counts
        users, items = left["user"].value_counts(), left["item"].value_counts()
        kept = left[
            left["user"].map(users).between(2, max_user)
            & left["item"].map(items).between(2, max_item)
        ]
        if len(kept) == len(left):
            break
        left = kept
    rules = FilterRules(
        min_user_inter=2, min_item_inter=2, max_user_inter=max_user, max_item_inter=max_item
    )
    try:
        data, _, _ = apply_rules(raw(rows), rules)
    except UserError:
        assert len({"ffkk"[item] for item in left["item"]}) < 2
    else:
        assert [int(row[2]) for row in sorted_by_time(data)] == list(left["time"])


def sorted_by_time(data):
    return sorted(frame_of(data).to_numpy().tolist(), key=lambda row: row[2])


def test_what_upper_limits_drop_is_counted():
    rows = [(0, item, item) for item in range(4)] + [(user, 0, user) for user in range(1, 5)]
    rows += [(user, item, 9) for user in (1, 2) for item in (1, 2)]
    rules = FilterRules(max_user_inter=3, max_item_inter=4)
    data, steps, _ = apply_rules(raw(rows), rules)
    by_rule = {step.rule: (step.users, step.items, step.interactions) for step in steps}
    assert by_rule["users with more than 3 interactions"] == (1, 0, 4)
    assert by_rule["items with more than 4 interactions"] == (0, 1, 4)
    assert set(frame_of(data)[fields.USER]) == {"1", "2"}
    assert "users with 1 to 3 interactions over all domains; items with 1 to 4" in rules.sentence()


def test_an_upper_limit_below_the_lower_one():
    with pytest.raises(UserError, match="max_item_inter: found 2; expected at least min_item_inte"):
        FilterRules(min_item_inter=3, max_item_inter=2)
