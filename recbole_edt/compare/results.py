"""What a comparison left behind: its rows, cells and runs, read and checked."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_edt.compare.runs import FINAL, OVERALL, PROTOCOL, Run, in_group, protocol_values
from recbole_edt.errors import UserError, nearest
from recbole_edt.files import read_json
from recbole_edt.recbole_bridge.stock import stock_models

SCHEMA = 1
DONE = "done"
_STATUSES = (DONE, "failed", "running", "waiting")
_SHOWN = ("ndcg@10", "hit@10", "mrr@10")


@dataclass(frozen=True)
class Cell:
    """One row with one seed; `run` is None unless the cell is done."""

    seed: int
    status: str
    reason: str | None
    run: Run | None


@dataclass(frozen=True)
class Row:
    """One configuration of a model over several seeds."""

    label: str
    model: str
    keys: dict[str, Any]
    tuning: dict[str, Any] | None
    cells: list[Cell]

    @property
    def runs(self) -> dict[int, Run]:
        """Finished runs by seed."""
        return {cell.seed: cell.run for cell in self.cells if cell.run is not None}

    def values(
        self, metric: str, domain: str | None = None, part: str = "test", variant: str = FINAL
    ) -> dict[int, float]:
        """Return one metric by seed, of the runs that have it."""
        found = {s: run.value(metric, domain, part, variant) for s, run in self.runs.items()}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass(frozen=True)
class Comparison:
    """All rows of one comparison, checked to be comparable.

    Attributes
    ----------
    dataset, split_hash : str
        What all runs have in common.
    rows : list of Row
        In the order of ``compare.json``.
    protocol : dict
        How all runs were evaluated; empty when no run is finished.
    domains : list of str
        In the order of the runs.
    metrics : list of str
        Metrics that the tables show; the first one is the main one.
    keys : dict
        Configuration keys that all rows were given.
    notes : list of str
        What a reader has to know about missing pieces.
    """

    dataset: str
    split_hash: str | None
    rows: list[Row]
    protocol: dict[str, Any]
    domains: list[str]
    metrics: list[str]
    keys: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def scopes(self) -> list[str | None]:
        """None for overall, then the domains."""
        return [None, *self.domains]

    @property
    def seeds(self) -> list[int]:
        """All seeds that any row was to be run with."""
        return sorted({cell.seed for row in self.rows for cell in row.cells})

    def runs(self) -> Iterator[tuple[Row, int, Run]]:
        """Yield every finished run with its row and seed."""
        for row in self.rows:
            for seed, run in row.runs.items():
                yield row, seed, run


def load(folder: Path) -> Comparison:
    """Read ``compare.json`` of a folder and the runs that it names.

    Raises
    ------
    UserError
        When the file or a run is missing or damaged, or when two runs differ in dataset, split
        or candidates and so do not belong in one table.
    """
    path = folder / "compare.json"
    content = read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else content
        raise UserError(f"{path}: schema {found!r}, expected {SCHEMA}")
    try:
        rows = [_row(entry, folder, path) for entry in content["rows"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not as compare writes it ({error!r})") from None
    labels = [row.label for row in rows]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"{path}: label {label!r} names several rows, expected one")
    runs = [run for row in rows for run in row.runs.values()]
    protocol, domains = _common_protocol(path, content, runs)
    comparison = Comparison(
        dataset=content.get("dataset") or "",
        split_hash=protocol.get("split_hash") or content.get("split_hash"),
        rows=rows,
        protocol=protocol,
        domains=domains,
        metrics=_shown_metrics(runs),
        keys=content.get("keys") or {},
    )
    if runs:
        comparison.notes.extend([*_missing(comparison), *_unlike_histories(comparison)])
    return comparison


def _row(entry: dict[str, Any], folder: Path, path: Path) -> Row:
    cells = [_cell(cell, folder, f"{path}: {entry['label']!r}") for cell in entry["cells"]]
    return Row(
        str(entry["label"]), entry["model"], entry.get("keys") or {}, entry.get("tuning"), cells
    )


def _cell(entry: dict[str, Any], folder: Path, where: str) -> Cell:
    status = entry["status"]
    if status not in _STATUSES:
        hint = nearest(str(status), _STATUSES)
        raise UserError(f"{where}: status {status!r}, expected one of {list(_STATUSES)}{hint}")
    run = None
    if status == DONE:
        given = Path(entry["run_dir"])
        beside = folder / given  # an absolute path stays as it is
        run_dir = Path(os.path.normpath(beside if beside.is_dir() else given))
        run = Run(run_dir, read_json(run_dir / "metrics.json"))
        if run.metrics.get("seed") != entry["seed"]:
            raise UserError(f"{where}: seed {entry['seed']}, but {run_dir} has another")
    return Cell(entry["seed"], status, entry.get("reason"), run)


def _common_protocol(
    path: Path, content: dict[str, Any], runs: list[Run]
) -> tuple[dict[str, Any], list[str]]:
    """Return protocol and domains of all runs; refuse runs that differ."""
    if not runs:
        return {}, []
    known: dict[str, tuple[Path, Any]] = {}
    for run in runs:
        metrics = run.metrics
        told = {"dataset": metrics["dataset"], "domains": list(metrics["test"]["domains"])}
        told |= protocol_values(metrics)
        for what, value in told.items():
            other, expected = known.setdefault(what, (run.path, value))
            if value != expected:
                raise UserError(
                    f"{what}: {other} has {expected!r}, {run.path} has {value!r}; "
                    "expected the same in all rows of a table"
                )
    first = runs[0]
    expected, found = content.get("split_hash"), first.metrics["protocol"]["split_hash"]
    if expected and expected != found:
        raise UserError(f"{path}: split_hash {expected!r}, but {first.path} has {found!r}")
    return first.metrics["protocol"], list(first.metrics["test"]["domains"])


def _shown_metrics(runs: list[Run]) -> list[str]:
    """Return the usual metrics at 10, or all that the runs share when there are none."""
    if not runs:
        return []
    common = [
        name
        for name in runs[0].metrics["test"][OVERALL]
        if name != "users" and all(name in run.metrics["test"][OVERALL] for run in runs)
    ]
    if not common:
        raise UserError(f"metrics: {runs[0].path} and the other runs have none in common")
    return [name for name in _SHOWN if name in common] or common[:3]


def _missing(comparison: Comparison) -> list[str]:
    """Return notes on what the runs lack and on groups that cannot be found again."""
    without, unlike = [], []
    for row, seed, run in comparison.runs():
        name, ranks = f"{row.label} (seed {seed})", run.ranks
        if ranks is None:
            without.append(name)
        elif any(
            in_group(ranks, grouping, group).sum() != metrics["users"]
            for grouping, groups in run.metrics["test"].get("groups", {}).items()
            for group, metrics in groups.items()
        ):
            unlike.append(name)
    notes = []
    if without:
        notes.append(f"No test_ranks.csv, hence not in the tests: {', '.join(without)}.")
    if unlike:
        notes.append(
            f"Groups of test_ranks.csv are not those of metrics.json: {', '.join(unlike)}."
        )
    return notes


def _unlike_histories(comparison: Comparison) -> list[str]:
    """Return a note when models read histories of different lengths: their rows then differ."""
    without = stock_models(("general_recommender",))  # these have the key, and read no history
    rows: dict[int, list[str]] = {}
    for row, _, run in comparison.runs():
        length = None if row.model in without else run.settings.get("MAX_ITEM_LIST_LENGTH")
        if length is not None and row.label not in rows.setdefault(length, []):
            rows[length].append(row.label)
    if len(rows) < 2:
        return []
    told = "; ".join(f"{length} items: {', '.join(rows[length])}" for length in sorted(rows))
    return [f"Histories are cut at different lengths (MAX_ITEM_LIST_LENGTH): {told}."]


def long_form(comparison: Comparison) -> pd.DataFrame:
    """Return every metric of every run, one per line.

    ``scope`` is ``overall``, ``domain`` or the name of a grouping; ``domain`` and ``group`` are
    empty where they do not apply. ``variant`` tells the final scores from those after an earlier
    phase and from those without the content expert.
    """
    lines = []
    for row, seed, run in comparison.runs():
        head = {"label": row.label, "model": row.model, "seed": seed}
        tail = {
            "dataset": comparison.dataset,
            **{key: run.metrics["protocol"].get(key) for key in PROTOCOL},
            "run_dir": str(run.path),
        }
        for variant, part, report in run.reports():
            for scope, domain, group, metrics in _scopes(report):
                place = {"scope": scope, "domain": domain, "group": group}
                for metric, value in metrics.items():
                    if metric != "users":
                        lines.append(
                            {
                                **head,
                                **{"variant": variant, "part": part},
                                **place,
                                **{"metric": metric, "value": value, "users": metrics["users"]},
                                **tail,
                            }
                        )
    return pd.DataFrame(lines)


def _scopes(report: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    yield OVERALL, "", "", report[OVERALL]
    for domain, metrics in report["domains"].items():
        yield "domain", domain, "", metrics
    for grouping, groups in report.get("groups", {}).items():
        for group, metrics in groups.items():
            yield grouping, "", group, metrics
