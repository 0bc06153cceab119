"""The connection to a Ray cluster: reached quickly or refused in one line, and silent."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recbole_edt.errors import UserError, one_line
from recbole_edt.executors.settings import ClusterSettings

_TIMEOUT = 10.0  # seconds to reach an address
_OBJECT_STORE = 80 << 20  # bytes, of a Ray of this machine: tasks exchange a few lines of text
# Read by Ray when it is imported. Its messages about retries are not the user's; ours name what
# is wrong. It also sends usage statistics to its makers unless that is switched off.
_SILENT = {"RAY_BACKEND_LOG_LEVEL": "error", "RAY_USAGE_STATS_ENABLED": "0"}
# HTTP/2: the client's preface and an empty frame of settings, which the server answers with its own
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS_FRAME = 4


@contextmanager
def connected(cluster: ClusterSettings) -> Iterator[Any]:
    """Connect to a cluster for the block and yield the module ``ray``.

    Raises
    ------
    UserError
        When Ray is not installed, does not answer, or refuses this process.
    """
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)
    try:
        with _without_messages():
            import ray
    except ImportError as error:
        raise UserError(
            f"--cluster: Ray cannot be imported ({error}); pip install 'recbole-edt[cluster]'"
        ) from None
    if ray.is_initialized():  # by the program that calls us
        yield ray
        return
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"address": address}
    if address:
        _refuse_silence(address)
    else:
        options = {"address": "local", "object_store_memory": _OBJECT_STORE}
        options["include_dashboard"] = False
    try:
        with _without_messages():
            ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}", 300)
        # Ray logs the refusal of a token where nobody reads it, and reports a lost connection.
        hint = "; RAY_AUTH_TOKEN or RAY_AUTH_MODE may differ from the cluster's" if address else ""
        where = f"the Ray cluster at {address}" if address else "a Ray of this machine"
        raise UserError(f"--cluster: {where} cannot be used ({reason}){hint}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _without_messages() -> Iterator[None]:
    """Keep from the screen what Ray's native code writes to the error stream meanwhile."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _refuse_silence(address: str) -> None:
    """Refuse an address at which nothing answers as Ray does; Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT) as connection:
            connection.settimeout(_TIMEOUT)
            connection.sendall(_PREFACE)
            header = connection.recv(9)
    except ValueError:
        raise UserError(f"RAY_ADDRESS: found {address!r}, expected HOST:PORT") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"--cluster: no Ray answers at {address} ({reason}); expected the address that "
            "'ray start --head' prints"
        ) from None
    if len(header) < 4 or header[3] != _SETTINGS_FRAME:
        raise UserError(
            f"--cluster: what answers at {address} is not a Ray cluster; expected the address that "
            "'ray start --head' prints"
        )
