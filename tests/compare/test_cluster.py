"""``--cluster=ray``: the same folders, numbers and resume as processes of this machine."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from local_ray import local_ray

from recbole_edt.errors import UserError
from recbole_edt.executors import (
    ChildCall,
    ChildResult,
    ClusterSettings,
    open_executor,
    run_children,
)
from recbole_edt.executors.same_code import expectation, refuse_differences
from recbole_edt.files import read_json
from recbole_edt.recbole_bridge.config import gpus_among

SMALL = "hidden_size: 8, inner_size: 8"
FAKE = str(Path(__file__).parent / "fake_cell.py")


@pytest.fixture(scope="module")
def ray_address():
    with local_ray() as address:
        yield address


@pytest.fixture
def command(run_cli, tmp_path, monkeypatch):
    """Return a function that calls a command on toy, its output in a folder of that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def call(name, output, *argv):
        return run_cli(name, "--dataset=toy", f"--output_dir={output}", *argv)

    return call


def results_of(output: Path) -> dict:
    """Return what runs hold that does not depend on the time they took, by model and run id."""
    found = {}
    for path in output.glob("toy/*/seed*/metrics.json"):
        metrics = read_json(path)
        ranks = (path.parent / "test_ranks.csv").read_bytes()
        found[path.parts[-3:-1]] = metrics["valid"], metrics["test"], ranks
    return found


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--cluster=slurm"], "--cluster: found 'slurm', expected ray or ray:HOST:PORT"),
        (["--cluster=rey"], "(did you mean 'ray'?)"),
        (["--cluster=ray:here"], "found 'ray:here'"),
        (["--cluster=ray:http://here:1"], "found 'ray:http://here:1'"),
        (["--cpus_per_task=2"], "--cpus_per_task: of use with --cluster only"),
        (["--cluster=ray", "--cpus_per_task=0"], "--cpus_per_task: found '0'"),
        (["--cluster=ray", "--gpus_per_task=1.5"], "--gpus_per_task: found '1.5'"),
    ],
)
def test_mistakes_are_one_line(make_dataset, command, tmp_path, flags, said):
    make_dataset()
    outcome = command("compare", "output", "--models=Pop", "--seeds=1", *flags)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "output").exists()


def test_a_ray_that_is_not_there_is_one_line_soon(make_dataset, command, tmp_path):
    pytest.importorskip("ray", reason="Ray, the extra 'cluster', is not installed")
    make_dataset()
    with socket.socket() as unused, socket.create_server(("127.0.0.1", 0)) as silent:
        unused.bind(("127.0.0.1", 0))
        for server, reason in ((unused, "no Ray answers at 127.0.0.1:"), (silent, "timed out")):
            address = f"127.0.0.1:{server.getsockname()[1]}"
            begun = time.monotonic()
            flags = "--models=Pop", "--seeds=1", f"--cluster=ray:{address}"
            outcome = command("compare", "output", *flags)
            assert outcome.status == 2
            assert reason in outcome.err
            assert outcome.err.count("\n") == 1
            assert time.monotonic() - begun < 60
    assert not (tmp_path / "output").exists()


def test_without_ray_the_extra_is_named(make_dataset, command, monkeypatch):
    make_dataset()
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = command("compare", "output", "--models=Pop", "--seeds=1", "--cluster=ray")
    assert outcome.status == 2
    assert outcome.err.endswith("pip install 'recbole-edt[cluster]'\n")


def test_other_code_or_data_is_refused(tmp_path):
    path = tmp_path / "toy.inter"
    path.write_text("a")
    expected = expectation([path, tmp_path / "missing"])
    refuse_differences(expected)
    for changed, said in (
        ({"version": "0.0.1"}, "expected 0.0.1"),
        ({"code": "another"}, "is another checkout of recbole_edt"),
        ({"files": {str(path): "another"}}, "toy.inter has other content"),
        ({"files": {str(tmp_path / "missing"): "x"}}, "missing does not exist there"),
    ):
        with pytest.raises(UserError, match=said):
            refuse_differences({**expected, **changed})


def test_gpus_are_counted_among_those_that_the_cluster_gave():
    assert gpus_among("0,1", None) == "0,1"
    assert gpus_among("0", "3") == "3"
    assert gpus_among("0,1", "GPU-a,GPU-b") == "GPU-a,GPU-b"
    assert gpus_among("1", "3") == gpus_among("0", "") == gpus_among("", "3") == ""


@pytest.mark.slow
def test_tuning_tries_the_same_and_scores_the_same(make_dataset, command, tmp_path, ray_address):
    make_dataset()
    (tmp_path / "rate.hyper").write_text("learning_rate choice [0.01, 0.001]\n")
    flags = ["--model=BPR", "--embedding_size=8", "--epochs=2", "--params_file=rate.hyper"]
    flags.append("--strategy=exhaustive")
    there = command("tune", "there", *flags, f"--cluster=ray:{ray_address}", "--jobs=1")
    here = command("tune", "here", *flags)
    assert there.status == here.status == 0, there.err
    assert there.out.replace("there", "here") == here.out
    assert results_of(tmp_path / "there") == results_of(tmp_path / "here")


@pytest.mark.slow
@pytest.mark.kills
def test_children_are_those_of_this_machine(tmp_path, monkeypatch, ray_address):
    """Threads, folder, log, crash, signal and interruption of a task's process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def call(seed, behaviour):
        keys = {"seed": seed, "BEHAVIOUR": behaviour, "RUN_DIR": "run"}
        return ChildCall((FAKE,), {"keys": keys}, tmp_path / "logs" / f"{seed}.log")

    cluster = ClusterSettings(ray_address, cpus_per_task=2)
    with open_executor(cluster, None, []) as executor:
        assert executor.slots == 1
        assert run_children(executor, [call(1, "done")])[0].status == 0
        assert (tmp_path / "started-1-done").read_text() == "2"
    with pytest.raises(UserError, match="no machine has room for a task of 3 CPUs and 0 GPUs"):
        open_executor(ClusterSettings(ray_address, 3), None, []).__enter__()
    with open_executor(ClusterSettings(ray_address), None, []) as executor:
        assert executor.slots == 2
        crashed, killed = run_children(executor, [call(2, "crash"), call(3, "kill")])
        assert (crashed.status, killed.status) == (1, -signal.SIGKILL)
        assert "MemoryError: no room" in (tmp_path / "logs" / "2.log").read_text()

        def interrupt(index, result: ChildResult) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_children(executor, [call(4, "sleep"), call(5, "done")], interrupt)
        assert not is_running(int((tmp_path / "pid-4").read_text()))
        sleeping = executor.start(call(6, "sleep"))
        wait_for(lambda: (tmp_path / "pid-6").exists())
        sleeping.interrupt()
        sleeping.wait(30)
        assert sleeping.result().status is None
        assert not is_running(int((tmp_path / "pid-6").read_text()))


@pytest.mark.slow
@pytest.mark.kills
def test_killed_and_started_again_it_has_the_numbers_of_local_processes(
    make_dataset, command, tmp_path, ray_address
):
    make_dataset(users=60)
    (tmp_path / "rows.yaml").write_text(
        f"seeds: [1]\nrows:\n  Pop: {{model: Pop}}\n"
        f"  SASRec: {{model: SASRec, {SMALL}, epochs: 15, stopping_step: 15}}\n"
    )
    flags = ["--file=rows.yaml", f"--cluster=ray:{ray_address}", "--jobs=1"]
    where = ["--dataset=toy", "--output_dir=there"]
    process = subprocess.Popen(
        [sys.executable, "-m", "recbole_edt", "compare", *where, *flags],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    runs = tmp_path / "there" / "toy" / "SASRec"
    wait_for(lambda: list(runs.glob("*/checkpoint/state.json")))
    process.kill()
    process.wait()
    (run,) = runs.iterdir()
    size = -1

    def still() -> bool:  # no epoch is added any more
        nonlocal size
        before, size = size, (run / "train.log").stat().st_size
        time.sleep(1)
        return before == size

    wait_for(still)
    assert not (run / "metrics.json").exists()
    outcome = command("compare", "there", *flags)
    assert outcome.status == 0, outcome.err
    assert "Pop, seed 1: was done" in outcome.err
    assert "SASRec, seed 1: started, goes on" in outcome.err
    here = command("compare", "here", "--file=rows.yaml", "--jobs=2")
    assert here.status == 0, here.err
    assert len(results_of(tmp_path / "here")) == 2
    assert results_of(tmp_path / "there") == results_of(tmp_path / "here")
    # Nothing but the comparison's own lines; on a slow machine some cells also report an epoch.
    names = [line.split(": ")[0].split("] ")[1] for line in here.err.splitlines()]
    assert {*names} == {"Pop, seed 1", "SASRec, seed 1"}


def wait_for(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
