"""Child processes of this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import recbole_edt
from recbole_edt.executors.child_main import GRACE
from recbole_edt.executors.fork_server import ForkedProcess, ForkServer
from recbole_edt.executors.protocol import Child, ChildCall, ChildResult
from recbole_edt.platforms import CAN_FORK, CREATION_FLAGS, interrupt, usable_cores


class ChildProcess:
    """A running child process of this machine, as `Child`.

    Parameters
    ----------
    call : ChildCall
        What to start.
    variables : mapping
        Environment variables beside those of this process.
    folder : pathlib.Path, optional
        Its working directory, that of this process by default.
    server : ForkServer, optional
        Forks it, in the environment that the server has; without one it is started anew.
    """

    grace = GRACE

    def __init__(
        self,
        call: ChildCall,
        variables: Mapping[str, str],
        folder: Path | None = None,
        server: ForkServer | None = None,
    ):
        call.log.parent.mkdir(parents=True, exist_ok=True)
        self._started_at = time.monotonic()
        self._result: ChildResult | None = None
        self.process: ForkedProcess | subprocess.Popen[bytes]
        with open(call.log, "wb") as messages:
            if server is not None:
                self.process = server.start(call.arguments[1:], messages, folder)
            else:
                self.process = subprocess.Popen(
                    (sys.executable, *call.arguments),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=messages,
                    cwd=folder,
                    env=child_environment(variables),
                    start_new_session=True,  # Ctrl-C reaches the parent only, which stops others
                    creationflags=CREATION_FLAGS,
                )
        self._input: IO[bytes] = self.process.stdin  # type: ignore[assignment]
        self._output: IO[bytes] = self.process.stdout  # type: ignore[assignment]
        with suppress(BrokenPipeError):  # it died at once: its log has the reason
            self._input.write(json.dumps(dict(call.request)).encode() + b"\n")
            self._input.flush()

    def result(self) -> ChildResult | None:
        """Return how it ended, None while it runs."""
        if self._result is None and self.process.poll() is not None:
            seconds = round(time.monotonic() - self._started_at, 2)
            self._result = ChildResult(self.process.returncode, self._output.read(), seconds)
            self._close()
        return self._result

    def interrupt(self) -> None:
        """Ask it to clean up and end, as Ctrl-C does."""
        with suppress(ProcessLookupError, BrokenPipeError):
            interrupt(self.process)

    def wait(self, seconds: float) -> None:
        """Wait so long at most for its end."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def kill(self) -> None:
        """End it if it still runs, and close both pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self._input, self._output):
            with suppress(BrokenPipeError):
                pipe.close()


class LocalExecutor:
    """Runs children as processes of this machine, which share its cores.

    Parameters
    ----------
    slots : int
        How many run at a time.
    """

    def __init__(self, slots: int):
        self.slots = slots
        self._server: ForkServer | None = None

    def start(self, call: ChildCall) -> Child:
        """Start a process."""
        threads = thread_count(self.slots)
        given = "OMP_NUM_THREADS" in os.environ or threads is None
        variables = {} if given else {"OMP_NUM_THREADS": str(threads)}
        if call.preload is not None and CAN_FORK:
            if self._server is None:
                self._server = ForkServer(child_environment(variables), call.preload)
            with suppress(ConnectionError):  # the server has ended
                return ChildProcess(call, variables, server=self._server)
        return ChildProcess(call, variables)

    def close(self) -> None:
        """End what children were forked from."""
        if self._server is not None:
            self._server.close()
            self._server = None


def thread_count(processes: int) -> int | None:
    """Return the threads of each of some processes; None leaves a single one to its default."""
    if processes == 1:
        return None  # as a bare run
    return max(1, usable_cores() // processes)


def package_root() -> str:
    """Return the folder that this package is imported from."""
    return str(Path(recbole_edt.__file__).parent.parent)


def child_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child, which imports this same package."""
    environment = {**os.environ, **variables}
    path = environment.get("PYTHONPATH")
    package = package_root()
    environment["PYTHONPATH"] = f"{package}{os.pathsep}{path}" if path else package
    return environment
