"""Running many runs, some at a time, each in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import recbole_edt
from recbole_edt.compare.grid.cell import CRASH, DONE, FAILED, GRACE, USER
from recbole_edt.compare.grid.progress import View
from recbole_edt.compare.plan import Job
from recbole_edt.files import digest
from recbole_edt.platforms import CREATION_FLAGS, interrupt, usable_cores
from recbole_edt.training.checkpoint import has_state

# Not -m, which would look for this package in the working directory first.
_START = (
    "import sys; sys.path = [p for p in sys.path if p]; "
    "from recbole_edt.compare.grid.cell import main"
)
COMMAND = [sys.executable, "-c", f"{_START}; main()"]
_POLL = 0.1  # seconds between two looks at the processes


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    status : str
        ``done`` or ``failed``.
    run_dir : pathlib.Path, optional
        Its folder, when it is done.
    reason, kind : str, optional
        Why it failed, in one line, and whether that is the user's business (``user``) or a
        crash (``crash``).
    seconds : float, optional
        Wall time of its process; None when it had been finished before.
    started : bool
        Whether training had begun.
    """

    status: str
    run_dir: Path | None = None
    reason: str | None = None
    kind: str | None = None
    seconds: float | None = None
    started: bool = True


class Child:
    """A running process and where its messages go."""

    def __init__(self, job: Job, log: Path, threads: int | None, shared_from: Path | None):
        self.job, self.log = job, log
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        package = str(Path(recbole_edt.__file__).parent.parent)
        path = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{package}{os.pathsep}{path}" if path else package
        if threads:
            environment.setdefault("OMP_NUM_THREADS", str(threads))
        self.begun = time.monotonic()
        with open(log, "wb") as messages:
            self.process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                env=environment,
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
        with suppress(BrokenPipeError):  # it died at once: its log says why
            self.input.write(json.dumps(request).encode() + b"\n")
            self.input.flush()

    def outcome(self) -> Outcome | None:
        """Return how it ended, None while it runs."""
        status = self.process.poll()
        if status is None:
            return None
        seconds = round(time.monotonic() - self.begun, 2)
        text = self.output.read()
        self.close()
        try:
            answer = json.loads(text)
        except ValueError:
            return Outcome(FAILED, reason=self._last_words(status), kind=CRASH, seconds=seconds)
        if answer["status"] == DONE:
            return Outcome(DONE, Path(answer["run_dir"]), seconds=seconds)
        reason = answer["reason"]
        if answer["kind"] == CRASH:
            reason = f"{reason} (see {self.log})"
        started = self.job.run_dir.is_dir()
        return Outcome(FAILED, None, reason, answer["kind"], seconds, started)

    def _last_words(self, status: int) -> str:
        if status < 0:
            name = signal.Signals(-status).name
            killed = ", as the system does when memory runs out" if name == "SIGKILL" else ""
            return f"killed by {name}{killed} (see {self.log})"
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        return f"ended with status {status}: {last[:500]} (see {self.log})"

    def close(self) -> None:
        """Close both pipes; a process that still runs takes that as the end of its parent."""
        for pipe in (self.input, self.output):
            with suppress(BrokenPipeError):
                pipe.close()


def thread_count(jobs: int) -> int | None:
    """Return the threads of each of `jobs` processes; None leaves one process to its default."""
    if jobs == 1:
        return None  # as a bare run
    return max(1, usable_cores() // jobs)


def run_jobs(
    jobs: Sequence[Job],
    at_a_time: int,
    folder: Path,
    view: View,
    on_change: Callable[[int, str, Outcome | None], None] = lambda number, status, outcome: None,
) -> list[Outcome]:
    """Run all jobs and return how each ended, in their order.

    A finished run is not run again and an unfinished one goes on. When a row is refused before
    its training begins, its other runs that wait are not tried: they have the same data. Runs
    that have their shared phase in common train it once: the others wait for it.

    Parameters
    ----------
    jobs : sequence of Job
        What to run.
    at_a_time : int
        Processes at a time.
    folder : pathlib.Path
        Messages of the processes are written to ``logs/`` in it.
    view : View
        Shows the progress.
    on_change : callable
        Called with a job's number, its new status and its outcome if it has one.
    """
    outcomes: dict[int, Outcome] = {}
    refused: dict[str, Outcome] = {}
    waiting: list[int] = []
    children: dict[int, Child] = {}
    shared: dict[str, Path] = {}  # finished runs by their shared phase
    threads = thread_count(at_a_time)

    def end(number: int, outcome: Outcome) -> None:
        outcomes[number] = outcome
        phase = jobs[number].shared_phase
        run_dir = outcome.run_dir
        if phase is not None and run_dir is not None and has_state(run_dir / "checkpoint"):
            shared.setdefault(phase, run_dir)
        view.end(jobs[number], outcome)
        on_change(number, outcome.status, outcome)

    view.add(jobs)
    for number, job in enumerate(jobs):
        finished = job.finished
        if finished is None:
            waiting.append(number)
        else:
            end(number, Outcome(DONE, finished))
    try:
        while waiting or children:
            while len(children) < at_a_time:
                ready = _next_job(jobs, waiting, children, shared)
                if ready is None:
                    break
                number = ready
                waiting.remove(number)
                job = jobs[number]
                finished = job.finished  # by now: another row may ask for the same run
                if finished is not None or job.row.label in refused:
                    outcome = Outcome(DONE, finished) if finished else refused[job.row.label]
                    end(number, outcome)
                    continue
                source = shared.get(job.shared_phase or "") if job.takes_shared else None
                children[number] = Child(job, _log_path(folder, job), threads, source)
                view.start(job)
                on_change(number, "running", None)
            time.sleep(_POLL)
            for number, child in list(children.items()):
                ended = child.outcome()
                if ended is None:
                    continue
                del children[number]
                if ended.kind == USER and not ended.started and not jobs[number].is_trial:
                    refused[jobs[number].row.label] = ended
                end(number, ended)
            view.tick()
    finally:
        stop(children)
    return [outcomes[number] for number in range(len(jobs))]


def _next_job(
    jobs: Sequence[Job],
    waiting: Sequence[int],
    running: Mapping[int, Child],
    shared: Mapping[str, Path],
) -> int | None:
    """Return the next job to start, None when all that wait need what is being trained.

    Of the runs with one shared phase, those that end with it come first: the others can take it.
    """
    trained = {jobs[number].shared_phase for number in running}
    for number in waiting:
        phase = jobs[number].shared_phase
        if phase is None or not jobs[number].takes_shared or phase in shared:
            return number
        if phase in trained:
            continue
        same = (other for other in waiting if jobs[other].shared_phase == phase)
        return next((other for other in same if not jobs[other].takes_shared), number)
    return None


def stop(children: Mapping[int, Child]) -> None:
    """Interrupt processes, let them clean up, and kill those that do not end."""
    for child in children.values():
        with suppress(ProcessLookupError, BrokenPipeError):
            interrupt(child.process)
    deadline = time.monotonic() + GRACE
    try:
        for child in children.values():
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
    finally:  # a second Ctrl-C comes here at once
        for child in children.values():
            if child.process.poll() is None:
                child.process.kill()
            child.process.wait()
            child.close()


def _log_path(folder: Path, job: Job) -> Path:
    name = re.sub(r"[^\w.-]+", "-", job.name).strip("-")
    if re.search(r"[^\w., -]", job.row.label):  # A+ and A* would share one file
        name += f"-{digest(job.row.label)[:6]}"
    return folder / "logs" / f"{name}.log"
