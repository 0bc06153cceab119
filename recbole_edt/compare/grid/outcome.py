"""How a cell ended, and the words for it in answers of processes and in ``compare.json``."""

from dataclasses import dataclass
from pathlib import Path

from recbole_edt.executors import CRASH, DONE, FAILED, USER

__all__ = ["CRASH", "DONE", "FAILED", "RUNNING", "USER", "WAITING", "CellOutcome"]

RUNNING, WAITING = "running", "waiting"


@dataclass(frozen=True)
class CellOutcome:
    """How the run of a cell or trial ended.

    Attributes
    ----------
    status : str
        ``done`` or ``failed``.
    run_dir : pathlib.Path, optional
        The run's folder, when it is done.
    reason, kind : str, optional
        Why it failed, in one line, and whether the user can change that (``user``) or the process
        crashed (``crash``).
    seconds : float, optional
        Wall time of its process; None for a run that had been finished before.
    started : bool
        Whether training had begun.
    """

    status: str
    run_dir: Path | None = None
    reason: str | None = None
    kind: str | None = None
    seconds: float | None = None
    started: bool = True
