"""What a command does with its children: run many of them, stop all."""

import time
from collections.abc import Callable, Collection, Sequence

from recbole_edt.executors.protocol import Child, ChildCall, ChildResult, Executor

POLL = 0.1  # seconds between two looks at the children


def stop(children: Collection[Child]) -> None:
    """Interrupt children, let them clean up, and kill those that do not end."""
    for child in children:
        child.interrupt()
    deadline = time.monotonic() + max((child.grace for child in children), default=0.0)
    try:
        for child in children:
            child.wait(max(0.0, deadline - time.monotonic()))
    finally:  # a second Ctrl-C comes here at once
        for child in children:
            child.kill()


def run_children(
    executor: Executor,
    calls: Sequence[ChildCall],
    on_end: Callable[[int, ChildResult], None] = lambda index, result: None,
) -> list[ChildResult]:
    """Run children, as many at a time as the executor has slots, and return how each ended.

    Parameters
    ----------
    executor : Executor
        Starts them.
    calls : sequence of ChildCall
        What to start, in this order.
    on_end : callable, optional
        Gets the index and the result of each when it ends.
    """
    waiting = list(range(len(calls)))
    running: dict[int, Child] = {}
    results: dict[int, ChildResult] = {}
    try:
        while waiting or running:
            while waiting and len(running) < executor.slots:
                index = waiting.pop(0)
                running[index] = executor.start(calls[index])
            time.sleep(POLL)
            for index, child in list(running.items()):
                result = child.result()
                if result is not None:
                    del running[index]
                    results[index] = result
                    on_end(index, result)
    finally:
        stop(running.values())
    return [results[index] for index in range(len(calls))]
