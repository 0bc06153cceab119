"""Every difference between Linux, macOS and Windows that this package has to know."""

import os
import signal
import subprocess
import sys
from typing import IO, Protocol

import psutil

GIVEN_GPUS = "RECBOLE_EDT_GPUS"
"""Environment variable with the GPUs that a cluster gave to a process, separated by commas."""

# The flag of a process that Ctrl-C does not reach; elsewhere `start_new_session` does that.
if sys.platform == "win32":
    CREATION_FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP
else:
    CREATION_FLAGS = 0

# Whether a process that has imported torch may go on as a fork of itself: not on Windows, which has
# none, and not on macOS, whose own libraries end such a process.
CAN_FORK = sys.platform == "linux" and hasattr(os, "pidfd_open")


def peak_rss_mb() -> int:
    """Return the most memory that this process has held so far, in MiB."""
    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", None)  # Windows
    if peak is None:
        try:
            import resource
        except ImportError:
            return int(memory.rss) >> 20  # no system that torch supports comes here
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if sys.platform != "darwin":  # bytes there, KiB on Linux
            peak <<= 10
    return int(peak) >> 20


def usable_cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def interrupt_this_process() -> None:
    """Do to this process what Ctrl-C does."""
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGINT)  # os.kill would end the process at once there
    else:
        os.kill(os.getpid(), signal.SIGINT)


class Interruptible(Protocol):
    """A process of this machine, as `subprocess.Popen`."""

    stdin: IO[bytes] | None

    def send_signal(self, signal: int, /) -> None:
        """Send it a signal."""


def interrupt(process: Interruptible) -> None:
    """Ask a process to clean up and end; one that watches its standard input sees that close."""
    if sys.platform == "win32":  # Popen knows no Ctrl-C for a process of another group there
        if process.stdin is not None:
            process.stdin.close()
    else:
        process.send_signal(signal.SIGINT)
