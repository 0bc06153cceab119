"""``compare.json``: what a comparison consists of and how far it is, for people and the report."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_edt.compare.grid.processes import DONE, Outcome
from recbole_edt.compare.plan import Plan
from recbole_edt.compare.runs import protocol_values
from recbole_edt.errors import UserError
from recbole_edt.files import read_json, write_json

SCHEMA = 1
FILE = "compare.json"


def relative(path: Path, folder: Path) -> str:
    """Return a path as seen from `folder`, so that an output folder may be moved as a whole."""
    return os.path.relpath(path, folder)


class State:
    """The state of a comparison; every change is written at once, whole or not at all.

    Parameters
    ----------
    folder : pathlib.Path
        Where ``compare.json`` is.
    plan : Plan
        What is compared.
    split_hash : str, optional
        The split that all runs share.
    """

    def __init__(self, folder: Path, plan: Plan, split_hash: str | None):
        self.folder = folder
        self._seconds = _known_seconds(folder / FILE)
        rows: list[dict[str, Any]] = [
            {
                "label": row.label,
                "model": row.model,
                "keys": dict(row.keys),
                "tuning": None,
                "cells": [
                    {"seed": s, "status": "waiting", "run_dir": None, "reason": None,
                     "seconds": None}
                    for s in plan.seeds
                ],
            }
            for row in plan.rows
        ]  # fmt: skip
        self.content = {
            "schema": SCHEMA, "dataset": plan.dataset, "split_hash": split_hash,
            "seeds": plan.seeds, "keys": dict(plan.keys), "tune": plan.tune, "rows": rows,
        }  # fmt: skip
        self.rows = {row["label"]: row for row in rows}

    def set_cell(
        self, label: str, seed: int, status: str, outcome: Outcome | None, run_dir: Path | None
    ) -> None:
        """Record a cell's status, and how it ended if it has."""
        cell = next(cell for cell in self.rows[label]["cells"] if cell["seed"] == seed)
        cell["status"] = status
        cell["run_dir"] = relative(run_dir, self.folder) if run_dir else None
        cell["reason"] = outcome.reason if outcome else None
        known = self._seconds.get(cell["run_dir"]) if status == DONE else None
        cell["seconds"] = known if outcome is None or outcome.seconds is None else outcome.seconds
        self.write()

    def set_tuning(self, label: str, summary: Mapping[str, Any]) -> None:
        """Record how far a row's tuning is."""
        self.rows[label]["tuning"] = dict(summary)
        self.write()

    def stop(self) -> None:
        """Record that nothing runs any more."""
        for row in self.rows.values():
            for cell in row["cells"]:
                if cell["status"] == "running":
                    cell["status"] = "waiting"
        self.write()

    def drop_unfinished(self) -> None:
        """Forget cells that nobody is going to run."""
        for row in self.rows.values():
            row["cells"] = [cell for cell in row["cells"] if cell["status"] == DONE]
        self.write()

    def write(self) -> None:
        """Write the file."""
        write_json(self.folder / FILE, self.content)


def _known_seconds(path: Path) -> dict[str, float]:
    """Return the wall times that an earlier process measured, by run folder."""
    try:
        rows = read_json(path)["rows"] if path.is_file() else []
        return {c["run_dir"]: c["seconds"] for row in rows for c in row["cells"] if c["seconds"]}
    except (UserError, KeyError, TypeError):
        return {}  # it is written anew below


class ProtocolCheck:
    """Refuses runs that do not belong in one table, as soon as they are known.

    Parameters
    ----------
    where : str, optional
        What `known` is said to come from.
    known : dict, optional
        What the runs must agree with from the beginning.
    """

    def __init__(self, where: str | None = None, known: Mapping[str, Any] | None = None):
        self.first = [(where, key, value) for key, value in (known or {}).items()]

    def add(self, run_dir: Path) -> None:
        """Compare a finished run with those before it.

        Raises
        ------
        UserError
            Names both and what differs.
        """
        told = protocol_values(read_json(run_dir / "metrics.json"))
        for where, key, value in self.first:
            if told.get(key, value) != value:
                raise UserError(
                    f"{key}: {where} has {value!r}, {run_dir} has {told[key]!r}; "
                    "expected one and the same in a comparison"
                )
        known = {key for _, key, _ in self.first}
        self.first += [(str(run_dir), key, told[key]) for key in told if key not in known]
