"""A cell's process as its parent sees it: start, answer, log, stop."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO

import recbole_edt
from recbole_edt.compare.cell_job import CellJob
from recbole_edt.compare.grid.cell import GRACE
from recbole_edt.compare.grid.outcome import CRASH, DONE, FAILED, CellOutcome
from recbole_edt.files import digest
from recbole_edt.platforms import CREATION_FLAGS, interrupt

# Not -m, which would look for this package in the working directory first.
_START = (
    "import sys; sys.path = [p for p in sys.path if p]; "
    "from recbole_edt.compare.grid.cell import main"
)
COMMAND = (sys.executable, "-c", f"{_START}; main()")
"""Starts a cell; another program that reads and answers the same lines can replace it."""


class CellProcess:
    """A running process.

    Parameters
    ----------
    job : CellJob
        What it runs.
    log : pathlib.Path
        File for its messages.
    threads : int, optional
        ``OMP_NUM_THREADS`` of the process, unless the variable is set.
    shared_from : pathlib.Path, optional
        Folder of a finished run whose shared phase it reuses.
    command : sequence of str
        Program and arguments.
    """

    def __init__(
        self,
        job: CellJob,
        log: Path,
        threads: int | None = None,
        shared_from: Path | None = None,
        command: tuple[str, ...] = COMMAND,
    ):
        self.job, self.log = job, log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._started_at = time.monotonic()
        with open(log, "wb") as messages:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                env=_environment(threads),
                start_new_session=True,  # Ctrl-C reaches the parent only, which stops the others
                creationflags=CREATION_FLAGS,
            )
        self.input: IO[bytes] = self.process.stdin  # type: ignore[assignment]
        self.output: IO[bytes] = self.process.stdout  # type: ignore[assignment]
        request = {
            "keys": dict(job.keys),
            "digest": digest(job.settings),
            "shared_from": None if shared_from is None else str(shared_from),
        }
        with suppress(BrokenPipeError):  # it died at once: its log has the reason
            self.input.write(json.dumps(request).encode() + b"\n")
            self.input.flush()

    def outcome(self) -> CellOutcome | None:
        """Return how it ended, None while it runs."""
        status = self.process.poll()
        if status is None:
            return None
        seconds = round(time.monotonic() - self._started_at, 2)
        text = self.output.read()
        self.close()
        try:
            answer = json.loads(text)
        except ValueError:
            reason = f"{self._last_message(status)} (see {self.log})"
            return CellOutcome(FAILED, None, reason, CRASH, seconds)
        if answer["status"] == DONE:
            return CellOutcome(DONE, Path(answer["run_dir"]), seconds=seconds)
        reason, kind = answer["reason"], answer["kind"]
        if kind == CRASH:
            reason = f"{reason} (see {self.log})"
        return CellOutcome(FAILED, None, reason, kind, seconds, self.job.run_dir.is_dir())

    def _last_message(self, status: int) -> str:
        if status < 0:
            name = signal.Signals(-status).name
            killed = ", as the system does when memory runs out" if name == "SIGKILL" else ""
            return f"killed by {name}{killed}"
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        return f"ended with status {status}: {last[:500]}"

    def close(self) -> None:
        """Close both pipes; a process that still runs takes that as the end of its parent."""
        for pipe in (self.input, self.output):
            with suppress(BrokenPipeError):
                pipe.close()


def _environment(threads: int | None) -> dict[str, str]:
    environment = dict(os.environ)
    package = str(Path(recbole_edt.__file__).parent.parent)
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{package}{os.pathsep}{path}" if path else package
    if threads:
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    return environment


def stop(processes: Collection[CellProcess]) -> None:
    """Interrupt processes, let them clean up, and kill those that do not end."""
    for cell in processes:
        with suppress(ProcessLookupError, BrokenPipeError):
            interrupt(cell.process)
    deadline = time.monotonic() + GRACE
    try:
        for cell in processes:
            with suppress(subprocess.TimeoutExpired):
                cell.process.wait(max(0.0, deadline - time.monotonic()))
    finally:  # a second Ctrl-C comes here at once
        for cell in processes:
            if cell.process.poll() is None:
                cell.process.kill()
            cell.process.wait()
            cell.close()


def log_path(folder: Path, job: CellJob) -> Path:
    """Return the log file of a job: different labels never share one."""
    name = re.sub(r"[^\w.-]+", "-", job.name).strip("-")
    if re.search(r"[^\w., -]", job.row.label):  # A+ and A* would share one file
        name += f"-{digest(job.row.label)[:6]}"
    return folder / "logs" / f"{name}.log"
