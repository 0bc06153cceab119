"""What the runs of one table must have in common: how they were evaluated, and on what."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_edt.errors import UserError

PROTOCOL = ("split", "split_hash", "items_hash", "candidates", "sampled", "sampled_hash")
"""Entries of ``protocol`` in ``metrics.json`` that the runs of one table share."""


def protocol_values(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `PROTOCOL` that a run has; older ones have no ``items_hash``."""
    protocol = metrics["protocol"]
    keys = [key for key in PROTOCOL if key != "items_hash" or key in protocol]
    return {key: protocol.get(key) for key in keys}


def refuse_difference(key: str, first: object, ours: object, second: object, theirs: object) -> None:
    """Raise a UserError that names both sources when their values differ."""
    if ours != theirs:
        raise UserError(
            f"{key}: {first} has {ours!r}, {second} has {theirs!r}; "
            "expected one and the same in a comparison"
        )


class ProtocolCheck:
    """Refuses runs that do not belong in one table, as soon as they are known.

    Parameters
    ----------
    source : str
        Where `known` comes from, for messages.
    known : dict, optional
        What the runs must agree with from the beginning.
    """

    def __init__(self, source: str = "", known: Mapping[str, Any] | None = None):
        self._first = {key: (source, value) for key, value in (known or {}).items()}

    @property
    def values(self) -> dict[str, Any]:
        """What all runs so far have in common."""
        return {key: value for key, (_, value) in self._first.items()}

    def add(self, run_dir: Path, metrics: Mapping[str, Any]) -> None:
        """Compare a finished run with those before it.

        Raises
        ------
        UserError
            Names both and what differs.
        """
        domains = list(metrics["test"]["domains"])
        values = {"dataset": metrics["dataset"], "domains": domains, **protocol_values(metrics)}
        for key, value in values.items():
            source, known = self._first.setdefault(key, (str(run_dir), value))
            refuse_difference(key, source, known, run_dir, value)
