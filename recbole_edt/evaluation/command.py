"""What ``recbole-edt evaluate`` does: rank a finished run's test targets by another protocol."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_edt.errors import UserError, nearest
from recbole_edt.evaluation.ranking import rank_targets
from recbole_edt.evaluation.report import (
    describe_protocol,
    headline,
    metric_names,
    metrics_table,
    report_metrics,
)
from recbole_edt.evaluation.targets import Targets
from recbole_edt.files import write_json
from recbole_edt.runs.finished import load_run

FLAGS = ("run",)
_PROTOCOL = ("candidates", "sampled_candidates", "metrics", "topk")
_ELSEWHERE = ("data_path", "eval_batch_size", "use_gpu", "gpu_id")


def evaluate(flags: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    """Rank again, write the figures beside the run, and return what to print.

    Weights, and the content expert's share, stay as the run chose them on its own validation.

    Parameters
    ----------
    flags : mapping
        ``run``: folder of a finished run.
    keys : mapping
        ``--key=value`` arguments: the protocol, and where to compute.

    Raises
    ------
    UserError
        A key that a finished run cannot change, a protocol that does not exist, and whatever
        `load_run` refuses.
    """
    allowed = (*_PROTOCOL, *_ELSEWHERE)
    for key in keys:
        if key not in allowed:
            hint = nearest(key, (*FLAGS, *allowed))
            raise UserError(f"--{key}: a finished run cannot change it{hint}")
    if "run" not in flags:
        raise UserError("evaluate: expected --run=DIR")
    run = load_run(Path(flags["run"]), keys)
    config = run.config
    names = metric_names(config["metrics"], config["topk"])
    targets = Targets(run.part, "test")
    scope, sampled = config["candidates"], config["sampled_candidates"]
    plain = report_metrics(rank_targets(run.model, targets, scope, sampled), targets, names)
    scores: dict[str, Any] = {"test": plain}
    if run.expert is not None:
        ranks = rank_targets(run.model, targets, scope, sampled, run.expert)
        scores = {
            "test": report_metrics(ranks, targets, names),
            "expert_weights": run.metrics["expert_weights"],
            "without_expert": {"test": plain},
        }
    out = run.folder / f"evaluate-{scope}-{sampled or 'full'}.json"
    head = {key: run.metrics[key] for key in ("model", "dataset", "seed")}
    result = head | {"protocol": describe_protocol(targets), **scores}
    write_json(out, result)
    lines = [headline(result)]
    if run.expert is not None:
        lines += [metrics_table(plain, names), "\nwith the content expert"]
    return "\n".join([*lines, metrics_table(scores["test"], names), f"\nwritten to {out}"])
