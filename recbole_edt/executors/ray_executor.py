"""Child processes as tasks of a Ray cluster.

A task starts the same child process as this machine would, on the machine that Ray chooses, and
waits for it: input, output, log, interruption and exit status are those of a local one. Only the
module ``ray`` is used from outside; it is passed in, so that nothing imports it unasked.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from recbole_edt.errors import UserError
from recbole_edt.executors.child_main import GRACE
from recbole_edt.executors.local import package_root
from recbole_edt.executors.protocol import Child, ChildCall, ChildResult
from recbole_edt.executors.settings import ClusterSettings

_THREADS = "OMP_NUM_THREADS"


class RayExecutor:
    """Runs children as tasks of a Ray cluster.

    Parameters
    ----------
    ray : module
        Ray, connected.
    cluster : ClusterSettings
        What a task takes of the cluster.
    slots : int, optional
        How many tasks are given to Ray at a time, as many as its machines have room for by
        default.
    expects : mapping
        Version and files that the machines need to have, see `same_code.expectation`.

    Raises
    ------
    UserError
        When no machine of the cluster has room for a task.
    """

    def __init__(
        self,
        ray: Any,
        cluster: ClusterSettings,
        slots: int | None,
        expects: Mapping[str, Any],
    ):
        self._ray, self._expects = ray, expects
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus, gpus = cluster.cpus_per_task, cluster.gpus_per_task
        if gpus is None:
            gpus = float(any(machine.get("GPU", 0) >= 1 for machine in machines))
        room = sum(_room(machine, cpus, gpus) for machine in machines)
        if not room:
            have = ", ".join(
                f"{m.get('CPU', 0):g} CPUs and {m.get('GPU', 0):g} GPUs" for m in machines
            )
            raise UserError(
                f"--cluster: no machine has room for a task of {cpus} CPUs and {gpus:g} GPUs "
                f"(machines with {have}); see --cpus_per_task and --gpus_per_task"
            )
        self.slots = slots or room
        # A task whose machine is lost is not repeated unasked: the same command goes on.
        self._task = ray.remote(_make_task()).options(
            num_cpus=cpus, num_gpus=gpus, max_retries=0, scheduling_strategy="SPREAD"
        )
        # Sums over several threads depend on their number: it is that of this process's
        # environment, as for local processes, and not what the machines happen to have.
        given = {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")}
        self._variables = {_THREADS: str(cpus), **given}

    def start(self, call: ChildCall) -> Child:
        """Give a task to Ray."""
        call.log.parent.mkdir(parents=True, exist_ok=True)
        call.log.write_bytes(b"")  # a machine that does not see it shares no folders with us
        request = {**call.request, "expects": dict(self._expects)}
        log = str(call.log.absolute())
        reference = self._task.remote(
            package_root(), call.arguments, request, log, self._variables, os.getcwd()
        )
        return RayChild(self._ray, reference)


class RayChild:
    """A task of a Ray cluster, as `Child`.

    Parameters
    ----------
    ray : module
        Ray, connected.
    reference : ray.ObjectRef
        The task's result.
    """

    grace = GRACE + 5.0  # the child's own, and the way there

    def __init__(self, ray: Any, reference: Any):
        self._ray, self._reference = ray, reference
        self._result: ChildResult | None = None

    def result(self) -> ChildResult | None:
        """Return how its process ended, None while it runs or waits for room."""
        if self._result is None and self._ray.wait([self._reference], timeout=0)[0]:
            self._result = self._ended()
        return self._result

    def _ended(self) -> ChildResult:
        try:
            return ChildResult(*self._ray.get(self._reference))
        except self._ray.exceptions.RayError as error:
            # Ray puts the machine's traceback into the text; its last line is the error.
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = lines[-1] if lines else type(error).__name__
            return ChildResult(None, problem=f"Ray: {type(error).__name__}: {reason}"[:500])

    def interrupt(self) -> None:
        """Cancel the task, which interrupts its process."""
        self._ray.cancel(self._reference)

    def wait(self, seconds: float) -> None:
        """Wait so long at most for its end."""
        self._ray.wait([self._reference], timeout=seconds)

    def kill(self) -> None:
        """End the task's process on its machine; a child notices that and ends too."""
        if not self._ray.wait([self._reference], timeout=0)[0]:
            with suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.cancel(self._reference, force=True)


def _room(machine: Mapping[str, float], cpus: int, gpus: float) -> int:
    """Return how many tasks a machine has room for."""
    room = int(machine.get("CPU", 0) // cpus)
    if not gpus:
        return room
    have = machine.get("GPU", 0)
    return min(room, int(have) * int(1 / gpus) if gpus < 1 else int(have // gpus))


def _make_task() -> Any:
    """Return the function that runs a child on the machine that Ray has chosen.

    A function inside a function is sent as a whole, with plain values as arguments: a machine
    that finds no recbole_edt by itself then takes that of the shared folder.
    """

    def run_child(package, arguments, request, log, variables, folder):  # type: ignore[no-untyped-def]
        import sys

        if package not in sys.path:
            sys.path.insert(0, package)
        from recbole_edt.executors.on_machine import run_to_end

        return run_to_end(arguments, request, log, variables, folder)

    return run_child
