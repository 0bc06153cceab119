"""Many processes: how many at a time, what failures become, and that none is left behind."""

import io
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from recbole_edt.compare.cell_job import CellJob
from recbole_edt.compare.grid.progress import GridProgress
from recbole_edt.compare.grid.scheduler import GridScheduler
from recbole_edt.compare.grid.state import CellOutcome
from recbole_edt.compare.plan import ComparisonRow
from recbole_edt.config import EDTConfig
from recbole_edt.executors import CRASH, DONE, LocalExecutor

FAKE = (str(Path(__file__).parent / "fake_cell.py"),)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Return a function that runs fake cells given as (row, seed, behaviour)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def run(cells, processes=1, changes=None):
        jobs = [job(tmp_path, *cell) for cell in cells]
        stream = io.StringIO()
        progress = GridProgress(len(jobs), processes, stream=stream)
        note = None if changes is None else (lambda *change: changes.append(change[:2]))
        folder = tmp_path / "folder"
        executor = LocalExecutor(processes)
        scheduler = GridScheduler(jobs, executor, folder, progress, note, arguments=FAKE)
        return scheduler.run(), stream.getvalue()

    return run


def job(tmp_path, row, seed, behaviour):
    keys = {"seed": seed, "BEHAVIOUR": behaviour, "RUN_DIR": str(tmp_path / "run")}
    overrides = {"output_dir": str(tmp_path / "out"), "seed": seed}
    config = EDTConfig("Pop", "toy", overrides=overrides)
    return CellJob(ComparisonRow(row, "Pop", {}), seed, f"{row}, seed {seed}", keys, config)


@pytest.mark.kills
def test_a_crash_and_a_kill_are_reported_and_the_others_go_on(work, tmp_path):
    changes = []
    cells = [("bad", 1, "crash"), ("worse", 1, "kill"), ("good", 1, "done")]
    outcomes, said = work(cells, changes=changes)
    crashed, killed, done = outcomes
    assert (crashed.kind, killed.kind, done.kind) == (CRASH, CRASH, None)
    assert "MemoryError: no room" in crashed.reason
    assert "SIGKILL" in killed.reason
    assert "bad-seed-1.log" in crashed.reason
    assert "Traceback" in (tmp_path / "folder" / "logs" / "bad-seed-1.log").read_text()
    assert all(reason.count("\n") == 0 for reason in (crashed.reason, killed.reason))
    assert done.run_dir == tmp_path / "run"
    assert changes == [(n, s) for n, end in enumerate(("failed", "failed", "done"))
                       for s in ("running", end)]  # fmt: skip
    assert said.count("failed: ") == 2
    assert "[3/3] good, seed 1: done" in said


def test_a_row_that_is_refused_before_training_is_not_tried_again(work, tmp_path):
    cells = [("bad", 1, "refuse"), ("good", 1, "done"), ("bad", 2, "refuse"), ("bad", 3, "refuse")]
    outcomes, said = work(cells)
    assert [o.status for o in outcomes] == ["failed", "done", "failed", "failed"]
    assert {o.reason for o in outcomes} == {None, "cannot take the data"}
    assert said.count("cannot take the data") == 1
    assert {p.name for p in tmp_path.glob("started-*")} == {"started-1-refuse", "started-1-done"}


def test_threads_are_shared_out(work, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {*range(9)}, raising=False)
    work([("a", 1, "done"), ("a", 2, "done")], processes=4)
    assert (tmp_path / "started-1-done").read_text() == "2"
    work([("a", 3, "done")], processes=1)
    assert (tmp_path / "started-3-done").read_text() == ""  # as a bare run
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    work([("a", 4, "done")], processes=4)
    assert (tmp_path / "started-4-done").read_text() == "7"


def test_as_many_at_a_time_as_asked_for_and_none_after_an_interruption(work, tmp_path):
    def interrupt():
        while len(list(tmp_path.glob("started-*"))) < 2:
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)

    waiter = threading.Thread(target=interrupt)
    waiter.start()
    with pytest.raises(KeyboardInterrupt):
        work([("a", seed, "sleep") for seed in range(5)], processes=2)
    waiter.join()
    started = [path.name for path in tmp_path.glob("started-*")]
    assert len(started) == 2
    for path in tmp_path.glob("pid-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)


@pytest.mark.parametrize(("processes", "seconds"), [(1, 40.0), (2, 20.0)])
def test_eta_goes_by_finished_runs_of_the_row(tmp_path, processes, seconds):
    progress = GridProgress(4, processes, stream=io.StringIO())
    jobs = [job(tmp_path, row, seed, "") for seed in (1, 2) for row in "ab"]
    progress.add(jobs)
    assert progress.eta() is None
    for done, took in zip(jobs[:2], (10.0, 30.0), strict=True):
        progress.start(done)
        progress.end(done, CellOutcome(DONE, tmp_path, seconds=took))
    assert progress.eta() == pytest.approx(seconds)
