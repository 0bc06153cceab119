"""The part of a cluster's task that runs on the machine that the cluster has chosen."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_edt.executors.answers import FAILED, USER
from recbole_edt.executors.children import POLL, stop
from recbole_edt.executors.local import ChildProcess
from recbole_edt.executors.protocol import ChildCall
from recbole_edt.executors.same_code import missing_there
from recbole_edt.platforms import GIVEN_GPUS


def run_to_end(
    arguments: Sequence[str],
    request: Mapping[str, Any],
    log: str,
    variables: Mapping[str, str],
    folder: str,
) -> tuple[int | None, bytes, float]:
    """Run a child process on this machine and wait for its end.

    When the task is cancelled, or the command that gave it out is gone, the child is interrupted.

    Parameters
    ----------
    arguments, request, log
        As of `ChildCall`; the log is an existing file of the shared folder.
    variables : mapping
        Environment variables of the child.
    folder : str
        Its working directory: that of the command, so that relative paths mean the same.

    Returns
    -------
    tuple
        The values of a `ChildResult`.
    """
    for path in (folder, log):
        if not os.path.exists(path):
            answer = {"status": FAILED, "kind": USER, "reason": missing_there(path)}
            return 2, json.dumps(answer).encode(), 0.0
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")  # as the cluster has set it for the task
    given = {} if gpus is None else {GIVEN_GPUS: gpus}
    call = ChildCall(tuple(arguments), request, Path(log))
    child = ChildProcess(call, {**variables, **given}, Path(folder))
    try:
        # Cancelling interrupts Python code of the task, and no call that waits for the system.
        while (result := child.result()) is None:
            time.sleep(POLL)
    except BaseException:
        stop([child])
        raise
    return result.status, result.output, result.seconds
