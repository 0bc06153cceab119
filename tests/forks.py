"""One fork server per process of pytest, so that torch and RecBole are imported once for all."""

from collections.abc import Mapping
from functools import cache

from recbole_edt.executors.fork_server import ForkServer

_PRELOAD = """
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


def shared_server(environment: Mapping[str, str], preload: str = _PRELOAD) -> ForkServer:
    """Return the server of an environment, which has imported all that any child needs."""
    kept = {k: v for k, v in environment.items() if k not in _IGNORED}
    return _open(frozenset(kept.items()))


@cache
def _open(environment: frozenset[tuple[str, str]]) -> ForkServer:
    return _SharedServer(dict(environment), _PRELOAD)
