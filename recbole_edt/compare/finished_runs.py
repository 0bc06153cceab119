"""A comparison of finished runs: its rows are derived from their configurations."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_edt.compare.plan import ComparisonPlan, ComparisonRow
from recbole_edt.compare.protocol import refuse_difference
from recbole_edt.config import completed
from recbole_edt.errors import UserError
from recbole_edt.files import digest
from recbole_edt.runs import FOLDER_KEYS, RunFolder

# A reused shared phase is the one of the row's own settings, of the run's seed.
_NOT_OF_A_ROW = (*FOLDER_KEYS, "seed", "dataset", "model", "shared_run")
_MOST_KEYS = 3  # of a label; rows that differ in more keys are named by a hash


@dataclass
class _RunGroup:
    """Runs of one model with equal settings."""

    model: str
    settings: dict[str, Any]
    hash: str
    label: str | None = None
    folders: dict[int, Path] = field(default_factory=dict)  # by seed

    def add(self, label: str | None, seed: int, folder: Path) -> None:
        earlier = self.folders.setdefault(seed, folder)
        if earlier is not folder:
            raise UserError(f"runs: {earlier} and {folder} have the same configuration and seed")
        if label is not None:
            self.label = self.label or label
            if self.label != label:
                raise UserError(f"runs: {folder}: label {label!r}, but {self.label!r} for its row")

    def to_row(self, same_model: list["_RunGroup"]) -> ComparisonRow:
        """Return the row, with the keys in which it differs from the others of its model."""
        keys = {
            key: value
            for key, value in self.settings.items()
            if any(group.settings.get(key) != value for group in same_model)
        }
        if self.label is not None:
            label = self.label
        elif len(same_model) == 1:
            label = self.model
        elif 0 < len(keys) <= _MOST_KEYS:
            label = f"{self.model} {' '.join(f'{key}={value}' for key, value in keys.items())}"
        else:
            label = f"{self.model} {self.hash[:8]}"
        return ComparisonRow(label, self.model, keys)


def plan_of_runs(text: str) -> tuple[ComparisonPlan, dict[tuple[str, int], Path]]:
    """Group finished runs into rows: runs that differ in nothing but the seed are one row.

    Parameters
    ----------
    text : str
        Run folders, separated by commas; ``LABEL=DIR`` names the row of a run.

    Returns
    -------
    tuple
        The comparison, and the folder of each run by label and seed.

    Raises
    ------
    UserError
        A folder without a finished run, one that is given twice, runs of several datasets, two
        runs of one configuration and seed, one label for two rows or two labels for one.
    """
    groups: dict[str, _RunGroup] = {}
    datasets: dict[Path, str] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        label, folder = _label_and_folder(part)
        run = RunFolder(folder)
        if not run.is_finished:
            what = "is not finished" if folder.is_dir() else "does not exist"
            raise UserError(f"runs: {folder} {what}; expected the folder of a finished run")
        record = run.read_record()
        first, dataset = next(iter(datasets.items()), (folder, record.dataset))
        refuse_difference("dataset", first, dataset, folder, record.dataset)
        datasets[folder] = dataset
        complete = completed(run.read_settings())
        settings = {k: v for k, v in complete.items() if k not in _NOT_OF_A_ROW}
        mark = digest(settings)
        group = groups.setdefault(f"{record.model} {mark}", _RunGroup(record.model, settings, mark))
        group.add(label, record.seed, folder)
    if not groups:
        raise UserError("runs: found none, expected run folders as in --runs=DIR,DIR")
    return _plan(next(iter(datasets.values())), list(groups.values()))


def _plan(
    dataset: str, groups: list[_RunGroup]
) -> tuple[ComparisonPlan, dict[tuple[str, int], Path]]:
    rows = [group.to_row([g for g in groups if g.model == group.model]) for group in groups]
    labels = [row.label for row in rows]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"runs: {label!r} would be the label of two rows; expected one each")
    runs = {
        (label, seed): folder
        for label, group in zip(labels, groups, strict=True)
        for seed, folder in group.folders.items()
    }
    return ComparisonPlan(dataset, rows, sorted({seed for _, seed in runs}), {}), runs


def _label_and_folder(part: str) -> tuple[str | None, Path]:
    label, equals, folder = part.partition("=")
    if not equals or "/" in label or Path(part).exists():
        return None, Path(part)
    if not label.strip():
        raise UserError(f"runs: {part!r}: found no label before '='")
    return label.strip(), Path(folder.strip())
