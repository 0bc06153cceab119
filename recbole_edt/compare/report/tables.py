"""The tables of a comparison, built once for all formats."""

from collections.abc import Sequence

from recbole_edt.compare.report import texts
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.summary import (
    above_on_test,
    best_other,
    gain,
    marks,
    reference,
    score,
    summarised,
    training,
)
from recbole_edt.compare.report.table import Table, TableCell, text_rows
from recbole_edt.compare.results import ComparisonResult, RowResult
from recbole_edt.evaluation.list_metrics import (
    has_value_per_target,
    is_list_metric,
    is_smaller_better,
)
from recbole_edt.executors import DONE
from recbole_edt.runs import FINAL, WITHOUT_EXPERT, fold_variant


def score_table(comparison: ComparisonResult, metric: str) -> Table:
    """Return one metric of all rows, overall and per domain, on test."""
    total = len(comparison.seeds)
    mark_of = {domain: marks(comparison, metric, domain) for domain in comparison.scopes}
    rows = []
    for row in comparison.rows:
        seeds = f"{len(row.runs)}/{total}" + " (!)" * (len(row.runs) < total)
        scores = [
            TableCell(texts.score_text(score(row, metric, d)), mark_of[d].get(row.label, ""))
            for d in comparison.scopes
        ]
        rows.append([TableCell(row.label), TableCell(seeds), *scores])
    notes = []
    if any(len(row.runs) < total for row in comparison.rows):
        notes.append(f"(!) fewer than {total} finished seeds: means are not over the same seeds.")
    notes += _list_notes(metric)
    title = f"{texts.metric_title(metric)}, test: mean and standard deviation over seeds"
    head = ["row", "seeds", *map(texts.scope_title, comparison.scopes)]
    return Table(f"score-{metric}", title, head, rows, notes)


def _list_notes(metric: str) -> list[str]:
    """Return how a metric of lists is read and tested, nothing for one of ranks."""
    if not is_list_metric(metric):
        return []
    better = "Smaller" if is_smaller_better(metric) else "Bigger"
    if has_value_per_target(metric):
        return [f"{better} is better. Tests of every pair of rows are in tests.csv."]
    return [f"{better} is better. One value of all lists, none per user: no test of significance."]


def gain_table(comparison: ComparisonResult) -> Table:
    """Return each row's relative gain over its strongest competitor, per domain."""
    rows = text_rows(
        [row.label, *(texts.percent(gain(comparison, row, domain)) for domain in comparison.scopes)]
        for row in comparison.rows
        if row.runs
    )
    notes = [
        "Against the best row of another model (in an ablation of one model: the best other row), "
        "chosen on validation, not on test."
    ]
    ours = reference(comparison)
    if ours is not None:
        others = [(d, best_other(comparison, ours, d)) for d in comparison.scopes]
        chosen = "; ".join(f"{texts.scope_title(d)}: {o.label}" for d, o in others if o is not None)
        if chosen:
            notes.append(f"Competitors of {ours.label}: {chosen}.")
        notes += above_note(comparison, ours)
    title = f"{texts.metric_title(comparison.metrics[0])}, test: gain over the best other row"
    return Table("gain", title, ["row", *map(texts.scope_title, comparison.scopes)], rows, notes)


def above_note(comparison: ComparisonResult, row: RowResult) -> list[str]:
    """Return a sentence that names the competitors above a row on test, none when there are none.

    Without it a gain over the row that validation chose would read as a win over all.
    """
    above = [(d, above_on_test(comparison, row, d)) for d in comparison.scopes]
    named = [
        f"{texts.scope_title(d)}: {', '.join(r.label for r in rows)}" for d, rows in above if rows
    ]
    return [f"Above {row.label} on test: {'; '.join(named)}."] if named else []


def expert_table(comparison: ComparisonResult) -> Table | None:
    """Return the main metric without the content expert, None when no row has one."""
    main, head, lines = comparison.metrics[0], ["row"], []
    for domain in comparison.scopes:
        head += [texts.scope_title(domain), f"{texts.scope_title(domain)}, without"]
    for row in comparison.rows:
        if score(row, main, variant=WITHOUT_EXPERT) is not None:
            scores = [
                score(row, main, domain, variant=variant)
                for domain in comparison.scopes
                for variant in (FINAL, WITHOUT_EXPERT)
            ]
            lines.append([row.label, *map(texts.score_text, scores)])
    title = f"{texts.metric_title(main)}, test: with and without the content expert"
    return Table("expert", title, head, text_rows(lines)) if lines else None


def phase_table(comparison: ComparisonResult) -> Table | None:
    """Return the main metric after an earlier phase beside the final one, None without phases."""
    main, lines = comparison.metrics[0], []
    variants = dict.fromkeys(
        named.variant
        for _, _, run in comparison.runs()
        for named in run.record.reports()
        if named.subset == "test" and named.variant.startswith("after ")
    )
    for row in comparison.rows:
        after = [name for name in variants if score(row, main, variant=name)]
        if not after:
            continue
        # after a phase there is no expert yet, so none at the end either
        has_expert = score(row, main, variant=WITHOUT_EXPERT) is not None
        last = WITHOUT_EXPERT if has_expert else FINAL
        for name in [*after, last]:
            scores = [score(row, main, domain, variant=name) for domain in comparison.scopes]
            shown = FINAL if name == last else name
            lines.append([row.label, shown, *map(texts.score_text, scores)])
    head = ["row", "weights", *map(texts.scope_title, comparison.scopes)]
    title = f"{texts.metric_title(main)}, test: phase by phase, without a content expert"
    return Table("phases", title, head, text_rows(lines)) if lines else None


def fold_table(comparison: ComparisonResult) -> Table | None:
    """Return the main metric per fold of a rolling split, None without folds.

    Folds are paired: every row is tested on the same targets of each. The last column counts the
    folds in which the reference is above the row.
    """
    main, ours = comparison.metrics[0], reference(comparison)
    counts = [len(run.record.folds or ()) for _, _, run in comparison.runs()]
    if not any(counts):
        return None
    variants = [fold_variant(number) for number in range(1, max(counts) + 1)]
    rows = [row for row in comparison.rows if row.runs]
    by_fold = {row.label: [score(row, main, variant=name) for name in variants] for row in rows}
    lines = []
    for row in rows:
        means = [found.mean for found in by_fold[row.label] if found is not None]
        line = [row.label, *(texts.number_text(mean, ".4f") for mean in means)]
        line.append(texts.score_text(summarised(means)))
        if ours is not None:
            other = [found.mean for found in by_fold[ours.label] if found is not None]
            ahead = sum(one > mean for one, mean in zip(other, means, strict=True))
            line.append(texts.EMPTY if row is ours else f"{ahead} of {len(means)}")
        lines.append(line)
    head = ["row", *variants, "mean, std over folds"]
    head += [f"{ours.label} above"] if ours is not None else []
    title = f"{texts.metric_title(main)}, test, by fold: mean over seeds"
    notes = ["All rows of a fold are trained and tested on the same rows of the data."]
    return Table("folds", title, head, text_rows(lines), notes)


def training_table(comparison: ComparisonResult) -> Table:
    """Return how each row was trained and what it cost."""
    summaries = [training(row) for row in comparison.rows]
    has_sizes = any(summary.parameters is not None for summary in summaries)
    lines = [
        [
            row.label,
            ", ".join(summary.phases) or texts.EMPTY,
            summary.converged,
            texts.number_text(summary.seconds, ",.1f"),
            texts.number_text(summary.peak_mb, ",.0f"),
            texts.number_text(summary.trials, ""),
            *([texts.number_text(summary.parameters, ",")] * has_sizes),
        ]
        for row, summary in zip(comparison.rows, summaries, strict=True)
    ]
    head = ["row", "best/all epochs", "converged", "train s", "peak MB", "trials"]
    head += ["parameters"] * has_sizes
    notes = [
        "Means over seeds; seconds are those of building and training the model, memory is the "
        "largest peak. Converged: in every phase the best epoch came before the last one (- for "
        "models that learn nothing)."
    ]
    return Table("training", "Training and cost", head, text_rows(lines), notes)


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
    rows = text_rows(
        [
            test.second,
            texts.scope_title(test.domain),
            str(len(test.seeds)),
            f"{test.effect.difference:+.4f}",
            texts.interval_text(test.effect),
            texts.d_text(test.effect),
            texts.p_text(test.effect.p),
            texts.p_text(test.p_holm),
        ]
        for test in tests
        if scopes is None or test.domain in scopes
    )
    head = ["against", "scope", "seeds", "difference", "95 % interval", "d_z", "p", "p Holm"]
    notes = [
        "Paired bootstrap over users (10,000 draws, two-sided), each user's metric averaged over "
        "the seeds that both rows have. Holm over all rows, overall and per domain. The interval "
        "covers the choice of users, not that of seeds."
    ]
    if comparison.has_folds:
        notes.append("Each fold counts the same; a user's targets of all folds are drawn together.")
    title = f"{ours.label} minus each row, {texts.metric_title(comparison.metrics[0])}, test"
    return Table("tests", title, head, rows, notes)


def unfinished_table(comparison: ComparisonResult) -> Table | None:
    """Return the cells that are not done with their reasons, None when all are."""
    lines = [
        (row.label, str(cell.seed), cell.status, cell.reason or texts.EMPTY)
        for row in comparison.rows
        for cell in row.cells
        if cell.status != DONE
    ]
    head = ["row", "seed", "status", "reason"]
    title = "Cells without a result"
    return Table("unfinished", title, head, text_rows(lines)) if lines else None


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
        tables += [fold_table(comparison), expert_table(comparison), phase_table(comparison)]
        tables += [significance_table(significance, scopes), training_table(comparison)]
    tables.append(unfinished_table(comparison))
    return [table for table in tables if table is not None]


def common_settings(comparison: ComparisonResult) -> list[tuple[str, str]]:
    """Return what all rows have in common, as names and values."""
    protocol = comparison.protocol
    values = {"dataset": comparison.dataset, "split": None, "split hash": comparison.split_hash}
    if protocol is not None:
        values |= {
            "split": protocol.split,
            "candidates": protocol.candidates,
            "sampled candidates": str(protocol.sampled or "none (full ranking)"),
            "sampled hash": protocol.sampled_hash,
            "final fit": "on training and validation rows" if protocol.final_fit else None,
        }
    values["seeds"] = ", ".join(map(str, comparison.seeds))
    return [(name, value) for name, value in values.items() if value]
