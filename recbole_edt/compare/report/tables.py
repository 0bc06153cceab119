"""The tables of a comparison, built once for all formats."""

from collections.abc import Sequence
from typing import Any

from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.summary import (
    above_on_test,
    best_other,
    gain,
    marks,
    reference,
    score,
    training,
)
from recbole_edt.compare.report.writers import Entry, Table
from recbole_edt.compare.results import DONE, Comparison, Row
from recbole_edt.compare.runs import FINAL, WITHOUT_EXPERT

EMPTY = "-"


def metric_title(metric: str) -> str:
    """Return a metric as papers write it, such as ``NDCG@10``."""
    name, _, k = metric.partition("@")
    written = {"hit": "HR", "recall": "Recall", "precision": "Precision"}
    return f"{written.get(name, name.upper())}@{k}"


def scope_title(domain: str | None) -> str:
    """Return what a column over all domains or one is called."""
    return "all domains" if domain is None else domain


def with_std(mean: float, std: float | None) -> str:
    """Return a score as all tables print it."""
    return f"{mean:.4f}" if std is None else f"{mean:.4f} ±{std:.4f}"


def percent(value: float | None) -> str:
    """Return a relative gain as all tables print it."""
    return EMPTY if value is None else f"{100 * value:+.1f} %"


def p_text(p: float | None) -> str:
    """Return a p value as all tables print it."""
    return EMPTY if p is None else f"{p:.4f}"


def seeds_text(row: Row, total: int) -> str:
    """Return how many seeds a row has of all, marked when some are missing."""
    return f"{len(row.runs)}/{total}" + " (!)" * (len(row.runs) < total)


def score_table(comparison: Comparison, metric: str, variant: str = FINAL) -> Table:
    """Return one metric of all rows, overall and per domain, on test."""
    total = len(comparison.seeds)
    marked = {d: marks(comparison, metric, d, variant) for d in comparison.scopes}
    rows = []
    for row in comparison.rows:
        entries = [Entry(row.label), Entry(seeds_text(row, total))]
        for domain in comparison.scopes:
            found = score(row, metric, domain, variant=variant)
            text = EMPTY if found is None else with_std(found.mean, found.std)
            entries.append(Entry(text, marked[domain].get(row.label, "")))
        rows.append(entries)
    head = ["row", "seeds", *map(scope_title, comparison.scopes)]
    notes = []
    if any(len(row.runs) < total for row in comparison.rows):
        notes.append(f"(!) fewer than {total} finished seeds: means are not over the same seeds.")
    title = f"{metric_title(metric)}, test: mean and standard deviation over seeds"
    return Table(f"score-{metric}", title, head, rows, notes)


def gain_table(comparison: Comparison) -> Table:
    """Return each row's relative gain over its strongest competitor, per domain."""
    main = comparison.metrics[0]
    rows = [
        [Entry(row.label)]
        + [Entry(percent(gain(comparison, row, domain))) for domain in comparison.scopes]
        for row in comparison.rows
        if row.runs
    ]
    notes = [
        "Against the best row of another model (in an ablation of one model: the best other row), "
        "chosen on validation, not on test.",
    ]
    ours = reference(comparison)
    if ours is not None:
        others = [(d, best_other(comparison, ours, d)) for d in comparison.scopes]
        chosen = "; ".join(f"{scope_title(d)}: {o.label}" for d, o in others if o is not None)
        if chosen:
            notes.append(f"Competitors of {ours.label}: {chosen}.")
        notes += above_note(comparison, ours)
    title = f"{metric_title(main)}, test: gain over the best other row"
    return Table("gain", title, ["row", *map(scope_title, comparison.scopes)], rows, notes)


def above_note(comparison: Comparison, row: Row) -> list[str]:
    """Return a sentence that names the competitors above a row on test, none when there are none.

    Without it a gain over the row that validation chose would read as a win over all.
    """
    found = [(d, above_on_test(comparison, row, d)) for d in comparison.scopes]
    named = [f"{scope_title(d)}: {', '.join(r.label for r in rows)}" for d, rows in found if rows]
    return [f"Above {row.label} on test: {'; '.join(named)}."] if named else []


def expert_table(comparison: Comparison) -> Table | None:
    """Return the main metric without the content expert, None when no row has one."""
    main = comparison.metrics[0]
    rows = []
    for row in comparison.rows:
        pairs = [
            (score(row, main, domain), score(row, main, domain, variant=WITHOUT_EXPERT))
            for domain in comparison.scopes
        ]
        if pairs[0][1] is not None:
            texts = (with_std(s.mean, s.std) if s else EMPTY for pair in pairs for s in pair)
            rows.append([Entry(row.label), *map(Entry, texts)])
    if not rows:
        return None
    head = ["row"]
    for domain in comparison.scopes:
        head += [scope_title(domain), f"{scope_title(domain)}, without"]
    title = f"{metric_title(main)}, test: with and without the content expert"
    return Table("expert", title, head, rows)


def phase_table(comparison: Comparison) -> Table | None:
    """Return the main metric after an earlier phase beside the final one, None without phases."""
    main = comparison.metrics[0]
    variants = dict.fromkeys(
        name
        for _, _, run in comparison.runs()
        for name, part, _ in run.reports()
        if part == "test" and name.startswith("after ")
    )
    rows = []
    for row in comparison.rows:
        scores = [(name, score(row, main, variant=name)) for name in variants]
        if not any(found for _, found in scores):
            continue
        # after a phase there is no expert yet, so none at the end either
        expert = score(row, main, variant=WITHOUT_EXPERT) is not None
        last = WITHOUT_EXPERT if expert else FINAL
        for name in [*(name for name, found in scores if found), last]:
            found = [score(row, main, domain, variant=name) for domain in comparison.scopes]
            texts = [with_std(s.mean, s.std) if s else EMPTY for s in found]
            shown = FINAL if name == last else name
            rows.append([Entry(row.label), Entry(shown), *map(Entry, texts)])
    if not rows:
        return None
    head = ["row", "weights", *map(scope_title, comparison.scopes)]
    title = f"{metric_title(main)}, test: phase by phase, without a content expert"
    return Table("phases", title, head, rows)


def training_table(comparison: Comparison) -> Table:
    """Return how each row was trained and what it cost."""
    rows = []
    has_sizes = any(training(row).parameters is not None for row in comparison.rows)
    for row in comparison.rows:
        facts = training(row)
        entries = [
            row.label,
            ", ".join(facts.phases) or EMPTY,
            facts.converged,
            EMPTY if facts.seconds is None else f"{facts.seconds:,.1f}",
            EMPTY if facts.peak_mb is None else f"{facts.peak_mb:,.0f}",
            EMPTY if facts.trials is None else str(facts.trials),
        ]
        if has_sizes:
            entries.append(EMPTY if facts.parameters is None else f"{facts.parameters:,}")
        rows.append([Entry(text) for text in entries])
    head = ["row", "best/all epochs", "converged", "train s", "peak MB", "trials"]
    head += ["parameters"] * has_sizes
    notes = [
        "Means over seeds; seconds are those of building and training the model, memory is the "
        "largest peak. Converged: in every phase the best epoch came before the last one (- for "
        "models that learn nothing)."
    ]
    return Table("training", "Training and cost", head, rows, notes)


def significance_table(
    significance: Significance, scopes: Sequence[str | None] | None = None
) -> Table | None:
    """Return the reference row against every other one on the main metric.

    Parameters
    ----------
    significance : Significance
        The tests.
    scopes : sequence, optional
        Only these domains; all by default.
    """
    comparison, ours = significance.comparison, significance.reference
    tests = significance.against_reference(comparison.metrics[0]) if comparison.metrics else []
    if ours is None or not tests:
        return None
    rows = []
    for test in tests:
        if scopes is not None and test.domain not in scopes:
            continue
        found = test.effect
        texts = [
            test.second,
            scope_title(test.domain),
            str(len(test.seeds)),
            f"{found.difference:+.4f}",
            f"{found.low:+.4f} to {found.high:+.4f}",
            EMPTY if found.d_z is None else f"{found.d_z:+.3f}",
            p_text(found.p),
            p_text(test.p_holm),
        ]
        rows.append([Entry(text) for text in texts])
    head = ["against", "scope", "seeds", "difference", "95 % interval", "d_z", "p", "p Holm"]
    notes = [
        "Paired bootstrap over users (10,000 draws, two-sided), each user's metric averaged over "
        "the seeds that both rows have. Holm over all rows, overall and per domain. The interval "
        "covers the choice of users, not that of seeds.",
    ]
    title = f"{ours.label} minus each row, {metric_title(comparison.metrics[0])}, test"
    return Table("tests", title, head, rows, notes)


def unfinished_table(comparison: Comparison) -> Table | None:
    """Return the cells that are not done with their reasons, None when all are."""
    rows = [
        [Entry(text) for text in (row.label, str(cell.seed), cell.status, cell.reason or EMPTY)]
        for row in comparison.rows
        for cell in row.cells
        if cell.status != DONE
    ]
    if not rows:
        return None
    return Table("unfinished", "Cells without a result", ["row", "seed", "status", "reason"], rows)


def all_tables(
    significance: Significance, scopes: Sequence[str | None] | None = None
) -> list[Table]:
    """Return the tables of a comparison in the order in which they are read.

    `scopes` is that of `significance_table`.
    """
    comparison = significance.comparison
    tables: list[Table | None] = [score_table(comparison, m) for m in comparison.metrics]
    if comparison.metrics:
        tables.insert(1, gain_table(comparison))
        tables += [expert_table(comparison), phase_table(comparison)]
        tables += [significance_table(significance, scopes), training_table(comparison)]
    tables.append(unfinished_table(comparison))
    return [table for table in tables if table is not None]


def facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Return what all rows have in common, as names and values."""
    protocol = comparison.protocol
    found: list[tuple[str, Any]] = [
        ("dataset", comparison.dataset),
        ("split", protocol.get("split")),
        ("split hash", comparison.split_hash),
        ("candidates", protocol.get("candidates")),
        ("sampled candidates", protocol.get("sampled") or "none (full ranking)"),
        ("sampled hash", protocol.get("sampled_hash")),
        ("seeds", ", ".join(map(str, comparison.seeds))),
    ]
    if not protocol:
        found = [entry for entry in found if not entry[0].startswith("sampled")]
    return [(name, str(value)) for name, value in found if value not in (None, "")]
