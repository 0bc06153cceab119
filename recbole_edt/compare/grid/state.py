"""``compare.json``: what a comparison consists of, how far it is, and how its cells ended."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_edt.compare.plan import ComparisonPlan
from recbole_edt.errors import UserError
from recbole_edt.executors import DONE
from recbole_edt.files import exclusive_lock, read_json, write_json

SCHEMA = 1
FILE = "compare.json"
RUNNING, WAITING = "running", "waiting"
"""Beside the words of `recbole_edt.executors` for what has ended."""


@dataclass(frozen=True)
class CellOutcome:
    """How the run of a cell or trial ended.

    Attributes
    ----------
    status : str
        ``done`` or ``failed``.
    run_dir : pathlib.Path, optional
        The run's folder, when it is done.
    reason, kind : str, optional
        Why it failed, in one line, and whether the user can change that (``user``) or the process
        crashed (``crash``).
    seconds : float, optional
        Wall time of its process; None for a run that had been finished before.
    started : bool
        Whether training had begun.
    """

    status: str
    run_dir: Path | None = None
    reason: str | None = None
    kind: str | None = None
    seconds: float | None = None
    started: bool = True


def folder_lock(folder: Path) -> AbstractContextManager[None]:
    """Lock the folder of a comparison or a search for a block; refuse where a process has it."""
    return exclusive_lock(folder / ".lock", f"{folder}: another process is at work on it")


def relative(path: Path, folder: Path) -> str:
    """Return a path relative to `folder`, so that an output folder may be moved as a whole."""
    return os.path.relpath(path, folder)


class ComparisonState:
    """The state of a comparison on disk; every change is written at once, whole or not at all.

    Parameters
    ----------
    folder : pathlib.Path
        Where ``compare.json`` is.
    plan : ComparisonPlan
        What is compared.
    split_hash : str, optional
        The split that all runs share.
    """

    def __init__(self, folder: Path, plan: ComparisonPlan, split_hash: str | None):
        self._folder = folder
        self._seconds = _seconds_on_file(folder / FILE)
        rows = [
            {"label": row.label, "model": row.model, "keys": dict(row.keys), "tuning": None,
             "cells": [{"seed": seed, "status": WAITING, "run_dir": None, "reason": None,
                        "seconds": None} for seed in plan.seeds]}
            for row in plan.rows
        ]  # fmt: skip
        self._content = {
            "schema": SCHEMA, "dataset": plan.dataset, "split_hash": split_hash,
            "seeds": plan.seeds, "keys": dict(plan.keys), "tune": plan.tune, "rows": rows,
        }  # fmt: skip
        self._rows: dict[str, dict[str, Any]] = {str(row["label"]): row for row in rows}

    def set_cell(
        self, label: str, seed: int, status: str, outcome: CellOutcome | None, run_dir: Path | None
    ) -> None:
        """Record a cell's status, and how it ended if it has."""
        cell = next(cell for cell in self._rows[label]["cells"] if cell["seed"] == seed)
        path = relative(run_dir, self._folder) if run_dir else None
        seconds = outcome.seconds if outcome else None
        if seconds is None and status == DONE:  # measured by an earlier process
            seconds = self._seconds.get(path)
        reason = outcome.reason if outcome else None
        cell.update(status=status, run_dir=path, reason=reason, seconds=seconds)
        self._write()

    def set_tuning(self, label: str, summary: Mapping[str, Any]) -> None:
        """Record how far a row's tuning is."""
        self._rows[label]["tuning"] = dict(summary)
        self._write()

    def stop(self) -> None:
        """Record that nothing runs any more."""
        for row in self._rows.values():
            for cell in row["cells"]:
                if cell["status"] == RUNNING:
                    cell["status"] = WAITING
        self._write()

    def drop_unfinished(self) -> None:
        """Remove the cells that are not done: a comparison of finished runs makes none."""
        for row in self._rows.values():
            row["cells"] = [cell for cell in row["cells"] if cell["status"] == DONE]
        self._write()

    def _write(self) -> None:
        write_json(self._folder / FILE, self._content)


def _seconds_on_file(path: Path) -> dict[str | None, float]:
    """Return the wall times that an earlier process measured, by run folder."""
    try:
        rows = read_json(path)["rows"] if path.is_file() else []
        return {c["run_dir"]: c["seconds"] for row in rows for c in row["cells"] if c["seconds"]}
    except (UserError, KeyError, TypeError):
        return {}  # a damaged file is written anew
