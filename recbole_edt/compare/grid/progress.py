"""What a user sees of many runs: one bar on a terminal, plain lines elsewhere."""

import csv
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tqdm import tqdm

from recbole_edt.compare.plan import Job

if TYPE_CHECKING:
    from recbole_edt.compare.grid.processes import Outcome

_LOOK = 1.0  # seconds between two looks at the runs' curves
_LINE = 60.0  # seconds between two plain lines


@dataclass
class _Running:
    job: Job
    begun: float = field(default_factory=time.monotonic)
    path: Path | None = None
    phase: str = "starting"
    epoch: int = 0
    first: int = 0  # validations on file when it began, of an earlier process
    seen: int = 0  # and now
    pace: tuple[float, int] | None = None  # when the first new one was seen, and which

    def look(self) -> None:
        """Read how far the run is from its ``curves.csv``."""
        self.path = self.path or self.job.run_dir / "curves.csv"
        try:
            with open(self.path, encoding="utf-8", newline="") as handle:
                rows = list(csv.DictReader(handle))
        except FileNotFoundError:
            return
        if rows:
            self.phase, self.epoch, self.seen = rows[-1]["phase"], int(rows[-1]["epoch"]), len(rows)
            if self.pace is None and self.seen > self.first:
                self.pace = time.monotonic(), self.seen

    def remaining(self) -> float | None:
        """Return the seconds until its last epoch could end; it may stop before."""
        if self.pace is None or self.seen == self.pace[1]:
            return None
        since, first = self.pace
        each = (time.monotonic() - since) / (self.seen - first)
        return each * max(0, self.job.epochs - self.seen)

    def __str__(self) -> str:
        return f"{self.job.name}: {self.phase}" + (f" epoch {self.epoch}" if self.seen else "")


class View:
    """Progress over some jobs.

    Parameters
    ----------
    total : int
        How many there will be, done ones included.
    at_a_time : int
        How many run at a time.
    what : str
        What they are called, in the plural.
    stream : file, optional
        Where to write, the error stream unless given.
    """

    def __init__(
        self, total: int, at_a_time: int, what: str = "cells", stream: IO[str] | None = None
    ):
        self.total, self.at_a_time = total, at_a_time
        self.waiting: list[Job] = []
        self.stream = stream or sys.stderr
        self.running: dict[str, _Running] = {}
        self.spent: dict[str, list[float]] = {}  # seconds of finished runs by row
        self.done = 0
        self.reasons: set[tuple[str, str]] = set()
        self.looked = self.written = time.monotonic()
        self.bar = None
        if _columns(self.stream):
            shape = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}{postfix}"
            self.bar = tqdm(
                total=self.total, desc=what, file=self.stream, bar_format=shape, dynamic_ncols=True
            )
            self.bar.set_postfix_str("eta ?")

    def add(self, jobs: Sequence[Job]) -> None:
        """Expect these jobs."""
        self.waiting += jobs

    def start(self, job: Job) -> None:
        """Say that a job runs."""
        self.waiting.remove(job)
        running = self.running[job.name] = _Running(job)
        running.look()
        running.first = running.seen
        if self.bar is None:
            again = ", goes on" if running.seen else ""
            self.say(f"[{self.done}/{self.total}] {job.name}: started{again}")
        self._refresh()

    def end(self, job: Job, outcome: "Outcome") -> None:
        """Say how a job ended; the same reason of the same row is told once."""
        if self.running.pop(job.name, None) is None:
            self.waiting.remove(job)
        elif outcome.seconds is not None and outcome.run_dir is not None:
            self.spent.setdefault(job.row.label, []).append(outcome.seconds)
        self.done += 1
        if self.bar is not None:
            self.bar.update()
        if outcome.reason is not None:
            known = (job.row.label, outcome.reason)
            if known not in self.reasons:
                self.say(f"{job.name}: failed: {outcome.reason}")
            self.reasons.add(known)
        elif self.bar is None:
            how = "was done" if outcome.seconds is None else f"done in {outcome.seconds:.0f} s"
            self.say(f"[{self.done}/{self.total}] {job.name}: {how}, {self._eta_text()}")
        self._refresh()

    def tick(self) -> None:
        """Look at what runs, once in a while."""
        now = time.monotonic()
        if now - self.looked < _LOOK:
            return
        self.looked = now
        for running in self.running.values():
            running.look()
        self._refresh()
        if self.bar is None and now - self.written >= _LINE:
            self.say(f"[{self.done}/{self.total}] {self._running_text()}, {self._eta_text()}")

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        self.written = time.monotonic()
        tqdm.write(line, file=self.stream)
        self.stream.flush()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()

    def eta(self) -> float | None:
        """Return the seconds that are left, None while nothing is known.

        A run is expected to take as long as finished ones of its row, else as its remaining
        epochs at their present speed, else as finished ones of any row.
        """
        everything = [seconds for row in self.spent.values() for seconds in row]
        left, unknown = [], 0
        for running in self.running.values():
            elapsed = time.monotonic() - running.begun
            usual = self.spent.get(running.job.row.label, [])
            remaining = running.remaining()
            if usual and not running.first and elapsed < sum(usual) / len(usual):
                left.append(sum(usual) / len(usual) - elapsed)
            elif remaining is not None:
                left.append(remaining)
                everything.append(elapsed + remaining)
            elif everything and not running.first:
                left.append(max(0.0, sum(everything) / len(everything) - elapsed))
            else:
                unknown += 1
        to_come = self.total - self.done - len(self.running) - len(self.waiting)
        for label in [*(job.row.label for job in self.waiting), *([""] * to_come)]:
            usual = self.spent.get(label, everything)
            if usual:
                left.append(sum(usual) / len(usual))
            else:
                unknown += 1
        if unknown and not left:
            return None
        return max([sum(left) / self.at_a_time, *left[: len(self.running)]], default=0.0)

    def _eta_text(self) -> str:
        left = self.eta()
        return "eta ?" if left is None else f"eta {tqdm.format_interval(int(left))}"

    def _running_text(self) -> str:
        return ", ".join(map(str, self.running.values()))

    def _refresh(self) -> None:
        if self.bar is not None:
            parts = [self._eta_text(), self._running_text()]
            self.bar.set_postfix_str(" | ".join(part for part in parts if part))


def _columns(stream: IO[str]) -> int:
    """Return the width of a terminal, 0 where there is none or it does not know."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):
        return 0
