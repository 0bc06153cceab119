"""The parent's end of the conversation: what a child's answer, or its silence, means."""

import json
import signal
from pathlib import Path
from typing import Any

from recbole_edt.executors.protocol import ChildResult

DONE, FAILED = "done", "failed"
USER, CRASH = "user", "crash"  # what a failure comes from: input that the user can change, a bug


def read_answer(result: ChildResult, log: Path) -> dict[str, Any]:
    """Return the answer of a child that ended.

    Parameters
    ----------
    result : ChildResult
        How it ended.
    log : pathlib.Path
        Where its messages are.

    Returns
    -------
    dict
        ``status`` (`DONE` or `FAILED`); of a failure ``kind`` (`USER` or `CRASH`) and ``reason``,
        one line that names the log of a crash; else what the child answered.
    """
    try:
        answer: dict[str, Any] = json.loads(result.output)
    except ValueError:
        answer = {"status": FAILED, "kind": CRASH, "reason": _last_message(result, log)}
    if answer["status"] == FAILED and answer["kind"] == CRASH:
        answer["reason"] = f"{answer['reason']} (see {log})"
    return answer


def _last_message(result: ChildResult, log: Path) -> str:
    if result.status is None:
        return result.problem or "its machine was lost"
    if result.status < 0:
        name = signal.Signals(-result.status).name
        killed = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return f"killed by {name}{killed}"
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        lines = []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
    return f"ended with status {result.status}: {last[:500]}"
