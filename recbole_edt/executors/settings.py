"""Flags of a cluster: where it is, and what a task takes of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from recbole_edt.errors import UserError, nearest

CLUSTER_FLAGS = {
    "cluster": ("ray[:HOST:PORT]", "run the processes as tasks of a Ray cluster (docs/scale.md)"),
    "cpus_per_task": ("N", "CPU cores and threads of a task (default: 1)"),
    "gpus_per_task": ("N", "GPUs of a task, such as 0.5 (default: 1 where the cluster has GPUs)"),
}
"""Of each flag how its value is written, and what it is for."""

_CPUS = 1  # unless --cpus_per_task is given


@dataclass(frozen=True)
class ClusterSettings:
    """A Ray cluster, and what each task takes of it.

    Attributes
    ----------
    address : str, optional
        ``HOST:PORT`` of the running cluster's head; None for the environment variable
        ``RAY_ADDRESS``, or else a Ray of this machine, for as long as the command runs.
    cpus_per_task : int
        CPU cores of a task, and its threads.
    gpus_per_task : float, optional
        GPUs of a task; None for one where the cluster has any.
    """

    address: str | None = None
    cpus_per_task: int = _CPUS
    gpus_per_task: float | None = None

    @classmethod
    def from_flags(cls, flags: Mapping[str, str]) -> "ClusterSettings | None":
        """Return what the texts of the flags `CLUSTER_FLAGS` ask for, None without a cluster.

        Raises
        ------
        UserError
            Another cluster than Ray, an address that is none, a wrong number, or a flag that is
            of no use without ``--cluster``.
        """
        if "cluster" not in flags:
            for flag in CLUSTER_FLAGS:
                if flag in flags:
                    raise UserError(f"--{flag}: of use with --cluster only")
            return None
        name, colon, address = flags["cluster"].partition(":")
        if name != "ray" or (colon and not _is_address(address)):
            hint = "" if name == "ray" else nearest(name, ["ray"])
            raise UserError(
                f"--cluster: found {flags['cluster']!r}, expected ray or ray:HOST:PORT{hint}"
            )
        return cls(address or None, _cpus(flags), _gpus(flags))


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and "/" not in host and port.isdecimal() and 0 < int(port) < 65536


def _cpus(flags: Mapping[str, str]) -> int:
    text = flags.get("cpus_per_task", str(_CPUS))
    if not (text.isascii() and text.isdigit() and int(text)):
        raise UserError(f"--cpus_per_task: found {text!r}, expected a whole number above 0")
    return int(text)


def _gpus(flags: Mapping[str, str]) -> float | None:
    text = flags.get("gpus_per_task")
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (0 <= number <= 1 or (1 < number < 1e6 and number == int(number))):
        raise UserError(
            f"--gpus_per_task: found {text!r}, expected a whole number, or a part of a GPU such as "
            "0.5"
        )
    return number
