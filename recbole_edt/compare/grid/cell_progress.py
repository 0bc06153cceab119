"""How far a running cell is, read from the ``curves.csv`` that it writes."""

import csv
import time

from recbole_edt.compare.cell_job import CellJob
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
        self._path = RunFolder(job.run_dir).curves_path
        self._started_at = time.monotonic()
        self._phase, self._epoch = "starting", 0
        self._validations = 0  # on file by now
        self._read()
        self._validations_before = self._validations  # of an earlier process
        self._first_update: tuple[float, int] | None = None  # time, validations
        self.resumed = self._validations > 0

    @property
    def elapsed(self) -> float:
        """Seconds since this process began."""
        return time.monotonic() - self._started_at

    def _read(self) -> None:
        try:
            with open(self._path, encoding="utf-8", newline="") as handle:
                rows = list(csv.DictReader(handle))
        except FileNotFoundError:
            return
        if rows:
            self._phase, self._epoch = rows[-1]["phase"], int(rows[-1]["epoch"])
            self._validations = len(rows)

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
        return per_epoch * max(0, self.job.epochs - self._validations)

    def __str__(self) -> str:
        epoch = f" epoch {self._epoch}" if self._validations else ""
        return f"{self.job.name}: {self._phase}{epoch}"
