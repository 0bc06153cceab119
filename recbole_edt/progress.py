"""Progress of long work: a bar on a terminal, a plain line a minute elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from typing import Any, Protocol

from tqdm import tqdm

_LINE = 60.0  # seconds between two plain lines


class Progress(Protocol):
    """What is told of work that is done."""

    def update(self, count: int = 1) -> Any:
        """Tell that so much more is done."""


class Lines(AbstractContextManager["Lines"]):
    """Writes how far some work is to the error stream, a line a minute."""

    def __init__(self, total: int, what: str, unit: str, done: int = 0):
        self.total, self.what, self.unit, self.done = total, what, unit, done
        self.told = time.monotonic()

    def update(self, count: int = 1) -> None:
        """Tell that so much more is done."""
        self.done += count
        if time.monotonic() - self.told >= _LINE:
            self.told = time.monotonic()
            text = f"{self.what}: {self.done:,} of {self.total:,} {self.unit}s\n"
            sys.stderr.write(text)
            sys.stderr.flush()

    def __exit__(self, *_: Any) -> None:
        """Write nothing more."""


def progress_of(
    total: int, what: str, unit: str, shown: bool, done: int = 0
) -> AbstractContextManager[Progress]:
    """Return what shows the progress of some work.

    Parameters
    ----------
    total, done : int
        How many units there are, and how many an earlier process has done.
    what, unit : str
        Name of the work, and of one unit.
    shown : bool
        The key ``show_progress``; nothing is shown without it.
    """
    if shown and not sys.stderr.isatty():
        return Lines(total, what, unit, done)
    return tqdm(total=total, initial=done, desc=what, unit=unit, disable=not shown)
