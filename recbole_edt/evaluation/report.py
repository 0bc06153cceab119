"""Metrics of ranks and lists: overall, per domain and per group of users or targets."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_edt.config import RULES
from recbole_edt.evaluation.list_metrics import ListFigures, is_list_metric
from recbole_edt.evaluation.targets import Targets
from recbole_edt.files import replacing

# One relevant item per target, so that each metric is a function of its rank alone.
_METRICS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "hit": lambda rank, k: rank <= k,
    "recall": lambda rank, k: rank <= k,
    "precision": lambda rank, k: (rank <= k) / k,
    "ndcg": lambda rank, k: np.where(rank <= k, 1 / np.log2(rank + 1), 0.0),
    "mrr": lambda rank, k: np.where(rank <= k, 1 / rank, 0.0),
    "map": lambda rank, k: np.where(rank <= k, 1 / rank, 0.0),
}


def metric_names(metrics: Sequence[str], topk: Sequence[int]) -> list[str]:
    """Return names such as ``ndcg@10``, in lower case as RecBole prints them.

    Raises
    ------
    UserError
        For a metric that is neither one of ranks nor one of lists.
    """
    RULES["metrics"].check("metrics", list(metrics))
    return [f"{metric.lower()}@{k}" for metric in metrics for k in topk]


def summarise(ranks: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return the number of users and the mean of each metric over some ranks."""
    result: dict[str, float] = {"users": len(ranks)}
    for name in names:
        result[name] = float(metric_values(ranks, name).mean()) if len(ranks) else 0.0
    return result


def metric_values(ranks: np.ndarray, name: str) -> np.ndarray:
    """Return a metric such as ``ndcg@10`` of each target from its rank, same shape."""
    metric, k = name.split("@")
    return _METRICS[metric](ranks, int(k))


def report_metrics(
    ranks: np.ndarray, targets: Targets, names: Sequence[str], lists: ListFigures | None = None
) -> dict[str, Any]:
    """Return the metrics ``overall``, by ``domains`` and by ``groups``, as `metrics.json` has them.

    Parameters
    ----------
    ranks : numpy.ndarray
        Rank of each target, 1 for the best, int [n].
    targets : Targets
        The targets, in the same order.
    names : sequence of str
        Metrics such as ``ndcg@10``.
    lists : ListFigures, optional
        Metrics of the lists, where `names` has some.
    """
    of_ranks = [name for name in names if not is_list_metric(name)]

    def of(chosen: np.ndarray, domain: int | None = None) -> dict[str, float]:
        found = summarise(ranks[chosen], of_ranks)
        if lists is not None:
            some = [name for name in names if is_list_metric(name)]
            found |= {name: lists.value(name, chosen, domain) for name in some}
        return {"users": found["users"], **{name: found[name] for name in names}}

    result: dict[str, Any] = {"overall": of(np.ones(len(ranks), dtype=bool))}
    result["domains"] = {
        domain: of(targets.domains == k, k) for k, domain in enumerate(targets.part.domains)
    }
    result["groups"] = {}
    edges = targets.part.config["group_edges"] or {}
    for group, values in group_values(targets).items():
        if group not in edges:
            continue
        bounds = [0, *edges[group], np.inf]
        result["groups"][group] = {
            _label(low, high): of((values >= low) & (values < high))
            for low, high in pairwise(bounds)
        }
    return result


def flatten_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the result of `report_metrics` as ``ndcg@10`` and ``ndcg@10/DOMAIN``."""
    flat = {name: value for name, value in result["overall"].items() if name != "users"}
    for domain, metrics in result["domains"].items():
        flat.update({f"{n}/{domain}": v for n, v in metrics.items() if n != "users"})
    return flat


def describe_protocol(targets: Targets) -> dict[str, Any]:
    """Return the split and the candidates of some targets, as ``metrics.json`` has them."""
    part, config = targets.part, targets.part.config
    scope, sampled = config["candidates"], config["sampled_candidates"]
    protocol = {
        "split": part.split.kind,
        "candidates": scope,
        "sampled": sampled,
        "topk": config["topk"],
        **part.hashes(),
    }
    if repeated := targets.count_repeated():
        protocol["repeated"] = repeated
    if config["valid_users"] is not None:
        protocol["valid_users"] = config["valid_users"]
    if config["final_fit"]:
        protocol["final_fit"] = True
    if sampled:
        protocol["sampled_hash"] = targets.sampled_candidates(sampled, scope)[1]
    return protocol


def group_values(targets: Targets) -> dict[str, np.ndarray]:
    """Return the values that targets are grouped by, each [n].

    ``dominant_share`` is the share of the user's most frequent domain in the history,
    ``history_length`` its length, and ``target_popularity`` the target item's training count.
    """
    counts = targets.part.history_counts(targets.users, targets.rows)
    lengths = counts.sum(1)
    return {
        "dominant_share": counts.max(1) / np.maximum(lengths, 1),
        "history_length": lengths,
        "target_popularity": targets.part.item_counts()[targets.items],
    }


def write_ranks(
    path: Path,
    ranks: np.ndarray,
    targets: Targets,
    per_target: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write one line per target, in the order of the data, for tests of significance.

    Columns: user_id, item_id, domain, rank (1 is best), the values of `group_values`, and
    those of `per_target`.
    """
    part = targets.part
    frame = pd.DataFrame(
        {
            "user_id": part.field2id_token[part.uid_field][targets.users],
            "item_id": part.field2id_token[part.iid_field][targets.items],
            "domain": np.array(part.domains, dtype=object)[targets.domains],
            "rank": ranks,
            **group_values(targets),
            **(per_target or {}),
        }
    )
    with replacing(path) as temporary:
        frame.iloc[np.argsort(targets.rows)].to_csv(temporary, index=False, lineterminator="\n")


def _label(low: float, high: float) -> str:
    return f">={low:g}" if high == np.inf else f"{low:g}-<{high:g}"
