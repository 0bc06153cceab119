"""Results of a comparison: files beside ``compare.json``, and a table for the terminal."""

import shutil
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.table import as_latex, as_markdown, as_text
from recbole_edt.compare.report.tables import all_tables, common_settings
from recbole_edt.compare.results import ComparisonResult, load_results
from recbole_edt.files import replacing, write_text

_MANY_ROWS = 4  # with more, the terminal leaves the tests per domain to the files


def write_report(folder: Path, columns: int | None = None) -> str:
    """Write the results of a comparison and return its tables as text.

    Reads ``compare.json`` and the runs it names; writes ``results.csv``, ``tests.csv``,
    ``results.md``, ``results.tex``, ``report.html`` and ``figures/`` (see docs/report.md).

    Parameters
    ----------
    folder : pathlib.Path
        Where ``compare.json`` is.
    columns : int, optional
        Wider tables are broken; the width of the terminal by default, 120 without one.

    Raises
    ------
    UserError
        When files are missing or damaged, or when two runs do not belong in one table.
    """
    from recbole_edt.compare.report.figures import draw_figures  # heavy: it imports matplotlib
    from recbole_edt.compare.report.figures.files import save_figures
    from recbole_edt.compare.report.page import html_page

    folder = Path(folder)
    columns = columns or max(shutil.get_terminal_size((120, 24)).columns, 60)
    comparison = load_results(folder)
    significance = Significance(comparison)
    tables = all_tables(significance)
    settings = common_settings(comparison)
    _write_csv(folder / "results.csv", results_frame(comparison))
    _write_csv(folder / "tests.csv", tests_frame(significance))
    head = [f"# {comparison.dataset}: side by side", ""]
    head += [f"- {name}: `{value}`" for name, value in settings]
    head += ["", "Best in bold, second best underlined.", *comparison.notes, ""]
    write_text(folder / "results.md", "\n".join([*head, *map(as_markdown, tables)]))
    comments = [f"% {name}: {value}" for name, value in settings]
    comments.append("% needs \\usepackage{booktabs}; other scripts need XeLaTeX or LuaLaTeX")
    write_text(folder / "results.tex", "\n".join([*comments, "", *map(as_latex, tables)]))
    figures = draw_figures(significance)
    save_figures(figures, folder / "figures")
    write_text(folder / "report.html", html_page(significance, figures))
    lines = [", ".join(f"{name} {value}" for name, value in settings), ""]
    shown = all_tables(significance, scopes=[None]) if len(comparison.rows) > _MANY_ROWS else tables
    lines += [as_text(table, columns) + "\n" for table in shown]
    if shown is not tables:
        lines.append("Tests per domain: results.md and report.html; all pairs: tests.csv.")
    legend = "* best, + second best" if comparison.metrics else "no cell is finished yet"
    return "\n".join([*lines, *comparison.notes, legend])


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


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
