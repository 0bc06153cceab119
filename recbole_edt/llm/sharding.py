"""Sharding by user id: the share of the questions that a process or machine asks."""

import hashlib
import os
from dataclasses import dataclass

from recbole_edt.errors import UserError


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of the work, numbered from 0."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise UserError(
                f"shard: part {self.index} of {self.count}; expected parts from 0 to count - 1"
            )

    def holds(self, key: str) -> bool:
        """Whether the work named `key` (a user's id, say) belongs to this part.

        It goes by a hash, so that it is the same in every process and every run.
        """
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        return number % self.count == self.index


def parse_shard(text: str) -> Shard:
    """Read ``I/N``: part I, counted from 0, of N.

    Raises
    ------
    UserError
        When it is not of that form, or I is not below N.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise UserError(f"shard: {text!r}, expected I/N, such as 0/4 for the first of four parts")
    return Shard(int(index), int(count))


def shard_from_environment() -> Shard:
    """Return the part that ``RANK`` and ``WORLD_SIZE`` name; all of the work without them.

    Raises
    ------
    UserError
        When only one of them is set, or they are not numbers that fit.
    """
    values = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE")}
    if all(value is None for value in values.values()):
        return Shard()
    for name, value in values.items():
        if value is None or not value.isdecimal():
            found = "missing" if value is None else repr(value)
            raise UserError(f"{name}: {found}; expected a number (RANK and WORLD_SIZE together)")
    return Shard(int(values["RANK"] or 0), int(values["WORLD_SIZE"] or 1))
