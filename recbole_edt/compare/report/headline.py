"""The top of the page: one sentence on who is ahead where, and a tile per domain."""

from collections.abc import Sequence
from typing import Any

from recbole_edt.compare.report import texts
from recbole_edt.compare.report.significance import PairTest, Significance
from recbole_edt.compare.report.summary import best_other, gain, score
from recbole_edt.compare.report.tables import above_note

LEVEL = 0.05
"""A p value below it, after Holm's correction, counts as significant."""


def is_significant(test: PairTest | None) -> bool:
    """Return whether a test, if there is one, is significant after Holm's correction."""
    return test is not None and test.p_holm is not None and test.p_holm < LEVEL


def lead(significance: Significance) -> dict[str, str]:
    """Return the first sentence: the reference's ``label`` and the ``text`` that follows it."""
    comparison, ours = significance.comparison, significance.reference
    if ours is None or not comparison.metrics:
        return {"label": "", "text": "No cell is finished yet."}
    label = texts.one_line(ours.label)
    if best_other(comparison, ours) is None:
        return {"label": label, "text": "is the only finished row."}
    gains = {domain: gain(comparison, ours, domain) for domain in comparison.scopes}
    ahead = [domain for domain, value in gains.items() if value is not None and value > 0]
    significant = [d for d in ahead if is_significant(_test_against_best(significance, d))]
    metric = texts.metric_title(comparison.metrics[0])
    claim = f"is {'' if ahead else 'not '}above the best baseline in {metric} "
    claim += _scopes_text(ahead, comparison.scopes)
    if ahead:
        held = _scopes_text(significant, comparison.scopes) if significant else "nowhere"
        claim += f"; after Holm's correction (p below {LEVEL}) {held}"
    chosen = "The baseline is chosen on validation, for each column by itself."
    above = " ".join(above_note(comparison, ours))
    return {"label": label, "text": texts.one_line(f"{claim}. {chosen} {above}")}


def _scopes_text(some: Sequence[str | None], scopes: Sequence[str | None]) -> str:
    """Return in which scopes something holds, overall being the first of them."""
    domains, total = len([domain for domain in some if domain is not None]), len(scopes) - 1
    if not some:
        return f"overall or in any of {total} domains"
    if some[0] is None:
        return f"overall and in {domains} of {total} domains"
    return f"in {domains} of {total} domains, not overall"


def _test_against_best(significance: Significance, domain: str | None) -> PairTest | None:
    """Return the test of the reference against its strongest competitor in a scope."""
    comparison, ours = significance.comparison, significance.reference
    other = best_other(comparison, ours, domain) if ours else None
    tests = significance.against_reference(comparison.metrics[0])
    return next((t for t in tests if other and (t.second, t.domain) == (other.label, domain)), None)


def colour_of(gain: float) -> str:
    """Return the class of a gain's text: none for what is shown as zero, which is no loss."""
    if not {*"123456789"} & {*texts.percent(gain)}:
        return ""
    return "up" if gain > 0 else "down"


def tiles(significance: Significance) -> list[dict[str, Any]]:
    """Return texts per scope: the reference's gain, score and test against the best other row."""
    comparison, ours = significance.comparison, significance.reference
    if ours is None or not comparison.metrics:
        return []
    contents = []
    for domain in comparison.scopes:
        mean = score(ours, comparison.metrics[0], domain)
        if mean is None:
            continue
        value, other = gain(comparison, ours, domain), best_other(comparison, ours, domain)
        test = _test_against_best(significance, domain)
        contents.append({
            "scope": texts.scope_title(domain),
            "gain": "" if value is None else texts.percent(value),
            "colour": "" if value is None else colour_of(value),
            "other": other.label if other else "",
            "score": f"{texts.metric_title(comparison.metrics[0])} {texts.score_text(mean)}",
            "test": None if test is None else {
                "difference": f"{test.effect.difference:+.4f}",
                "interval": texts.interval_text(test.effect),
                "p": texts.p_text(test.p_holm),
                "d_z": texts.d_text(test.effect),
            },
        })  # fmt: skip
    return contents
