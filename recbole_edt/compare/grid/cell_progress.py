"""How far a running cell is, read from the ``curves.csv`` that each of its fits writes."""

import csv
import time
from pathlib import Path

from recbole_edt.compare.cell_job import CellJob
from recbole_edt.data.rolling_split import has_all_folds
from recbole_edt.runs import RunFolder


class CellProgress:
    """Progress of one running cell.

    Attributes
    ----------
    job : CellJob
        What runs.
    resumed : bool
        Whether an earlier process had validated epochs already.
    """

    def __init__(self, job: CellJob):
        self.job = job
        self._folder = RunFolder(job.run_dir)
        settings = job.settings
        self._folds = settings["folds"] if has_all_folds(settings) else 0
        self._started_at = time.monotonic()
        self._phase, self._epoch = "starting", 0
        self._validations = 0  # epochs on file by now
        self._left = 0  # the most that may follow
        self._read()
        self._validations_before = self._validations  # of an earlier process
        self._first_update: tuple[float, int] | None = None  # time, validations
        self.resumed = self._validations > 0

    @property
    def elapsed(self) -> float:
        """Seconds since this process began."""
        return time.monotonic() - self._started_at

    def _read(self) -> None:
        has_final, folds = bool(self.job.settings["final_fit"]), self._begun()
        *before, (first, final) = [
            (_rows(folder.curves_path), _rows(folder.final_fit.curves_path) if has_final else [])
            for folder in folds
        ]
        here, most = len(first) + len(final), (1 + has_final) * self.job.epochs
        self._validations = sum(len(one) + len(other) for one, other in before) + here
        if first:
            row = [*first, *final][-1]
            fold = f"{folds[-1].path.name} " if self._folds else ""
            self._phase = f"{fold}{'final fit ' * bool(final)}{row['phase']}"
            self._epoch = int(row["epoch"])
        # the final fit has no more epochs than the one before
        left = (2 * len(first) if final else most) - here
        self._left = max(0, left) + max(0, self._folds - len(folds)) * most

    def _begun(self) -> list[RunFolder]:
        """Return the folders that are trained in, as far as begun: of the folds, or the run's."""
        if not self._folds:
            return [self._folder]
        folds = [self._folder.fold(number) for number in range(1, self._folds + 1)]
        return [folder for folder in folds if folder.path.is_dir()] or folds[:1]

    def update(self) -> None:
        """Read the file and measure the pace from the first validation of this process on."""
        self._read()
        if self._first_update is None and self._validations > self._validations_before:
            self._first_update = time.monotonic(), self._validations

    def remaining(self) -> float | None:
        """Return the seconds until its last epoch could end; it may stop before."""
        if self._first_update is None or self._validations == self._first_update[1]:
            return None
        since, first = self._first_update
        per_epoch = (time.monotonic() - since) / (self._validations - first)
        return per_epoch * self._left

    def __str__(self) -> str:
        epoch = f" epoch {self._epoch}" if self._validations else ""
        return f"{self.job.name}: {self._phase}{epoch}"


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            return list(csv.DictReader(handle))
    except FileNotFoundError:
        return []
