"""Names and numbers as tables, figures and the page print them."""

import json
from collections.abc import Mapping
from typing import Any

from recbole_edt.compare.report.bootstrap import Effect
from recbole_edt.compare.report.summary import Score
from recbole_edt.config.keys.evaluation import LIST_METRICS

EMPTY = "-"
_METRIC_NAMES = {"hit": "HR", "recall": "Recall", "precision": "Precision"}
_METRIC_NAMES |= {name.lower(): name for name in LIST_METRICS}


def one_line(text: str) -> str:
    """Return a text without line breaks and other control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def metric_title(metric: str) -> str:
    """Return a metric as papers write it, such as ``NDCG@10``."""
    name, _, k = metric.partition("@")
    return f"{_METRIC_NAMES.get(name, name.upper())}@{k}"


def scope_title(domain: str | None) -> str:
    """Return the title of a column over all domains (None) or one."""
    return "all domains" if domain is None else domain


def score_text(score: Score | None) -> str:
    """Return a mean with its standard deviation over seeds, if it has one."""
    if score is None:
        return EMPTY
    return f"{score.mean:.4f}" if score.std is None else f"{score.mean:.4f} ±{score.std:.4f}"


def percent(value: float | None) -> str:
    """Return a relative gain in per cent."""
    return EMPTY if value is None else f"{100 * value:+.1f} %"


def p_text(p: float | None) -> str:
    """Return a p value."""
    return EMPTY if p is None else f"{p:.4f}"


def d_text(effect: Effect) -> str:
    """Return an effect size."""
    return EMPTY if effect.d_z is None else f"{effect.d_z:+.3f}"


def interval_text(effect: Effect) -> str:
    """Return the ends of a difference's 95 % interval."""
    return f"{effect.low:+.4f} to {effect.high:+.4f}"


def number_text(value: float | None, form: str) -> str:
    """Return a number in a format of Python's, ``-`` for None."""
    return EMPTY if value is None else format(value, form)


def keys_text(values: Mapping[str, Any]) -> str:
    """Return keys and values as the command line takes them."""
    texts = {
        k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in values.items()
    }
    return ", ".join(f"{key}={value}" for key, value in texts.items())
