"""One run in a process of its own: ``python -m recbole_edt.compare.grid.cell``.

The parent writes one line of JSON (the run's keys) to standard input and keeps it open: its end
means that the parent is gone. The process writes one line of JSON (how it ended) to standard
output; all that libraries print goes to the error stream.
"""

import json
import os
import sys
import threading
import time
import traceback
from typing import Any

from recbole_edt.compare.grid.outcome import CRASH, DONE, FAILED, USER

GRACE = 10.0  # seconds in which an interrupted run cleans up


def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    """Make or resume a run and return how it ended.

    Parameters
    ----------
    request : dict
        The run's ``keys``, with model, dataset and seed, the ``digest`` of the whole
        configuration as the parent read it, and under ``shared_from`` the folder of a finished
        run with the same shared phase, or null.

    Returns
    -------
    dict
        ``status`` and either ``run_dir`` or ``kind`` and ``reason``.
    """
    from recbole_edt.errors import UserError

    try:
        run_dir = _run(request["keys"], request["digest"], request["shared_from"])
    except UserError as error:
        return {"status": FAILED, "kind": USER, "reason": str(error)}
    except Exception as error:
        traceback.print_exc()
        line = " ".join(f"{type(error).__name__}: {error}".split())
        return {"status": FAILED, "kind": CRASH, "reason": line[:1000]}
    return {"status": DONE, "run_dir": run_dir}


def _run(keys: dict[str, Any], expected: str, shared_from: str | None) -> str:
    """Return the folder of the finished run; two processes never work on one run."""
    from pathlib import Path

    from recbole_edt.compare.cell_job import make_job
    from recbole_edt.compare.plan import ComparisonRow
    from recbole_edt.errors import UserError
    from recbole_edt.files import digest
    from recbole_edt.runs import execute

    row = ComparisonRow(keys["model"], keys["model"], {})
    job = make_job(row, keys["dataset"], keys, keys["seed"], row.label)
    if digest(job.settings) != expected:  # else one row would mix two configurations
        raise UserError("configuration: a file changed since the command began; give it again")
    finished = job.finished
    if finished is not None:
        return str(finished)
    source = None if shared_from is None else Path(shared_from)
    return str(execute(job.config, resume=True, wait=True, shared_from=source).folder.path)


def _stop_with_parent() -> None:
    """Interrupt this process when standard input ends."""
    from recbole_edt.platforms import interrupt_this_process

    while os.read(0, 1024):
        pass
    interrupt_this_process()
    time.sleep(GRACE)
    os._exit(130)


def main() -> None:
    """Answer one request and exit: 0 done, 2 bad input, 1 an error of ours, 130 interrupted."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        line = b""
        while not line.endswith(b"\n"):
            block = os.read(0, 65536)
            if not block:
                sys.exit(130)
            line += block
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        answer = answer_to(json.loads(line))
    except KeyboardInterrupt:
        sys.exit(130)
    answers.write(json.dumps(answer) + "\n")
    answers.close()
    sys.exit({None: 0, USER: 2}.get(answer.get("kind"), 1))


if __name__ == "__main__":
    main()
