"""Ranking and metrics in one step."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recbole_edt.evaluation.expert import ContentExpert
from recbole_edt.evaluation.list_metrics import ListFigures, list_length
from recbole_edt.evaluation.ranking import rank_with_lists
from recbole_edt.evaluation.report import report_metrics
from recbole_edt.evaluation.targets import Targets


class Evaluation(NamedTuple):
    """What a model reaches on some targets.

    Attributes
    ----------
    ranks : numpy.ndarray
        Rank of each target, 1 for the best, int64 [n].
    per_target : mapping
        Metrics that each target's list has for itself, float64 [n] by name.
    report : dict
        See `recbole_edt.evaluation.report.report_metrics`.
    """

    ranks: np.ndarray
    per_target: Mapping[str, np.ndarray]
    report: dict[str, Any]


def evaluate(
    model: Any,
    targets: Targets,
    names: Sequence[str],
    scope: str,
    sampled: int | None = None,
    expert: ContentExpert | None = None,
    depth: int | None = None,
) -> Evaluation:
    """Rank some targets and compute metrics, the same in every process of torchrun.

    Parameters
    ----------
    names : sequence of str
        Metrics such as ``ndcg@10`` and ``novelty@10``; lists are kept only for the latter.
    model, targets, scope, sampled, expert, depth
        As in `recbole_edt.evaluation.ranking.rank_targets`.

    Raises
    ------
    UserError
        When a score is not a number, or a metric needs item vectors that there are not.
    """
    length = list_length(names)
    ranks, lists = rank_with_lists(model, targets, scope, sampled, expert, depth, length)
    figures = ListFigures(lists, targets, names, scope) if length else None
    per_target = figures.per_target if figures else {}
    return Evaluation(ranks, per_target, report_metrics(ranks, targets, names, figures))
