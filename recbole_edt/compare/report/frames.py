"""``results.csv`` and ``tests.csv`` as data frames."""

from dataclasses import asdict

import pandas as pd

from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.results import ComparisonResult


def results_frame(comparison: ComparisonResult) -> pd.DataFrame:
    """Return every metric of every run, one per line, as ``results.csv`` holds them.

    ``scope`` is ``overall``, ``domain`` or the name of a grouping; ``domain`` and ``group`` are
    empty where they do not apply. ``variant`` is ``final``, ``without_expert`` (without the
    content expert) or ``after PHASE``.
    """
    lines = []
    for row, seed, run in comparison.runs():
        protocol = run.record.protocol
        shared = {key: getattr(protocol, key) for key in protocol.COMPARED}
        for variant, part, report in run.record.reports():
            for scope, domain, group, scores in report.scopes():
                for metric, value in scores.metrics.items():
                    lines.append({
                        "label": row.label, "model": row.model, "seed": seed,
                        "variant": variant, "part": part,
                        "scope": scope, "domain": domain, "group": group,
                        "metric": metric, "value": value, "users": scores.users,
                        "dataset": comparison.dataset, **shared, "run_dir": str(run.path),
                    })  # fmt: skip
    return pd.DataFrame(lines)


def tests_frame(significance: Significance) -> pd.DataFrame:
    """Return all tests as ``tests.csv`` holds them."""
    lines = []
    for test in significance.tests:
        line = {
            "first": test.first,
            "second": test.second,
            "scope": "overall" if test.domain is None else "domain",
            "domain": test.domain or "",
            "metric": test.metric,
            "seeds": " ".join(map(str, test.seeds)),
            **asdict(test.effect),
            "p_holm": test.p_holm,
            "family": test.family,
        }
        lines.append(line)
    return pd.DataFrame(lines)
