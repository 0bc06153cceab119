"""One fork server per process of pytest, so that torch and RecBole are imported once for all."""

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from recbole_edt.executors.fork_server import ForkedProcess, ForkServer
from recbole_edt.executors.local import child_environment
from recbole_edt.platforms import CAN_FORK

COMMAND_LINE = "from recbole_edt.cli import main; main()"
"""Python code that is ``python -m recbole_edt``."""

PRELOAD = """
from recbole_edt.artefacts import shard_process
from recbole_edt.compare.grid import cell

shard_process.preload()
cell.preload()
"""

# Changes from test to test; set when scikit-learn is imported, which the server does itself.
_IGNORED = ("PYTEST_CURRENT_TEST", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")


class _SharedServer(ForkServer):
    def close(self) -> None:
        """Stay for the next test; it ends with this process."""


def shared_server(environment: Mapping[str, str], preload: str = PRELOAD) -> ForkServer:
    """Return the server of an environment, which has imported all that any child needs."""
    kept = {k: v for k, v in environment.items() if k not in _IGNORED}
    return _open(frozenset(kept.items()))


@cache
def _open(environment: frozenset[tuple[str, str]]) -> ForkServer:
    return _SharedServer(dict(environment), PRELOAD)


def start_python(
    code: str, *arguments: object, folder: Path | None = None, messages: Path | None = None
) -> "ForkedProcess | subprocess.Popen[bytes]":
    """Start ``python -c CODE ARGUMENTS`` with pipes for its standard input and output.

    Parameters
    ----------
    code, arguments
        What it runs, and the rest of its command line.
    folder : pathlib.Path, optional
        Its working directory.
    messages : pathlib.Path, optional
        File for its error stream, that of this process by default.
    """
    environment, command = child_environment({}), [code, *map(str, arguments)]
    with open(os.dup(2) if messages is None else messages, "wb") as stream:
        if CAN_FORK:
            return shared_server(environment).start(command, stream, folder)
        return subprocess.Popen(
            [sys.executable, "-c", *command], cwd=folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream,
        )  # fmt: skip


def output_of(process: "ForkedProcess | subprocess.Popen[bytes]") -> str:
    """Wait for the end of a process and return what is left of its output."""
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    with stdin, stdout:
        output = stdout.read().decode()
    process.wait()
    return output
