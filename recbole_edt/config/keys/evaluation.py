"""Keys of the comparison: split, candidates, metrics, groups and the content expert."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal

from annotated_types import Gt, Len, Lt, MinLen

from recbole_edt.config.keys.base import Count, CountFromZero, KeyGroup, NotNegative, Positive
from recbole_edt.config.rules import Expected, Label, check_text, checked_by, refuse
from recbole_edt.errors import nearest

METRICS = ("Hit", "NDCG", "MRR", "MAP", "Recall", "Precision")
"""As RecBole writes them; each is a function of the rank of one target."""
LIST_METRICS = (
    "ItemCoverage", "GiniIndex", "ShannonEntropy", "AveragePopularity", "TailPercentage",
    "Novelty", "IntraListDiversity", "Calibration",
)  # fmt: skip
"""Metrics of the top-k lists (docs/metrics.md); the first five are RecBole's."""
OF_ALL_LISTS = ("ItemCoverage", "GiniIndex", "ShannonEntropy")
"""Metrics that all lists have together; the others have a value per list."""
SMALLER_IS_BETTER = ("GiniIndex", "AveragePopularity", "Calibration")
GROUPS = ("dominant_share", "history_length", "target_popularity")
"""Properties of a user or target that metrics are reported by."""


def is_among(name: str, metrics: Iterable[str]) -> bool:
    """Return whether a metric, with or without ``@k``, is one of some, whatever its case."""
    return name.partition("@")[0].lower() in {metric.lower() for metric in metrics}


def most_folds(share: float) -> int:
    """Return how many folds leave rows to train on: N + 1 windows are cut off the end.

    Examples
    --------
    >>> [most_folds(share) for share in (0.1, 0.2, 0.3, 0.45)]
    [8, 3, 2, 1]
    """
    return math.ceil(round(1 / share, 9)) - 2


def _metric(name: Any) -> None:
    known = (*METRICS, *LIST_METRICS)
    if str(name).lower() not in {metric.lower() for metric in known}:
        hint = nearest(str(name), known)
        refuse(f"{name!r} is unknown; expected some of {list(known)}{hint}")


def _metrics(value: Any) -> None:
    names = value if isinstance(value, list) else [value]
    if not names:
        refuse(f"found [], expected some of {[*METRICS, *LIST_METRICS]}")
    for name in names:
        _metric(name)


def _valid_metric(value: Any) -> None:
    check_text(value)
    name, _, k = str(value).partition("@")
    if not k.isdigit() or int(k) < 1:
        refuse(f"found {value!r}, expected a metric such as NDCG@10")
    _metric(name)
    if is_among(name, SMALLER_IS_BETTER):
        refuse(
            f"found {value!r}, of which smaller is better; expected a metric of which bigger is "
            "better, such as NDCG@10"
        )


def _group_edges(value: Any) -> None:
    if not isinstance(value, dict | None):
        refuse(f"found {value!r}, expected a mapping")
    for name, edges in (value or {}).items():
        if name not in GROUPS:
            refuse(f"{name!r}; expected {list(GROUPS)}{nearest(str(name), GROUPS)}")
        numbers = isinstance(edges, list) and all(type(edge) in (int, float) for edge in edges)
        if not numbers or any(low >= high for low, high in pairwise([0, *edges])):
            refuse(f"{name}: found {edges!r}, expected a rising list above 0")


_ALL_METRICS = ", ".join((*METRICS, *LIST_METRICS))
Metrics = Annotated[Any, checked_by(_metrics), Label(f"a list of {_ALL_METRICS}")]
CutOffs = Annotated[
    Count | Annotated[list[Count], MinLen(1)],
    Expected("whole numbers above 0"),
    Label("a list of whole numbers above 0"),
]
ValidMetric = Annotated[Any, checked_by(_valid_metric), Label("a metric such as NDCG@10")]
GroupEdges = Annotated[Any, checked_by(_group_edges), Label("a mapping of rising lists above 0")]
Ratios = Annotated[
    list[Positive],
    Len(3, 3),
    Expected("three numbers > 0 such as [0.8, 0.1, 0.1]"),
    Label("a list of three numbers > 0"),
]
FoldShare = Annotated[float, Gt(0), Lt(0.5)]
"""A fold has two windows, and rows before them."""
_NUMBERS = "a list of numbers >= 0"
Weights = Annotated[list[NotNegative], MinLen(1), Expected(_NUMBERS), Label(_NUMBERS)]


class EvaluationKeys(KeyGroup):
    """How models are compared."""

    split: Literal["leave_one_out", "time", "ratio", "rolling", "files"]
    """leave_one_out: the last two interactions of a user are held out; time: two cut-offs common to
    all users; ratio: shares of the rows; rolling: several folds, each tested on a later window of
    time than the one before; files: those that `prepare` was given as train, valid and test."""
    split_ratios: Ratios
    """split: ratio: shares of training, validation and test; every held-out row is a target."""
    split_order: Literal["time", "random"]
    """split: ratio: later rows are held out (RecBole's TO), or drawn ones (RO), which only general
    models can be trained on."""
    split_group: Literal["user", "none"]
    """split: ratio: shares of each user's rows, or of all rows together."""
    split_seed: CountFromZero
    """split: ratio: of the draw; the same for every model and seed."""
    folds: Count
    """split: rolling: how many folds, one after the other in time; metrics.json holds the figures
    of each, their mean and their standard deviation."""
    fold_share: FoldShare
    """split: rolling: length of a fold's test window, and of the validation window right before it,
    as a share of all interactions in order of time; training is everything before both."""
    fold: Count | None
    """split: rolling: run this fold only, 1 is the earliest; empty: all of them in order."""
    candidates: Literal["target_domain", "all"]
    """target_domain: rank within the domain of the target, history masked; all: as RecBole
    ranks."""
    repeatable: bool
    """May an item of the history come again? With candidates: all a general model then draws
    negatives from the history, ranks it and recommends it (recommend.md); RecBole sets it for
    sequential models. With target_domain items of the history are never ranked."""
    sampled_candidates: Count | None
    """Report metrics over the target and this many sampled items instead of all; epochs are still
    chosen on all."""
    metrics: Metrics
    """What is reported (see metrics.md)."""
    topk: CutOffs
    """Cut-offs of the metrics."""
    valid_metric: ValidMetric
    """Chooses epochs, on validation; a metric of which bigger is better."""
    valid_users: Count | None
    """Validate on this many users, the same ones for every model and seed; empty: on all. Test is
    always on all."""
    final_fit: bool
    """Once epochs are chosen, train anew on training and validation rows for these epochs; test is
    ranked with these weights (configuration.md)."""
    eval_batch_size: Count
    """Histories scored at a time."""
    metric_decimal_place: CountFromZero
    """Decimals of the score that chooses epochs."""
    tail_ratio: Positive
    """TailPercentage: up to 1, the share of the items, rarest in training first, that are its long
    tail; above 1, the training interactions that an item of the tail has at most."""
    group_edges: GroupEdges
    """Lower edges of the groups in metrics.json, beside 0: dominant_share is the share of the
    user's most frequent domain in the history, history_length the interactions before the target
    (held-out ones aside), target_popularity the target's interactions in training (0 are new
    items)."""


class ContentExpertKeys(KeyGroup):
    """The content expert (see method.md)."""

    content_expert: bool
    """Add the similarity of LLM vectors to the trained model's scores, any model's; metrics.json
    holds both."""
    expert_items: Count
    """Last items of the history that the expert compares with."""
    expert_lag: NotNegative
    """What each step back costs in similarity."""
    expert_weights: Weights
    """Weights of the expert; the best per domain is chosen on validation."""
