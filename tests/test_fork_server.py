"""Forked children are processes like others, and none outlives what it should."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from forks import PRELOAD as IMPORTS

from recbole_edt.executors import ChildCall, LocalExecutor, local, run_children
from recbole_edt.executors.fork_server import ForkServer
from recbole_edt.executors.local import child_environment
from recbole_edt.platforms import CAN_FORK

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="this system starts children anew")

PRELOAD = "import sys, atexit; sys.imported_once = __import__('os').getpid()"
STATE = """
import atexit, json, os, sys
atexit.register(print, "at exit")
sys.stdout.reconfigure(errors="backslashreplace")  # which looks at the position in a file
print(json.dumps([sys.argv, os.getcwd(), __name__, os.environ["GIVEN"], sys.imported_once,
    os.getpid(), os.getsid(0), len(os.listdir("/proc/self/fd"))]))
print(sys.stdin.readline(), end="", file=sys.stderr)
"""


@pytest.fixture
def server():
    server = ForkServer({**os.environ, "GIVEN": "value"}, PRELOAD)
    yield server
    server.close()


@pytest.fixture
def start(server, tmp_path):
    """Return a function that starts a child whose error stream is ``tmp_path/log``."""

    def start(code, *arguments):
        with open(tmp_path / "log", "wb") as log:
            return server.start([code, *arguments], log, tmp_path)

    return start


def ended(pid: int) -> bool:
    """Wait until a process has ended; not one of this process's own."""
    for _ in range(600):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_fork_is_a_process_of_its_own(start, tmp_path):
    for _ in range(2):
        child = start(STATE, "a", "b c")
        child.stdin.write(b"hello\n")
        child.stdin.flush()
        assert child.wait() == 0
        found, at_exit = child.stdout.read().decode().splitlines()
        argv, folder, name, given, server_pid, pid, session, files = json.loads(found)
        assert (argv, folder) == (["-c", "a", "b c"], str(tmp_path))
        assert (name, given, at_exit) == ("__main__", "value", "at exit")
        assert pid == child.pid == session != server_pid
        assert server_pid != os.getpid()
        assert files == 4  # the standard ones, and that of the folder being listed
        assert (tmp_path / "log").read_text() == "hello\n"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("pass", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import os; os._exit(4)", 4, ""),
        ("raise MemoryError('no room')", 1, "MemoryError: no room"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
    ],
)
def test_the_end_is_that_of_any_process(start, tmp_path, code, status, said):
    child = start(code)
    assert child.wait() == child.poll() == child.returncode == status
    assert (tmp_path / "log").read_text().rstrip().endswith(said)


@pytest.mark.kills
def test_signals_reach_one_child_and_its_input_ends_with_the_parents(start, tmp_path):
    first, second = (start("import sys; sys.stdin.read()") for _ in range(2))
    assert first.poll() is second.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0.01)
    waiting = start("print(1, flush=True)\nimport time\ntime.sleep(60)")
    assert waiting.stdout.readline() == b"1\n"
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait() == -signal.SIGINT
    assert (tmp_path / "log").read_text().rstrip().endswith("KeyboardInterrupt")
    first.kill()
    assert first.wait() == -signal.SIGKILL
    first.send_signal(signal.SIGINT)  # nobody is there any more
    assert second.poll() is None
    second.stdin.close()
    assert second.wait() == 0


@pytest.mark.kills
def test_children_of_a_killed_server_end_and_the_next_are_started_anew(tmp_path, monkeypatch):
    servers = []

    def open_server(environment, preload):
        servers.append(ForkServer(environment, preload))
        return servers[0]

    monkeypatch.setattr(local, "ForkServer", open_server)
    executor = LocalExecutor(1)

    def call(code):
        return ChildCall(("-c", code), {}, tmp_path / "log", PRELOAD)

    child = executor.start(call("import time; time.sleep(60)"))
    psutil.Process(servers[0].pid).kill()
    child.wait(30)
    assert child.result().status == -signal.SIGKILL
    assert ended(child.process.pid)
    code = "import sys; print(hasattr(sys, 'imported_once'))"
    (result,) = run_children(executor, [call(code)])
    assert (result.status, result.output) == (0, b"False\n")
    executor.close()
    (result,) = run_children(executor, [ChildCall(("-c", "pass"), {}, tmp_path / "log")])
    assert result.status == 0
    assert len(servers) == 1  # none for a call that has nothing to import before


def test_imports_that_fail_are_those_of_the_children(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "ForkServer", ForkServer)
    executor = LocalExecutor(1)
    call = ChildCall(("-c", "import nowhere"), {}, tmp_path / "log", "import nowhere")
    (result,) = run_children(executor, [call])
    assert result.status == 1
    assert "No module named 'nowhere'" in (tmp_path / "log").read_text()
    executor.close()


GUARD = """
import os, torch
for name in ("is_available", "device_count", "_lazy_init"):
    setattr(torch.cuda, name, lambda *args: os._exit(1))
"""
COUNT = """
import os, sys
sys.threads = len(os.listdir("/proc/self/task"))
"""


def test_imports_of_runs_and_of_parts_start_no_thread_and_ask_no_gpu(tmp_path):
    environment = {**child_environment({}), "OMP_NUM_THREADS": "1"}
    server = ForkServer(environment, GUARD + IMPORTS + COUNT)
    with open(tmp_path / "log", "wb") as log:
        child = server.start(["import sys; print(sys.threads)"], log)  # a dead one would refuse
    assert child.stdout.read() == b"1\n"
    assert child.wait() == 0
    server.close()


PARENT = f"""
import os, sys, time
from recbole_edt.executors.fork_server import ForkServer
server = ForkServer(os.environ, {PRELOAD!r})
with open(os.devnull, "wb") as log:
    child = server.start(["import sys; sys.stdin.read()"], log)
print(server.pid, child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.kills
def test_a_server_ends_with_its_parent():
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment
    ) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    assert all(ended(pid) for pid in pids)
