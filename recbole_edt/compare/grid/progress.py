"""Progress of many cells: one bar on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Sequence
from typing import IO

from tqdm import tqdm

from recbole_edt.compare.cell_job import CellJob
from recbole_edt.compare.grid.cell_progress import CellProgress
from recbole_edt.compare.grid.state import CellOutcome

_UPDATE_SECONDS = 1.0  # between two looks at the runs' curves
_LINE_SECONDS = 60.0  # between two plain lines
_BAR = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}{postfix}"


class GridProgress:
    """Progress over some cells.

    Parameters
    ----------
    total : int
        How many there will be, finished ones included.
    processes : int
        How many run at a time.
    what : str
        What they are called, in the plural.
    stream : file, optional
        Where to write, the error stream unless given.
    """

    def __init__(
        self, total: int, processes: int, what: str = "cells", stream: IO[str] | None = None
    ):
        self._total, self._processes = total, processes
        self._stream = stream or sys.stderr
        self._waiting: list[CellJob] = []
        self._running: dict[str, CellProgress] = {}
        self._seconds: dict[str, list[float]] = {}  # of finished runs by row
        self._done = 0
        self._reported: set[tuple[str, str]] = set()  # row and reason of failures
        self._updated_at = self._line_at = time.monotonic()
        self._bar = None
        if _is_terminal(self._stream):
            self._bar = tqdm(
                total=total, desc=what, file=self._stream, bar_format=_BAR, dynamic_ncols=True
            )
            self._bar.set_postfix_str("eta ?")

    def add(self, jobs: Sequence[CellJob]) -> None:
        """Expect these jobs."""
        self._waiting += jobs

    def start(self, job: CellJob) -> None:
        """Show that a job runs."""
        self._waiting.remove(job)
        cell = self._running[job.name] = CellProgress(job)
        if self._bar is None:
            resumed = ", goes on" if cell.resumed else ""
            self._write(f"{self._count} {job.name}: started{resumed}")
        self._refresh()

    def end(self, job: CellJob, outcome: CellOutcome) -> None:
        """Show how a job ended; the same reason of the same row is reported once."""
        if self._running.pop(job.name, None) is None:
            self._waiting.remove(job)
        elif outcome.seconds is not None and outcome.run_dir is not None:
            self._seconds.setdefault(job.row.label, []).append(outcome.seconds)
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        if outcome.reason is not None:
            if (job.row.label, outcome.reason) not in self._reported:
                self._write(f"{job.name}: failed: {outcome.reason}")
            self._reported.add((job.row.label, outcome.reason))
        elif self._bar is None:
            how = "was done" if outcome.seconds is None else f"done in {outcome.seconds:.0f} s"
            self._write(f"{self._count} {job.name}: {how}, {self._eta_text()}")
        self._refresh()

    def tick(self) -> None:
        """Read how far the running cells are, about once a second, and show it."""
        now = time.monotonic()
        if now - self._updated_at < _UPDATE_SECONDS:
            return
        self._updated_at = now
        for cell in self._running.values():
            cell.update()
        self._refresh()
        if self._bar is None and now - self._line_at >= _LINE_SECONDS:
            self._write(f"{self._count} {self._running_text()}, {self._eta_text()}")

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def eta(self) -> float | None:
        """Return the seconds that are left, None while nothing is known.

        A run is expected to take as long as finished ones of its row, else as its remaining
        epochs at their present speed, else as finished ones of any row.
        """
        finished = [seconds for row in self._seconds.values() for seconds in row]
        running: list[float | None] = []
        for cell in self._running.values():
            usual, remaining = self._seconds.get(cell.job.row.label, []), cell.remaining()
            left = None if cell.resumed or not usual else _mean(usual) - cell.elapsed
            if left is not None and left > 0:
                running.append(left)
            elif remaining is not None:
                running.append(remaining)
                finished.append(cell.elapsed + remaining)
            elif finished and not cell.resumed:
                running.append(max(0.0, _mean(finished) - cell.elapsed))
            else:
                running.append(None)
        unnamed = self._total - self._done - len(self._running) - len(self._waiting)
        labels = [*(job.row.label for job in self._waiting), *([""] * unnamed)]
        usual_times = (self._seconds.get(label, finished) for label in labels)
        waiting = [_mean(usual) if usual else None for usual in usual_times]
        known = [left for left in (*running, *waiting) if left is not None]
        if not known and (running or waiting):
            return None
        longest = [left for left in running if left is not None]
        return max([sum(known) / self._processes, *longest])

    @property
    def _count(self) -> str:
        return f"[{self._done}/{self._total}]"

    def _eta_text(self) -> str:
        left = self.eta()
        return "eta ?" if left is None else f"eta {tqdm.format_interval(int(left))}"

    def _running_text(self) -> str:
        return ", ".join(map(str, self._running.values()))

    def _write(self, line: str) -> None:
        """Write a line above the bar."""
        self._line_at = time.monotonic()
        tqdm.write(line, file=self._stream)
        self._stream.flush()

    def _refresh(self) -> None:
        if self._bar is not None:
            parts = [self._eta_text(), self._running_text()]
            self._bar.set_postfix_str(" | ".join(part for part in parts if part))


def _mean(seconds: list[float]) -> float:
    return sum(seconds) / len(seconds)


def _is_terminal(stream: IO[str]) -> bool:
    """Return whether a stream is a terminal that knows its width."""
    try:
        return stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        return False
