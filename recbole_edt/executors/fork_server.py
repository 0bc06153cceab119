"""Child processes that need not import torch and RecBole again: forks of one that has.

The imports of a child take longer than many a run. A server is a process in the environment of
its children that imports and does nothing else: it has no CUDA, has computed nothing on several
threads, and those that OpenBLAS starts when it is loaded OpenBLAS itself ends before a fork. A
fork is a process as any other: in a session of its own, with its own standard files and folder,
ended by the interpreter as usual. It runs what follows ``python -c``.
"""

import gc
import io
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from recbole_edt.executors.child_main import start_code

_LONGEST = 1 << 16  # bytes of a message


class ForkedProcess:
    """A process that a server has forked, with the methods of `subprocess.Popen` in use here.

    Parameters
    ----------
    pid : int
        Its id.
    ends : int
        Pipe in which the server writes its exit status; closed without one, the server is gone.
    stdin, stdout : file, optional
        This process's ends of its pipes.
    """

    def __init__(
        self, pid: int, ends: int, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
    ):
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None
        self._ends = ends

    def poll(self) -> int | None:
        """Return its exit status, negative the signal that ended it; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit status.

        Raises
        ------
        subprocess.TimeoutExpired
            After so many seconds.
        """
        if self.returncode is None:
            ended = select.poll()
            ended.register(self._ends, select.POLLIN)
            if not ended.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            status = os.read(self._ends, 16)
            os.close(self._ends)
            if not status:  # nobody can tell any more how it ends
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            self.returncode = int(status or -signal.SIGKILL)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it unless it has ended."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """A server; it ends with this process, or when it is closed.

    Parameters
    ----------
    environment : mapping
        Environment variables of the server and of all its children.
    preload : str
        Python code that imports what the children need, and starts nothing.

    Attributes
    ----------
    pid : int
        The server's process id.
    """

    def __init__(self, environment: Mapping[str, str], preload: str):
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                (sys.executable, *start_code(__name__), preload),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def start(
        self, arguments: Sequence[str], messages: IO[bytes], folder: Path | None = None
    ) -> ForkedProcess:
        """Start a child with pipes for its standard input and output.

        Parameters
        ----------
        arguments : sequence of str
            What follows ``python -c``.
        messages : file
            Its error stream.
        folder : pathlib.Path, optional
            Its working directory, that of this process by default.

        Raises
        ------
        ConnectionError
            When the server has ended.
        """
        pipes = [os.pipe() for _ in range(3)]
        (input_of_child, stdin), (stdout, output_of_child), (ends, end_of_child) = pipes
        theirs = [input_of_child, output_of_child, messages.fileno(), end_of_child]
        request = {"arguments": [*arguments], "folder": str(folder or os.getcwd())}
        try:
            socket.send_fds(self._channel, [json.dumps(request).encode()], theirs)
            pid = self._channel.recv(_LONGEST)
            if not pid:
                raise ConnectionError("the server has ended")
        except BaseException:
            for file in (stdin, stdout, ends):
                os.close(file)
            raise
        finally:
            for file in (input_of_child, output_of_child, end_of_child):
                os.close(file)
        return ForkedProcess(int(pid), ends, os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"))

    def close(self) -> None:
        """End the server; children that still run go on."""
        self._channel.close()
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Serve until the parent is gone; in a fork, run what was asked for."""
    exec(sys.argv[1], {"__name__": "preload"})
    # A collection in a fork would copy all of the memory that it shares; the one at its end takes
    # a second in all that torch brings.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as channel:
        code = _serve(channel)
    if code is not None:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})


def _serve(channel: socket.socket) -> str | None:
    """Fork for each request; return the code to run in a fork, None at the end in the server."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.data is not None:
                    waiting.unregister(key.fd)
                    _tell_end(key.fd, *key.data)
                    continue
                message, files, _, _ = socket.recv_fds(channel, _LONGEST, 4)
                if not message:
                    return None
                pid = os.fork()
                if not pid:
                    for other in waiting.get_map().values():
                        if other.data is not None:
                            os.close(other.fd)
                            os.close(other.data[1])
                    return _become(json.loads(message), files)
                for file in files[:3]:
                    os.close(file)
                waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, files[3]))
                channel.send(str(pid).encode())


def _become(request: Mapping[str, Any], files: Sequence[int]) -> str:
    """Make a fork a process of its own and return the code that it runs."""
    os.setsid()
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    # Python's own three were made for the server's files: they would seek in a pipe.
    for number, (name, mode) in enumerate((("stdin", "rb"), ("stdout", "wb"), ("stderr", "wb"))):
        old = getattr(sys, name)
        new = io.TextIOWrapper(
            os.fdopen(number, mode, closefd=False),
            encoding=old.encoding,
            errors=old.errors,
            line_buffering=old.line_buffering,
            write_through=old.write_through,
        )
        setattr(sys, name, new)
    os.chdir(request["folder"])
    code, *arguments = request["arguments"]
    sys.argv = ["-c", *arguments]
    return str(code)


def _tell_end(watched: int, pid: int, ends: int) -> None:
    os.close(watched)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):  # nobody wants to know
        os.write(ends, str(status).encode())
    os.close(ends)
