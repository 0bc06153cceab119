"""A cell's process as its parent sees it: request, answer, log."""

import re
from pathlib import Path

from recbole_edt.compare.cell_job import CellJob
from recbole_edt.compare.grid.state import CellOutcome
from recbole_edt.executors import (
    CRASH,
    DONE,
    FAILED,
    ChildCall,
    Executor,
    preload_code,
    read_answer,
    start_code,
)
from recbole_edt.files import digest

_CELL = "recbole_edt.compare.grid.cell"
ARGUMENTS = start_code(_CELL)
"""Of Python, for a cell; another program that reads and answers the same lines can replace it."""


class CellProcess:
    """The running process of a cell.

    Parameters
    ----------
    job : CellJob
        What it runs.
    executor : Executor
        Starts it.
    log : pathlib.Path
        File for its messages.
    shared_from : pathlib.Path, optional
        Folder of a finished run whose shared phase it reuses.
    arguments : tuple of str
        What follows the Python interpreter.
    """

    def __init__(
        self,
        job: CellJob,
        executor: Executor,
        log: Path,
        shared_from: Path | None = None,
        arguments: tuple[str, ...] = ARGUMENTS,
    ):
        self.job, self._log = job, log
        request = {
            "keys": dict(job.keys),
            "digest": digest(job.settings),
            "shared_from": None if shared_from is None else str(shared_from),
        }
        preload = preload_code(_CELL) if arguments == ARGUMENTS else None
        self.child = executor.start(ChildCall(arguments, request, log, preload))

    def outcome(self) -> CellOutcome | None:
        """Return how it ended, None while it runs."""
        result = self.child.result()
        if result is None:
            return None
        answer = read_answer(result, self._log)
        if answer["status"] == DONE:
            return CellOutcome(DONE, Path(answer["run_dir"]), seconds=result.seconds)
        reason, kind = answer["reason"], answer["kind"]
        started = kind == CRASH or self.job.run_dir.is_dir()
        return CellOutcome(FAILED, None, reason, kind, result.seconds, started)


def log_path(folder: Path, job: CellJob) -> Path:
    """Return the log file of a job: different labels never share one."""
    name = re.sub(r"[^\w.-]+", "-", job.name).strip("-")
    if re.search(r"[^\w., -]", job.row.label):  # A+ and A* would share one file
        name += f"-{digest(job.row.label)[:6]}"
    return folder / "logs" / f"{name}.log"
