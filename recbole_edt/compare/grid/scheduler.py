"""Running many cells, some at a time, each in a process of its own."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from recbole_edt.compare.cell_job import CellJob
from recbole_edt.compare.grid.child_process import ARGUMENTS, CellProcess, log_path
from recbole_edt.compare.grid.progress import GridProgress
from recbole_edt.compare.grid.state import RUNNING, CellOutcome
from recbole_edt.executors import DONE, USER, Executor, stop
from recbole_edt.runs import RunFolder
from recbole_edt.training.checkpoint import has_state

_POLL = 0.1  # seconds between two looks at the processes

OnChange = Callable[[int, str, CellOutcome | None], None]
"""Called with a job's index, its new status, and its outcome once it has one."""


class GridScheduler:
    """Runs cells in processes of this machine or of a cluster.

    A finished run is not run again and an unfinished one is resumed. When a row is refused before
    its training begins, its other runs that wait are not tried: they have the same data. Runs
    with the same shared phase train it once: the others wait for it.

    Parameters
    ----------
    jobs : sequence of CellJob
        The cells.
    executor : Executor
        Starts their processes.
    folder : pathlib.Path
        Messages of the processes are written to ``logs/`` in it.
    progress : GridProgress
        Shows the progress.
    on_change : callable, optional
        See `OnChange`.
    arguments : tuple of str
        Of Python, for the process of a cell.
    """

    def __init__(
        self,
        jobs: Sequence[CellJob],
        executor: Executor,
        folder: Path,
        progress: GridProgress,
        on_change: OnChange | None = None,
        arguments: tuple[str, ...] = ARGUMENTS,
    ):
        self._jobs, self._executor, self._folder = jobs, executor, folder
        self._progress, self._arguments = progress, arguments
        self._on_change: OnChange = on_change or (lambda *change: None)
        self._waiting: list[int] = []
        self._running: dict[int, CellProcess] = {}
        self._outcomes: dict[int, CellOutcome] = {}
        self._refused: dict[str, CellOutcome] = {}  # by row
        self._shared: dict[str, Path] = {}  # finished runs by their shared phase

    def run(self) -> list[CellOutcome]:
        """Run all jobs and return how each ended, in their order."""
        self._progress.add(self._jobs)
        for index, job in enumerate(self._jobs):
            finished = job.finished
            if finished is None:
                self._waiting.append(index)
            else:
                self._end(index, CellOutcome(DONE, finished))
        try:
            while self._waiting or self._running:
                self._start_ready()
                time.sleep(_POLL)
                self._collect_ended()
                self._progress.tick()
        finally:
            stop([cell.child for cell in self._running.values()])
        return [self._outcomes[index] for index in range(len(self._jobs))]

    def _start_ready(self) -> None:
        while len(self._running) < self._executor.slots:
            index = self._next()
            if index is None:
                return
            self._waiting.remove(index)
            job = self._jobs[index]
            finished = job.finished  # by now: another row may ask for the same run
            if finished is not None:
                self._end(index, CellOutcome(DONE, finished))
            elif job.row.label in self._refused:
                self._end(index, self._refused[job.row.label])
            else:
                source = self._shared.get(job.shared_phase or "") if job.can_reuse_shared else None
                log = log_path(self._folder, job)
                self._running[index] = CellProcess(
                    job, self._executor, log, source, self._arguments
                )
                self._progress.start(job)
                self._on_change(index, RUNNING, None)

    def _next(self) -> int | None:
        """Return the job to start next, None when all that wait need a phase in training.

        Of the runs with one shared phase, those that end with it come first: the others can then
        reuse it.
        """
        in_training = {self._jobs[index].shared_phase for index in self._running}
        for index in self._waiting:
            phase = self._jobs[index].shared_phase
            if phase is None or not self._jobs[index].can_reuse_shared or phase in self._shared:
                return index
            if phase in in_training:
                continue
            same = (k for k in self._waiting if self._jobs[k].shared_phase == phase)
            return next((k for k in same if not self._jobs[k].can_reuse_shared), index)
        return None

    def _collect_ended(self) -> None:
        for index, cell in list(self._running.items()):
            outcome = cell.outcome()
            if outcome is None:
                continue
            del self._running[index]
            if outcome.kind == USER and not outcome.started and not cell.job.is_trial:
                self._refused[cell.job.row.label] = outcome
            self._end(index, outcome)

    def _end(self, index: int, outcome: CellOutcome) -> None:
        job, run_dir = self._jobs[index], outcome.run_dir
        self._outcomes[index] = outcome
        has_weights = run_dir is not None and has_state(
            RunFolder(run_dir).loadable().checkpoint_dir
        )
        if job.shared_phase and run_dir is not None and has_weights:
            self._shared.setdefault(job.shared_phase, run_dir)
        self._progress.end(job, outcome)
        self._on_change(index, outcome.status, outcome)
