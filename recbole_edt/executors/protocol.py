"""The protocol of child processes: what is started, how it is watched, what it leaves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class ChildCall:
    """A child process that is to be started.

    Attributes
    ----------
    arguments : tuple of str
        What follows the Python interpreter.
    request : mapping
        Written to its standard input as one line of JSON. The input stays open: its end means
        that the parent is gone.
    log : pathlib.Path
        File for its error stream, and for all that libraries print.
    preload : str, optional
        Python code with the imports that children of this kind have in common. With it the
        arguments are those of ``python -c``, and a child may be a fork of a process that has run
        it; one executor is asked for one kind.
    """

    arguments: tuple[str, ...]
    request: Mapping[str, Any]
    log: Path
    preload: str | None = None


@dataclass(frozen=True)
class ChildResult:
    """How a child process ended.

    Attributes
    ----------
    status : int, optional
        Exit status, negative the signal that ended it; None when its machine was lost.
    output : bytes
        Its standard output.
    seconds : float
        Wall time of the process.
    problem : str, optional
        Why there is no exit status, in one line.
    """

    status: int | None
    output: bytes = b""
    seconds: float = field(default=0.0, compare=False)
    problem: str | None = None


class Child(Protocol):
    """A child process that was started.

    Attributes
    ----------
    grace : float
        Seconds that it may take to end after `interrupt`.
    """

    grace: float

    def result(self) -> ChildResult | None:
        """Return how it ended, None while it runs."""

    def interrupt(self) -> None:
        """Ask it to clean up and end, as Ctrl-C does."""

    def wait(self, seconds: float) -> None:
        """Wait so long at most for its end."""

    def kill(self) -> None:
        """End it if it still runs, and release what it holds."""


class Executor(Protocol):
    """Starts child processes.

    Attributes
    ----------
    slots : int
        How many run at a time; whoever starts them keeps to it.
    """

    slots: int

    def start(self, call: ChildCall) -> Child:
        """Start a child process."""
