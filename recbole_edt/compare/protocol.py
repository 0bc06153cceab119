"""What the runs of one table must have in common: how they were evaluated, and on what."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_edt.errors import UserError
from recbole_edt.runs import RunRecord


def refuse_difference(
    key: str, first: object, ours: object, second: object, theirs: object
) -> None:
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

    def add(self, run_dir: Path, record: RunRecord) -> None:
        """Compare a finished run with those before it.

        Raises
        ------
        UserError
            Names both and what differs.
        """
        common = {"dataset": record.dataset, "domains": list(record.test.domains)}
        for key, value in {**common, **record.protocol.compared()}.items():
            source, known = self._first.setdefault(key, (str(run_dir), value))
            refuse_difference(key, source, known, run_dir, value)
