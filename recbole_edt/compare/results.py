"""The results of a comparison: its rows, cells and runs, read and checked."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from recbole_edt.compare.compared_run import ComparedRun, in_group
from recbole_edt.compare.grid.state import FILE, RUNNING, SCHEMA, WAITING
from recbole_edt.compare.protocol import ProtocolCheck, refuse_difference
from recbole_edt.config.keys.evaluation import is_among
from recbole_edt.errors import UserError, nearest
from recbole_edt.evaluation.list_metrics import is_list_metric, is_smaller_better
from recbole_edt.executors import DONE, FAILED
from recbole_edt.files import read_json
from recbole_edt.recbole_bridge.stock import stock_models
from recbole_edt.runs import FINAL, Protocol

_STATUSES = (DONE, FAILED, RUNNING, WAITING)
Subset = Literal["valid", "test"]
_MAIN_METRICS = ("ndcg@10", "hit@10", "mrr@10")


@dataclass(frozen=True)
class CellResult:
    """One row with one seed; `run` is None unless the cell is done."""

    seed: int
    status: str
    reason: str | None
    run: ComparedRun | None


@dataclass(frozen=True)
class RowResult:
    """One configuration of a model over several seeds."""

    label: str
    model: str
    keys: dict[str, Any]
    tuning: dict[str, Any] | None
    cells: list[CellResult]

    @property
    def runs(self) -> dict[int, ComparedRun]:
        """Finished runs by seed."""
        return {cell.seed: cell.run for cell in self.cells if cell.run is not None}

    def values(
        self, metric: str, domain: str | None = None, subset: Subset = "test", variant: str = FINAL
    ) -> dict[int, float]:
        """Return one metric by seed, of the runs that have it."""
        values = {
            seed: run.record.value(metric, domain, subset, variant)
            for seed, run in self.runs.items()
        }
        return {seed: value for seed, value in values.items() if value is not None}


@dataclass(frozen=True)
class ComparisonResult:
    """All rows of one comparison, checked to be comparable.

    Attributes
    ----------
    dataset, split_hash : str
        What all runs have in common.
    rows : list of RowResult
        In the order of ``compare.json``.
    protocol : Protocol or None
        How all runs were evaluated; None when no run is finished.
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
    rows: list[RowResult]
    protocol: Protocol | None
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

    @property
    def has_folds(self) -> bool:
        """Whether the runs are over several folds of a rolling split."""
        return any(run.record.folds for _, _, run in self.runs())

    def runs(self) -> Iterator[tuple[RowResult, int, ComparedRun]]:
        """Yield every finished run with its row and seed."""
        for row in self.rows:
            for seed, run in row.runs.items():
                yield row, seed, run


def load_results(folder: Path) -> ComparisonResult:
    """Read ``compare.json`` of a folder and the runs that it names.

    Raises
    ------
    UserError
        When the file or a run is missing or damaged, or when two runs differ in dataset, split
        or candidates and so do not belong in one table.
    """
    path = folder / FILE
    content = read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else content
        raise UserError(f"{path}: schema {found!r}, expected {SCHEMA}")
    try:
        rows = [_read_row(entry, folder, path) for entry in content["rows"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not as compare writes it ({error!r})") from None
    labels = [row.label for row in rows]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"{path}: label {label!r} names several rows, expected one")
    runs = [run for row in rows for run in row.runs.values()]
    _check_protocol(path, content.get("split_hash"), runs)
    record = runs[0].record if runs else None
    result = ComparisonResult(
        dataset=content.get("dataset") or "",
        split_hash=record.protocol.split_hash if record else content.get("split_hash"),
        rows=rows,
        protocol=record.protocol if record else None,
        domains=list(record.test.domains) if record else [],
        metrics=_shown_metrics(runs),
        keys=content.get("keys") or {},
    )
    if runs:
        result.notes.extend([*_notes_on_ranks(result), *_notes_on_history_lengths(result)])
    return result


def _read_row(entry: dict[str, Any], folder: Path, path: Path) -> RowResult:
    cells = [_read_cell(cell, folder, f"{path}: {entry['label']!r}") for cell in entry["cells"]]
    keys, tuning = entry.get("keys") or {}, entry.get("tuning")
    return RowResult(str(entry["label"]), entry["model"], keys, tuning, cells)


def _read_cell(entry: dict[str, Any], folder: Path, where: str) -> CellResult:
    status = entry["status"]
    if status not in _STATUSES:
        hint = nearest(str(status), _STATUSES)
        raise UserError(f"{where}: status {status!r}, expected one of {list(_STATUSES)}{hint}")
    run = None
    if status == DONE:
        given = Path(entry["run_dir"])
        beside = folder / given  # an absolute path stays as it is
        run = ComparedRun.read(Path(os.path.normpath(beside if beside.is_dir() else given)))
        if run.record.seed != entry["seed"]:
            raise UserError(f"{where}: seed {entry['seed']}, but {run.path} has another")
    return CellResult(entry["seed"], status, entry.get("reason"), run)


def _check_protocol(path: Path, split_hash: str | None, runs: list[ComparedRun]) -> None:
    """Refuse runs that differ in how they were evaluated."""
    check = ProtocolCheck()
    for run in runs:
        check.add(run.path, run.record)
    found = check.values.get("split_hash", split_hash)
    if split_hash and split_hash != found:
        raise UserError(f"{path}: split_hash {split_hash!r}, but {runs[0].path} has {found!r}")


def _shown_metrics(runs: list[ComparedRun]) -> list[str]:
    """Return the metrics that tables show, of those that the runs share; the first is the main one.

    The usual metrics at 10, or the first three of ranks when there are none; then each metric of
    lists at 10, or at the first cut-off that it has.
    """
    if not runs:
        return []
    names = [run.record.test.overall.metrics for run in runs]
    common = [name for name in names[0] if all(name in metrics for metrics in names)]
    if not common:
        raise UserError(f"metrics: {runs[0].path} and the other runs have none in common")
    of_ranks = [name for name in common if not is_list_metric(name)]
    shown = [name for name in _MAIN_METRICS if name in of_ranks] or of_ranks[:3]
    of_lists: dict[str, str] = {}
    for name in common:
        metric, _, k = name.partition("@")
        if is_list_metric(name) and (k == "10" or metric not in of_lists):
            of_lists[metric] = name
    lists = list(of_lists.values())
    if not shown:  # the main metric ranks the rows
        lists.sort(key=is_smaller_better)
        if is_smaller_better(lists[0]):
            raise UserError(
                f"metrics: {runs[0].path} and the other runs have only {', '.join(lists)} in "
                "common, of which smaller is better; expected a metric of which bigger is"
            )
    _check_tail(runs, lists)
    return shown + lists


def _check_tail(runs: list[ComparedRun], metrics: list[str]) -> None:
    """Refuse a common table of shares of different long tails."""
    if any(is_among(metric, ("TailPercentage",)) for metric in metrics):
        first = runs[0]
        for run in runs[1:]:
            found = [one.settings.get("tail_ratio") for one in (first, run)]
            refuse_difference("tail_ratio", first.path, found[0], run.path, found[1])


def _notes_on_ranks(result: ComparisonResult) -> list[str]:
    """Return notes on runs without ranks, and on groups of targets that the ranks do not give."""
    without, unlike = [], []
    for row, seed, run in result.runs():
        name, ranks = f"{row.label} (seed {seed})", run.ranks
        if ranks is None:
            without.append(name)
        elif any(
            in_group(ranks, grouping, group).sum() != scores.users
            for grouping, groups in run.record.test.groups.items()
            for group, scores in groups.items()
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


def _notes_on_history_lengths(result: ComparisonResult) -> list[str]:
    """Return a note when models read histories of different lengths: their rows then differ."""
    general = stock_models(("general_recommender",))  # these have the key, and read no history
    rows: dict[int, list[str]] = {}
    for row, _, run in result.runs():
        length = None if row.model in general else run.settings.get("MAX_ITEM_LIST_LENGTH")
        if length is not None and row.label not in rows.setdefault(length, []):
            rows[length].append(row.label)
    if len(rows) < 2:
        return []
    texts = "; ".join(f"{length} items: {', '.join(rows[length])}" for length in sorted(rows))
    return [f"Histories are cut at different lengths (MAX_ITEM_LIST_LENGTH): {texts}."]
