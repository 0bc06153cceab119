"""The child's end of the conversation: one request, one answer, and the end with the parent.

The parent writes one line of JSON to standard input and keeps it open: its end means that the
parent is gone. The child writes one line of JSON to standard output; all that libraries print
goes to the error stream.
"""

import gc
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from recbole_edt.errors import UserError, one_line
from recbole_edt.executors.answers import CRASH, DONE, FAILED, USER
from recbole_edt.executors.same_code import refuse_differences
from recbole_edt.platforms import interrupt_this_process

GRACE = 10.0  # seconds in which an interrupted child cleans up


def start_code(module: str) -> tuple[str, str]:
    """Return the arguments of Python that run ``main()`` of a module of this package.

    Not -m, which would look for this package in the working directory first.
    """
    start = "import sys; sys.path = [p for p in sys.path if p]; "
    return "-c", f"{start}from {module} import main; main()"


def preload_code(module: str) -> str:
    """Return the Python code that runs ``preload()`` of a module of this package."""
    return f"from {module} import preload; preload()"


def answer_request(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer one request and exit: 0 done, 2 bad input, 1 an error of ours, 130 interrupted.

    Parameters
    ----------
    work : callable
        Takes the request and returns what the answer holds beside its status; it raises
        `UserError` for what the user can change.
    """
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
        answer = _answer(work, json.loads(line))
    except KeyboardInterrupt:
        sys.exit(130)
    answers.write(json.dumps(answer) + "\n")
    answers.close()
    gc.freeze()  # as at the end of a command
    sys.exit({None: 0, USER: 2}.get(answer.get("kind"), 1))


def _answer(
    work: Callable[[dict[str, Any]], dict[str, Any]], request: dict[str, Any]
) -> dict[str, Any]:
    try:
        refuse_differences(request.pop("expects", None))
        return {"status": DONE, **work(request)}
    except UserError as error:
        return {"status": FAILED, "kind": USER, "reason": str(error)}
    except Exception as error:
        traceback.print_exc()
        line = one_line(f"{type(error).__name__}: {error}", 1000)
        return {"status": FAILED, "kind": CRASH, "reason": line}


def _stop_with_parent() -> None:
    """Interrupt this process when standard input ends."""
    while os.read(0, 1024):
        pass
    interrupt_this_process()
    time.sleep(GRACE)
    os._exit(130)
