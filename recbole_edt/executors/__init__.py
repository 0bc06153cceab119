"""Child processes of a command, on this machine or on a Ray cluster, behind one protocol.

Public:

- `Executor`, `Child`, `ChildCall`, `ChildResult`: the protocol;
- `LocalExecutor`, `open_executor`: processes of this machine, or those of a cluster;
- `ClusterSettings`: where the cluster is and what a task takes of it;
- `stop`, `run_children`: what every command does with its children;
- `read_answer`, `answer_request`: both ends of the conversation with a child.
"""

from recbole_edt.executors.answers import CRASH, DONE, FAILED, USER, read_answer
from recbole_edt.executors.child_main import answer_request, preload_code, start_code
from recbole_edt.executors.children import run_children, stop
from recbole_edt.executors.local import LocalExecutor
from recbole_edt.executors.opening import open_executor
from recbole_edt.executors.protocol import Child, ChildCall, ChildResult, Executor
from recbole_edt.executors.settings import CLUSTER_FLAGS, ClusterSettings

__all__ = [
    "CLUSTER_FLAGS", "CRASH", "DONE", "FAILED", "USER", "Child", "ChildCall", "ChildResult",
    "ClusterSettings", "Executor", "LocalExecutor", "answer_request", "open_executor",
    "preload_code", "read_answer", "run_children", "start_code", "stop",
]  # fmt: skip
