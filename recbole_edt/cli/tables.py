"""Test figures as the commands print them."""

from collections.abc import Sequence

from recbole_edt.runs import Protocol, Report, RunRecord


def headline(model: str, dataset: str, protocol: Protocol) -> str:
    """Return whose test figures follow, and what targets were ranked among, in words."""
    return f"{model} on {dataset}: test, ranked among {protocol.candidate_set}"


def repeats_line(protocol: Protocol, users: int) -> str:
    """Return how many targets repeat an item of their history; empty when none does."""
    if not protocol.repeated:
        return ""
    return f"\n{protocol.repeated} of {users} test targets repeat an item of their history"


def fold_tables(record: RunRecord, metrics: Sequence[str]) -> str:
    """Return the tables of each fold and of the standard deviation over them; empty without."""
    folds = record.folds or []
    tables = [
        f"fold {one.fold} of {len(folds)}\n{metric_table(one.test, metrics)}\n" for one in folds
    ]
    if record.std_over_folds is not None:
        spread = metric_table(record.std_over_folds.test, metrics)
        tables.append(f"standard deviation over folds\n{spread}\n")
    return "\n".join([*tables, "mean over folds\n"]) if folds else ""


def metric_table(report: Report, metrics: Sequence[str]) -> str:
    """Return a report's overall and per-domain metrics as an aligned text table.

    A metric that the report lacks is left blank.
    """
    rows = {"all": report.overall, **report.domains}
    width = max(map(len, rows))
    columns = {metric: max(len(metric) + 1, 10) for metric in metrics}
    heads = "".join(f"{metric:>{size}}" for metric, size in columns.items())
    lines = [" " * width + "    users" + heads]
    for name, scores in rows.items():
        texts = [
            f"{scores.metrics[metric]:{size}.4f}" if metric in scores.metrics else " " * size
            for metric, size in columns.items()
        ]
        cells = "".join(texts).rstrip()
        lines.append(f"{name:<{width}}{scores.users:9d}{cells}")
    return "\n".join(lines)
