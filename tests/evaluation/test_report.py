from math import log2

import numpy as np
import pytest
from scorers import random_table

from recbole_edt.errors import UserError
from recbole_edt.evaluation.ranking import rank_targets
from recbole_edt.evaluation.report import (
    flatten_metrics,
    metric_names,
    report_metrics,
    summarise,
)

NAMES = metric_names(["Hit", "NDCG", "MRR", "MAP", "Recall", "Precision"], [2, 5])


def test_metrics_are_the_fractions_worked_out_by_hand():
    found = summarise(np.array([1, 2, 4, 7]), NAMES)
    expected = {
        "users": 4,
        "hit@2": 2 / 4,
        "hit@5": 3 / 4,
        "ndcg@2": (1 + 1 / log2(3)) / 4,
        "ndcg@5": (1 + 1 / log2(3) + 1 / log2(5)) / 4,
        "mrr@2": (1 + 1 / 2) / 4,
        "mrr@5": (1 + 1 / 2 + 1 / 4) / 4,
        "map@2": (1 + 1 / 2) / 4,
        "map@5": (1 + 1 / 2 + 1 / 4) / 4,
        "recall@2": 2 / 4,
        "recall@5": 3 / 4,
        "precision@2": 2 / 4 / 2,
        "precision@5": 3 / 4 / 5,
    }
    assert found == pytest.approx(expected)
    assert set(summarise(np.array([], dtype=int), NAMES).values()) == {0}


@pytest.fixture
def targets(make_dataset, targets_of):
    return targets_of(make_dataset(users=90, domains=4))


@pytest.fixture
def ranks(targets):
    return rank_targets(random_table(targets.part), targets, "target_domain")


def test_domains_and_groups_partition_the_users(targets, ranks):
    result = report_metrics(ranks, targets, NAMES)
    overall = result["overall"]
    assert overall["users"] == len(targets)
    assert list(result["domains"]) == ["d0", "d1", "d2", "d3"]
    assert set(result["groups"]) == {"dominant_share", "history_length", "target_popularity"}
    for parts in (result["domains"], *result["groups"].values()):
        assert sum(part["users"] for part in parts.values()) == len(targets)
        for name in NAMES:
            total = sum(part["users"] * part[name] for part in parts.values())
            assert total == pytest.approx(len(targets) * overall[name])


def test_users_are_in_the_group_of_their_history(targets, ranks):
    groups = report_metrics(ranks, targets, NAMES)["groups"]
    counts = targets.part.history_counts(targets.users, targets.rows)
    alone = (counts.max(1) == counts.sum(1)).sum()
    assert 0 < alone < len(targets)
    assert groups["dominant_share"][">=1"]["users"] == alone
    assert groups["history_length"]["0-<10"]["users"] == (counts.sum(1) < 10).sum()
    new = targets.part.item_counts()[targets.items] == 0
    assert groups["target_popularity"]["0-<1"]["users"] == new.sum() > 0


def test_edges_are_the_configured_ones(make_dataset, targets_of):
    targets = targets_of(make_dataset(), group_edges={"history_length": [3, 5.5]})
    result = report_metrics(np.ones(len(targets)), targets, NAMES)
    assert {k: list(v) for k, v in result["groups"].items()} == {
        "history_length": ["0-<3", "3-<5.5", ">=5.5"]
    }


def test_unknown_metrics_are_named():
    with pytest.raises(UserError, match=r"'NDGC'.*did you mean 'NDCG'"):
        metric_names(["Hit", "NDGC"], [10])


def test_flat_names(targets, ranks):
    result = report_metrics(ranks, targets, ["ndcg@5"])
    flat = flatten_metrics(result)
    assert set(flat) == {"ndcg@5", *(f"ndcg@5/d{k}" for k in range(4))}
    assert flat["ndcg@5/d2"] == result["domains"]["d2"]["ndcg@5"]
