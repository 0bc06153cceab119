"""Choosing the executor of a command."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from recbole_edt.executors.local import LocalExecutor
from recbole_edt.executors.protocol import Executor
from recbole_edt.executors.settings import ClusterSettings


@contextmanager
def open_executor(
    cluster: ClusterSettings | None, slots: int | None, files: Sequence[Path]
) -> Iterator[Executor]:
    """Yield processes of this machine, or a connection to a cluster.

    Parameters
    ----------
    cluster : ClusterSettings, optional
        The cluster; this machine without it.
    slots : int, optional
        How many children run at a time: one by default, on a cluster as many as it has room for.
    files : sequence of pathlib.Path
        Files that machines of a cluster need to have as this one has them.

    Raises
    ------
    UserError
        When the cluster cannot be used.
    """
    if cluster is None:
        with closing(LocalExecutor(slots or 1)) as executor:
            yield executor
        return
    from recbole_edt.executors.ray_cluster import connected
    from recbole_edt.executors.ray_executor import RayExecutor
    from recbole_edt.executors.same_code import expectation

    with connected(cluster) as ray:
        yield RayExecutor(ray, cluster, slots, expectation(files))
