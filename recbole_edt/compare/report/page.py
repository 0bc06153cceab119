"""The self-contained HTML report: no script, no request, light and dark."""

import json
import string
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from recbole_edt.compare.report import plots, svg
from recbole_edt.compare.report import tables as t
from recbole_edt.compare.report.markup import html_table, swatch
from recbole_edt.compare.report.significance import PairTest, Significance
from recbole_edt.compare.report.summary import best_other, gain, score
from recbole_edt.compare.report.writers import Table, one_line
from recbole_edt.compare.results import Comparison, Row

_SURE = 0.05


def html_report(significance: Significance) -> str:
    """Return the whole page."""
    comparison = significance.comparison
    title = f"{comparison.dataset}: side by side"
    sections = _sections(significance) if comparison.metrics else []
    unfinished = t.unfinished_table(comparison)
    if unfinished is not None:
        sections.append(("unfinished", "Cells without a result", html_table(unfinished)))
    warnings = list(comparison.notes)
    if unfinished is not None:
        count = len(unfinished.rows)
        cells = "1 cell has" if count == 1 else f"{count} cells have"
        warnings.append(f"{cells} no result; reasons are at the end of this page.")
    return _template("report.html").substitute(
        title=escape(one_line(title)),
        style=_resource("report.css"),
        facts="".join(
            f"<span>{escape(name)} <b>{escape(value)}</b></span>"
            for name, value in t.facts(comparison)
        ),
        lead=_lead(significance),
        warnings="".join(f'<p class="warn">{escape(one_line(text))}</p>' for text in warnings),
        tiles=_tiles(significance),
        links="".join(f'<a href="#{name}">{head}</a>' for name, head, _ in sections),
        sections="".join(
            f'<section id="{name}"><h2>{head}</h2>{body}</section>' for name, head, body in sections
        ),
    )


def _resource(name: str) -> str:
    return (files("recbole_edt.compare.report") / name).read_text(encoding="utf-8")


def _template(name: str) -> string.Template:
    return string.Template(_resource(name))


def _sections(significance: Significance) -> list[tuple[str, str, str]]:
    """Return id, heading and content of each part of the page."""
    comparison = significance.comparison
    colours = plots.palette(significance)
    ours = significance.reference
    name = escape(one_line(ours.label)) if ours else ""
    main = t.metric_title(comparison.metrics[0])
    found = [
        ("scores", "Scores", _scores(significance, colours)),
        (
            "bars",
            f"{main} per domain",
            _figures(
                plots.bars(significance, colours),
                "Bars: mean over seeds. Lines: 95 % interval over users (bootstrap). "
                "Dots: single seeds.",
            ),
        ),
        ("tests", f"{name} against each row", _tests(significance, colours)),
        ("groups", f"Where {name} gains and where not", _groups(significance, colours)),
        (
            "curves",
            "Learning curves",
            _figures(
                plots.curves(comparison, colours),
                f"{main} on validation by epoch, one line per seed; dots: chosen epochs (where "
                "each domain chooses its own, one dot each); dotted: the highest value of any "
                "row. Phases stand side by side, and a phase begins at the same place for all "
                "seeds. Rows that validate once have no curve.",
            ),
        ),
        (
            "cost",
            "Cost against accuracy",
            _figures(
                plots.cost(significance, colours),
                "Training time (mean over seeds, all phases; times below 0.1 s stand at 0.1) "
                f"against {main} on test with its 95 % interval over users.",
            )
            + html_table(t.training_table(comparison), colours, significance),
        ),
        ("ladder", "How each row was made", _ladder(significance, colours)),
    ]
    return [section for section in found if section[2]]


# ------------------------------------------------------------------------------------ the top


def _lead(significance: Significance) -> str:
    comparison, ours = significance.comparison, significance.reference
    if ours is None or not comparison.metrics:
        return "No cell is finished yet."
    other = best_other(comparison, ours)
    if other is None:
        return f"<b>{escape(one_line(ours.label))}</b> is the only finished row."
    gains = {d: gain(comparison, ours, d) for d in comparison.scopes}
    ahead = [d for d, value in gains.items() if value is not None and value > 0]
    sure = [d for d in ahead if _is_sure(_best_test(significance, d))]
    metric = t.metric_title(comparison.metrics[0])
    claim = f"is {'' if ahead else 'not '}above the best baseline in {metric} "
    claim += _where(ahead, comparison.scopes)
    if ahead:
        held = _where(sure, comparison.scopes) if sure else "nowhere"
        claim += f"; after Holm&#x27;s correction (p below {_SURE}) {held}"
    return (
        f"<b>{escape(one_line(ours.label))}</b> {claim}. "
        "The baseline is chosen on validation, for each column by itself. "
        + escape(one_line(" ".join(t.above_note(comparison, ours))))
    )


def _where(some: Sequence[Any], of: Sequence[Any]) -> str:
    """Say in which scopes something holds, overall being the first of them."""
    domains, known = len([d for d in some if d is not None]), len(of) - 1
    if not some:
        return f"overall or in any of {known} domains"
    if some[0] is None:
        return f"overall and in {domains} of {known} domains"
    return f"in {domains} of {known} domains, not overall"


def _best_test(significance: Significance, domain: str | None) -> PairTest | None:
    """Return the test of the reference against its strongest competitor in a scope."""
    comparison, ours = significance.comparison, significance.reference
    other = best_other(comparison, ours, domain) if ours else None
    tests = significance.against_reference(comparison.metrics[0])
    found = [
        test for test in tests if other and (test.second, test.domain) == (other.label, domain)
    ]
    return found[0] if found else None


def _is_sure(test: PairTest | None) -> bool:
    return test is not None and test.p_holm is not None and test.p_holm < _SURE


def _tiles(significance: Significance) -> str:
    comparison, ours = significance.comparison, significance.reference
    if ours is None or not comparison.metrics:
        return ""
    tiles = []
    for domain in comparison.scopes:
        own, other = (
            score(ours, comparison.metrics[0], domain),
            best_other(comparison, ours, domain),
        )
        if own is None:
            continue
        value = gain(comparison, ours, domain)
        lines = [f"<h3>{escape(one_line(t.scope_title(domain)))}</h3>"]
        if value is not None and other is not None:
            way = "up" if value > 0 else "down"
            lines.append(f'<div class="big {way}">{t.percent(value)}</div>')
            lines.append(f"<p>against {escape(one_line(other.label))}</p>")
        lines.append(
            f"<p>{t.metric_title(comparison.metrics[0])} {t.with_std(own.mean, own.std)}</p>"
        )
        test = _best_test(significance, domain)
        if test is not None:
            e = test.effect
            lines.append(f"<p>difference {e.difference:+.4f} ({e.low:+.4f} to {e.high:+.4f})</p>")
            lines.append(f"<p>p (Holm) {t.p_text(test.p_holm)}, d<sub>z</sub> {_d(test)}</p>")
        tiles.append(f'<div class="tile">{"".join(lines)}</div>')
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _d(test: PairTest) -> str:
    return t.EMPTY if test.effect.d_z is None else f"{test.effect.d_z:+.3f}"


# --------------------------------------------------------------------------------------- parts


def _figures(drawings: list[str], note: str, above: str = "") -> str:
    if not drawings:
        return ""
    boxes = "".join(f'<div class="plot">{drawing}</div>' for drawing in drawings)
    return f'<p class="note">{escape(note)}</p>{above}<div class="plots">{boxes}</div>'


def _legend(rows: list[Row], colours: dict[str, int]) -> str:
    names = (f"<span>{swatch(colours[r.label])}{escape(one_line(r.label))}</span>" for r in rows)
    return f'<p class="legend">{"".join(names)}</p>'


def _scores(significance: Significance, colours: dict[str, int]) -> str:
    comparison = significance.comparison
    first, *others = (t.score_table(comparison, metric) for metric in comparison.metrics)
    made: list[Table | None] = [first, t.gain_table(comparison), *others]
    made += [t.expert_table(comparison), t.phase_table(comparison)]
    legend = '<p class="note">Bold on a tint: best. Underlined: second best.</p>'
    parts = [html_table(table, colours, significance) for table in made if table is not None]
    return f'{legend}<div class="blocks">{"".join(parts)}</div>'


def _tests(significance: Significance, colours: dict[str, int]) -> str:
    table = t.significance_table(significance)
    if table is None:
        return ""
    tests = significance.against_reference(significance.comparison.metrics[0])
    ends = [0.0, *(t_.effect.low for t_ in tests), *(t_.effect.high for t_ in tests)]
    scale = svg.Scale(min(ends), max(ends), 6, 154)
    spans = [_span(test, scale, colours) for test in tests]
    note = (
        '<p class="note">Right of the line: in favour of the reference. Filled: p (Holm) below '
        f"{_SURE}. All pairs of rows are in tests.csv.</p>"
    )
    return note + html_table(table, colours, extra=("difference and interval", spans))


def _span(test: PairTest, scale: svg.Scale, colours: dict[str, int]) -> str:
    """Return a test's difference and interval as a small drawing."""
    e, index = test.effect, colours[test.second]
    style = f"stroke:{svg.colour(index)}"
    parts = [
        svg.line(scale(0), 0, scale(0), 18, "zero"),
        svg.line(scale(e.low), 9, scale(e.high), 9, "span", style),
    ]
    if _is_sure(test):
        parts.append(svg.marker(scale(e.difference), 9, index))
    else:
        hollow = {"class_": "hollow", "style": style}
        parts.append(svg.element("circle", cx=scale(e.difference), cy=9, r=4, **hollow))
    return svg.drawing((160, 18), "", parts)


def _groups(significance: Significance, colours: dict[str, int]) -> str:
    rows = plots.compared_rows(significance)
    note = (
        "The reference minus its strongest competitors (on validation; none with less than half "
        "of the best one's score) among users or targets of a group; above the line the reference "
        "is better. Lines: 95 % intervals over users, not "
        "corrected for the number of groups."
    )
    return _figures(plots.groups(significance, colours), note, _legend(rows, colours))


def _ladder(significance: Significance, colours: dict[str, int]) -> str:
    comparison = significance.comparison
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("row", lambda row: row.label),
        ("model", lambda row: row.model),
        ("keys", lambda row: _pairs(row.keys)),
        ("tuning", _tuning),
        ("artefacts", lambda row: _distinct(row, lambda m: _pairs(m.get("artefacts") or {}))),
        ("commit", lambda row: _distinct(row, lambda m: _commit(m.get("git") or ""))),
        ("seeds", lambda row: ", ".join(map(str, row.runs)) or t.EMPTY),
    ]
    rows = [[t.Entry(make(row) or t.EMPTY) for _, make in columns] for row in comparison.rows]
    table = Table("ladder", "Configurations", [name for name, _ in columns], rows)
    if comparison.keys:
        table.notes.append(f"Keys of all rows: {_pairs(comparison.keys)}.")
    return html_table(table, colours, significance) + _versions(comparison) + _paths(comparison)


def _pairs(values: dict[str, Any]) -> str:
    """Return keys and values as the command line takes them."""
    shown = {
        k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in values.items()
    }
    return ", ".join(f"{key}={value}" for key, value in shown.items())


def _commit(text: str) -> str:
    """Return a short commit that still says whether the checkout had changes."""
    return text[:12] + "-dirty" * (text.endswith("-dirty") and len(text) > 18)


def _tuning(row: Row) -> str:
    if not row.tuning:
        return "none"
    best = _pairs(row.tuning.get("best") or {})
    return f"{row.tuning.get('trials')} trials" + (f"; best {best}" if best else "")


def _distinct(row: Row, make: Callable[[dict[str, Any]], str]) -> str:
    return "; ".join(dict.fromkeys(make(run.metrics) for run in row.runs.values()))


def _versions(comparison: Comparison) -> str:
    found: dict[str, list[str]] = {}
    for row, seed, run in comparison.runs():
        text = _pairs(run.metrics.get("versions") or {})
        found.setdefault(text, []).append(f"{row.label} (seed {seed})")
    if len(found) == 1:
        return f'<p class="note">Versions: {escape(next(iter(found)))}.</p>'
    lines = (f"<li>{escape(v)}: {escape(', '.join(rows))}</li>" for v, rows in found.items())
    return f'<p class="warn">Runs were made by different versions.</p><ul>{"".join(lines)}</ul>'


def _paths(comparison: Comparison) -> str:
    rows = [
        [t.Entry(text) for text in (row.label, str(seed), str(run.path))]
        for row, seed, run in comparison.runs()
    ]
    table = Table("runs", "Folders of all runs", ["row", "seed", "folder"], rows)
    return f"<details><summary>{len(rows)} runs</summary>{html_table(table)}</details>"
