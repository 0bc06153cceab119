"""Metrics of top-k lists: RecBole's values, values worked out by hand, lists that fit the ranks."""

import math

import numpy as np
import pytest
import torch
from scorers import DomainTable, Table, random_table
from stock import stock_config
from synthetic import write_inter, write_items

from recbole_edt import distributed
from recbole_edt.config import resolve
from recbole_edt.errors import UserError
from recbole_edt.evaluation.evaluate import evaluate
from recbole_edt.evaluation.item_facts import long_tail
from recbole_edt.evaluation.list_metrics import ListFigures, list_length
from recbole_edt.evaluation.ranking import rank_targets, rank_with_lists
from recbole_edt.evaluation.report import metric_names, summarise

from recbole.evaluator import Collector, Evaluator  # isort: skip  (shims first)
from recbole.evaluator.collector import DataStruct  # isort: skip

RECBOLE = ["ItemCoverage", "GiniIndex", "ShannonEntropy", "AveragePopularity", "TailPercentage"]
LENGTH = 6


def everyone(lists):
    return np.ones(len(lists), dtype=bool)


# ----------------------------------------------------------------------------- RecBole's values


@pytest.mark.parametrize("tail_ratio", [0.1, 0.35, 3])
def test_values_are_those_of_recbole_s_metric_classes(make_dataset, targets_of, tail_ratio):
    folder = make_dataset(users=90)
    targets = targets_of(folder, tail_ratio=tail_ratio, candidates="all")
    table = random_table(targets.part)
    _, lists = rank_with_lists(table, targets, "all", length=10)
    assert (lists > 0).all()
    names = metric_names(RECBOLE, [1, 5, 10])
    figures = ListFigures(lists, targets, names, "all")
    ours = {name: round(figures.value(name, everyone(lists)), 4) for name in names}
    config = stock_config("SASRec", folder, metrics=RECBOLE, topk=[1, 5, 10],
                          tail_ratio=tail_ratio, metric_decimal_place=4,
                          train_neg_sample_args=None)  # fmt: skip
    data = DataStruct()
    data.set("rec.items", torch.from_numpy(lists.astype(np.int64)))
    data.set("data.num_items", targets.part.item_num)
    counts = targets.item_facts.popularity
    data.set("data.count_items", {item: int(counts[item]) for item in np.flatnonzero(counts)})
    theirs = Evaluator(config).evaluate(data)
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert len({*ours.values()}) > 8


@pytest.mark.parametrize("model", ["SASRec", "BPR"])
def test_lists_over_all_items_are_those_that_recbole_collects(make_dataset, targets_of, model):
    folder = make_dataset()
    targets = targets_of(folder, model, candidates="all", eval_batch_size=7)
    table = random_table(targets.part)
    _, lists = rank_with_lists(table, targets, "all", length=LENGTH)
    keys = {"train_neg_sample_args": None} if model == "SASRec" else {}
    config = stock_config(
        model, folder, metrics=["ItemCoverage"], topk=[LENGTH], use_gpu=False, **keys
    )
    collector = Collector(config)
    scores = table.scores[targets.users].clone()
    scores[:, 0] = -torch.inf
    if model == "BPR":  # as RecBole's full sort data loader masks a general model's history
        rows, items = targets.history(np.arange(len(targets)))
        scores[rows, items] = -torch.inf
    collector.eval_batch_collect(scores, None, None, None)
    theirs = collector.get_data_struct().get("rec.items")
    np.testing.assert_array_equal(lists, theirs.numpy())


# ------------------------------------------------------------------------- lists and their ranks


def literal_lists(targets, scores, length, candidates_of):
    lists = np.zeros((len(targets), length), dtype=int)
    for row, (user, target) in enumerate(zip(targets.users, targets.items, strict=True)):
        others = [item for item in candidates_of(row) if item != target]
        others.sort(key=lambda item: -float(scores[user, item]))
        behind = sum(bool(scores[user, item] >= scores[user, target]) for item in others)
        best = [*others[:behind], target, *others[behind:]][:length]
        lists[row, : len(best)] = best
    return lists


def unseen_of_domain(targets):
    domains = targets.part.item_domain.numpy()

    def candidates(row):
        history = {*targets.history(np.array([row]))[1].tolist()} - {targets.items[row]}
        return [i for i in np.flatnonzero(domains == targets.domains[row]) if i not in history]

    return candidates


@pytest.mark.parametrize("by_domain", [False, True])
@pytest.mark.parametrize("sampled", [None, 4])
def test_lists_are_the_best_candidates(make_dataset, targets_of, sampled, by_domain):
    targets = targets_of(make_dataset(), eval_batch_size=7)
    table = random_table(targets.part)
    candidates = unseen_of_domain(targets)
    if sampled:
        drawn = targets.sampled_candidates(sampled, "target_domain")[0]
        candidates = lambda row: [targets.items[row], *drawn[row]]  # noqa: E731
    model = DomainTable(table.scores, targets.part.item_domain) if by_domain else table
    # longer than any list
    ranks, lists = rank_with_lists(model, targets, "target_domain", sampled, length=16)
    np.testing.assert_array_equal(lists, literal_lists(targets, table.scores, 16, candidates))
    np.testing.assert_array_equal(ranks, rank_targets(model, targets, "target_domain", sampled))
    assert (lists == 0).any()


@pytest.mark.parametrize("sampled", [None, 4])
@pytest.mark.parametrize("scope", ["target_domain", "all"])
@pytest.mark.parametrize("model", ["SASRec", "BPR"])
def test_a_target_is_in_its_list_at_its_rank_whatever_ties(
    make_dataset, targets_of, model, scope, sampled
):
    targets = targets_of(make_dataset(), model, candidates=scope, topk=[LENGTH])
    table = random_table(targets.part, levels=3)
    table.scores[table.scores == 0] = -torch.inf
    ranks, lists = rank_with_lists(table, targets, scope, sampled, length=LENGTH)
    row, column = np.nonzero(lists == targets.items[:, None])
    np.testing.assert_array_equal(row, np.flatnonzero(ranks <= LENGTH))
    np.testing.assert_array_equal(column + 1, ranks[row])
    assert 0 < len(row) < len(ranks) or sampled
    for items in lists:
        held = items[items > 0]
        assert len({*held}) == len(held)


def test_two_processes_make_the_lists_of_one(make_dataset, targets_of, monkeypatch):
    targets = targets_of(make_dataset(), eval_batch_size=7)
    table = random_table(targets.part, levels=3)
    alone = rank_with_lists(table, targets, "target_domain", length=LENGTH)
    monkeypatch.setattr(distributed, "size", lambda: 2)
    total = np.zeros_like(alone.lists)
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        share = rank_with_lists(table, targets, "target_domain", length=LENGTH).lists
        assert (share == 0).all(1).any()
        total += share
    np.testing.assert_array_equal(total, alone.lists)


# --------------------------------------------------------------------------------------- by hand


class Vectors:
    """Item vectors by token."""

    def __init__(self, by_token):
        self.by_token = by_token

    def item_vectors(self, items):
        return np.array([self.by_token[item] for item in items], dtype=np.float32)


@pytest.fixture
def four(tmp_path, targets_of):
    """Items a, b of domain x and c, d of domain y; a is in training 4 times, b 2, c 2, d never."""
    folder = tmp_path / "four"
    rows = [(user, i, t) for user, items in (("u", "aabcad"), ("v", "aabccd"))
            for t, i in enumerate(items)]  # fmt: skip
    write_inter(folder / "four.inter", rows)
    write_items(folder / "four.item", [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")])
    targets = targets_of(folder, candidates="all", tail_ratio=2)
    vectors = {"a": [3, 0], "b": [0, 2], "c": [1, 0], "d": [-1, 0]}
    targets.part.text_inputs = Vectors(vectors)
    ids = targets.part.field2token_id["item_id"]
    return targets, lambda *texts: np.array(
        [[0 if i == "." else int(ids.numbers(np.array([i], dtype=object))[0]) for i in t]
         for t in texts], dtype=np.int32
    )  # fmt: skip


def value(four, name, *texts):
    targets, lists_of = four
    lists = lists_of(*texts)
    figures = ListFigures(lists, targets, [name], "all")
    return figures.value(name, everyone(lists))


def test_popularity_tail_and_novelty_by_hand(four):
    # in training a 4 times, b 2, c 2, d never: 8 interactions
    assert value(four, "averagepopularity@2", "ab", "cd") == ((4 + 2) / 2 + (2 + 0) / 2) / 2
    assert value(four, "tailpercentage@2", "ab", "bc") == (1 / 2 + 2 / 2) / 2
    assert value(four, "tailpercentage@2", "ad", "ad") == 0  # d is not in training
    assert value(four, "novelty@2", "ab", "ab") == (1 + 2) / 2
    assert value(four, "novelty@2", "ad", "ad") == (1 + 3) / 2  # d counts as with one
    assert value(four, "novelty@1", "ab", "ba") == (1 + 2) / 2


def test_a_short_list_has_the_mean_of_what_it_holds(four):
    assert value(four, "averagepopularity@2", "a.", "cd") == (4 + 1) / 2
    assert value(four, "itemcoverage@2", "a.", "a.") == 1 / 5
    assert value(four, "intralistdiversity@2", "a.", "a.") == 0


def test_diversity_by_hand(four):
    # cosines: a and b 0, a and c 1, a and d -1, b and d 0
    assert value(four, "intralistdiversity@2", "ab", "ac") == pytest.approx((1 + 0) / 2)
    assert value(four, "intralistdiversity@3", "abd", "abd") == pytest.approx(1 - (0 - 1 + 0) / 3)
    assert value(four, "intralistdiversity@1", "ab", "ac") == 0


def test_calibration_by_hand(four):
    # each user's history is a a b c, the validation item aside: 3/4 of it in domain x
    def kl(p, q):
        smoothed = [0.99 * b + 0.01 * a for a, b in zip(p, q, strict=True)]
        return sum(a * math.log(a / b) for a, b in zip(p, smoothed, strict=True))

    history = [3 / 4, 1 / 4]
    assert value(four, "calibration@4", "aabc", "aabc") == pytest.approx(0)
    found = value(four, "calibration@2", "ab", "ac")
    assert found == pytest.approx((kl(history, [1, 0]) + kl(history, [1 / 2, 1 / 2])) / 2)
    worst = value(four, "calibration@2", "cd", "cd")
    assert found < worst == pytest.approx(kl(history, [0, 1]))


def test_the_tail_of_equally_rare_items_has_the_lower_ids():
    assert long_tail(np.array([0, 3, 1, 1, 9]), 0.5).tolist() == [False, False, True, True, False]
    assert long_tail(np.array([0, 3, 1, 1, 9]), 0.1).tolist() == [False, False, True, False, False]
    assert long_tail(np.array([0, 3, 1, 1, 9]), 3).tolist() == [False, True, True, True, False]


# -------------------------------------------------------------------------------------- reports


def test_domains_are_measured_on_their_own_items(make_dataset, targets_of):
    targets = targets_of(make_dataset(users=90))
    names = metric_names(["NDCG", *RECBOLE, "Novelty"], [5])
    found = evaluate(random_table(targets.part), targets, names, "target_domain")
    domains = found.report["domains"]
    assert list(found.report["overall"]) == ["users", *names]
    for k, name in enumerate(targets.part.domains):
        some = targets.domains == k
        assert domains[name]["novelty@5"] == found.per_target["novelty@5"][some].mean()
        assert domains[name]["ndcg@5"] == summarise(found.ranks[some], ["ndcg@5"])["ndcg@5"]
        items = 14  # of each domain
        distinct = round(domains[name]["itemcoverage@5"] * (items + 1))
        assert domains[name]["itemcoverage@5"] == distinct / (items + 1) > 0.5
    # no item is of two domains
    total = sum(round(one["itemcoverage@5"] * 15) for one in domains.values())
    assert found.report["overall"]["itemcoverage@5"] == pytest.approx(total / (3 * 14 + 1))
    groups = found.report["groups"]["target_popularity"]
    assert sum(g["users"] for g in groups.values()) == len(targets)
    empty = [group for group in groups.values() if not group["users"]]
    assert empty
    assert all({*group.values()} == {0} for group in empty)


def test_ranks_do_not_depend_on_whether_lists_are_made(make_dataset, targets_of):
    targets = targets_of(make_dataset(), candidates="all")
    table = random_table(targets.part, levels=5)
    names = metric_names(["Hit", "NDCG"], [5, 20])
    alone = evaluate(table, targets, names, "all")
    both = evaluate(table, targets, [*names, "giniindex@20"], "all")
    np.testing.assert_array_equal(alone.ranks, both.ranks)
    assert not alone.per_target
    assert alone.report["overall"].items() <= both.report["overall"].items()


def test_a_popular_list_covers_less_than_a_random_one(make_dataset, targets_of):
    targets = targets_of(make_dataset(users=90))
    popular = Table(torch.as_tensor(targets.item_facts.popularity).float().repeat(200, 1))
    names = metric_names(["ItemCoverage", "GiniIndex", "AveragePopularity", "Novelty"], [3])
    one = evaluate(popular, targets, names, "target_domain").report["overall"]
    other = evaluate(random_table(targets.part), targets, names, "target_domain").report["overall"]
    assert one["itemcoverage@3"] < other["itemcoverage@3"]
    assert one["giniindex@3"] > other["giniindex@3"]
    assert one["averagepopularity@3"] > other["averagepopularity@3"]
    assert one["novelty@3"] < other["novelty@3"]


def test_how_much_of_a_list_is_kept():
    assert list_length(["ndcg@20", "novelty@5", "giniindex@10"]) == 10
    assert list_length(["ndcg@20"]) == 0


# ---------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"metrics": ["Calibration"]}, "metrics: Calibration needs lists over all domains"),
        ({"metrics": ["ItemCoverag"]}, "did you mean 'ItemCoverage'"),
        ({"valid_metric": "GiniIndex@10"}, "smaller is better; expected a metric of which bigger"),
        ({"valid_metric": "averagepopularity@10"}, "of which smaller is better"),
        ({"valid_metric": "Novelty@10", "content_expert": True}, "content_expert chooses"),
        ({"tail_ratio": 0}, "tail_ratio: found 0, expected a value > 0"),
    ],
)
def test_what_is_refused(keys, message):
    with pytest.raises(UserError) as caught:
        resolve("SASRec", "ml-100k-genres", (), keys)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_recbole_s_in_any_case():
    given = {"metrics": ["itemcoverage", "GINIINDEX", "Calibration"], "candidates": "all",
             "valid_metric": "ShannonEntropy@5"}  # fmt: skip
    values = resolve("SASRec", "ml-100k-genres", (), given).values
    assert metric_names(values["metrics"], [5])[:2] == ["itemcoverage@5", "giniindex@5"]
