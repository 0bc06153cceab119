"""Many processes: how many at a time, what failures become, and that none is left behind."""

import io
import sys
import threading
import time
from pathlib import Path

import pytest

from recbole_edt.compare.grid import processes as grid
from recbole_edt.compare.grid.progress import View
from recbole_edt.compare.plan import Job, Row
from recbole_edt.config.edt_config import EDTConfig

FAKE = Path(__file__).parent / "fake_cell.py"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Return a function that runs fake cells given as (row, seed, behaviour)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(grid, "COMMAND", [sys.executable, str(FAKE)])

    def run(cells, at_a_time=1, changes=None):
        jobs = [job(tmp_path, *cell) for cell in cells]
        stream = io.StringIO()
        view = View(len(jobs), at_a_time, stream=stream)
        note = (lambda *change: None) if changes is None else (lambda *c: changes.append(c[:2]))
        return grid.run_jobs(jobs, at_a_time, tmp_path / "folder", view, note), stream.getvalue()

    return run


def job(tmp_path, row, seed, behaviour):
    keys = {"seed": seed, "BEHAVIOUR": behaviour, "RUN_DIR": str(tmp_path / "run")}
    overrides = {"output_dir": str(tmp_path / "out"), "seed": seed}
    config = EDTConfig("Pop", "toy", overrides=overrides)
    return Job(Row(row, "Pop", {}), seed, f"{row}, seed {seed}", keys, config)


def test_a_crash_and_a_kill_are_told_and_the_others_go_on(work, tmp_path):
    changes = []
    cells = [("bad", 1, "crash"), ("worse", 1, "kill"), ("good", 1, "done")]
    outcomes, said = work(cells, changes=changes)
    crashed, killed, done = outcomes
    assert (crashed.kind, killed.kind, done.kind) == (grid.CRASH, grid.CRASH, None)
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
    monkeypatch.setattr(grid.os, "sched_getaffinity", lambda _: {*range(9)}, raising=False)
    work([("a", 1, "done"), ("a", 2, "done")], at_a_time=4)
    assert (tmp_path / "started-1-done").read_text() == "2"
    work([("a", 3, "done")], at_a_time=1)
    assert (tmp_path / "started-3-done").read_text() == ""  # as a bare run
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    work([("a", 4, "done")], at_a_time=4)
    assert (tmp_path / "started-4-done").read_text() == "7"


def test_as_many_at_a_time_as_asked_for_and_none_after_an_interruption(work, tmp_path):
    children = []
    original = grid.Child

    def remember(*args):
        children.append(original(*args))
        return children[-1]

    def interrupt():
        while len(list(tmp_path.glob("started-*"))) < 2:
            time.sleep(0.02)
        grid.signal.raise_signal(grid.signal.SIGINT)

    grid.Child, waiter = remember, threading.Thread(target=interrupt)
    waiter.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            work([("a", seed, "sleep") for seed in range(5)], at_a_time=2)
    finally:
        grid.Child = original
        waiter.join()
    assert len(children) == 2
    assert all(child.process.poll() is not None for child in children)


def test_eta_goes_by_finished_runs_of_the_row(tmp_path):
    view = View(4, 1, stream=io.StringIO())
    jobs = [job(tmp_path, "a", 1, ""), job(tmp_path, "b", 1, ""), job(tmp_path, "a", 2, ""),
            job(tmp_path, "b", 2, "")]  # fmt: skip
    view.add(jobs)
    assert view.eta() is None
    for done, seconds in zip(jobs[:2], (10.0, 30.0), strict=True):
        view.start(done)
        view.end(done, grid.Outcome(grid.DONE, tmp_path, seconds=seconds))
    assert view.eta() == pytest.approx(40.0)
    view.at_a_time = 2
    assert view.eta() == pytest.approx(20.0)
