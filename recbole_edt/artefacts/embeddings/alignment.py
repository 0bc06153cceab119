"""Rows of a table of vectors for the items of a catalogue, checked, as they are stored."""

import hashlib

import numpy as np
import pandas as pd

from recbole_edt.artefacts.catalogue import Catalogue
from recbole_edt.artefacts.embeddings.vector_table import VectorTable
from recbole_edt.errors import UserError, nearest
from recbole_edt.files import digest

_BLOCK = 1 << 14  # rows that are converted at a time


def rows_of_items(
    table: VectorTable, catalogue: Catalogue, drop_unknown: bool, zero_missing: bool
) -> np.ndarray:
    """Return the row of the table of each item, int64 [N]; -1 without a vector.

    Raises
    ------
    UserError
        For an id that is empty, there twice, or no item; and for items without a vector.
    """
    ids = pd.Series(table.ids, dtype=object)
    empty = np.flatnonzero((ids.str.strip() == "").to_numpy())
    if len(empty):
        raise UserError(f"{table.where(empty[0])}: the id is empty")
    twice = np.flatnonzero(ids.duplicated().to_numpy())
    if len(twice):
        again = table.ids[twice[0]]
        first = table.numbers[table.ids.index(again)]
        raise UserError(
            f"{table.where(twice[0])}: repeats the id {again!r} of {table.row} {first}; "
            "expected one vector per item"
        )
    items = pd.Index(catalogue.ids, dtype=object)
    numbers = items.get_indexer(ids)
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown) == len(ids):
        raise UserError(
            f"{table.where(0)}: the id {table.ids[0]!r} is no item of {catalogue.path}, nor is any "
            f"other; expected ids such as {catalogue.ids[0]!r}"
        )
    if len(unknown) and not drop_unknown:
        bad = table.ids[unknown[0]]
        raise UserError(
            f"{table.where(unknown[0])}: the id {bad!r} is no item of {catalogue.path}"
            f"{nearest(bad, catalogue.ids)}{_others(len(unknown))}; "
            "--unknown_items=drop leaves them out"
        )
    rows = np.full(len(items), -1)
    known = np.flatnonzero(numbers >= 0)
    rows[numbers[known]] = known
    missing = np.flatnonzero(rows < 0)
    if len(missing) and not zero_missing:
        raise UserError(
            f"{table.ids_path}: no vector of {len(missing)} of the {len(items)} items of "
            f"{catalogue.path}, the first is {catalogue.ids[missing[0]]!r}; --missing_items=zero "
            "gives them zeros"
        )
    return rows


def _others(count: int) -> str:
    return f", nor are {count - 1:,} other ids" if count > 1 else ""


def stored_vectors(table: VectorTable, rows: np.ndarray) -> np.ndarray:
    """Return the vectors of items as they are stored, float16 [N, m], zeros for row -1.

    Raises
    ------
    UserError
        For a vector that is not finite, too large for float16, or lost in it.
    """
    stored = np.zeros((len(rows), table.vectors.shape[1]), np.float16)
    for start in range(0, len(rows), _BLOCK):
        here = rows[start : start + _BLOCK]
        items, given = np.flatnonzero(here >= 0), here[here >= 0]
        vectors = table.vectors[given]
        with np.errstate(over="ignore"):
            rounded = vectors.astype(np.float16)
        _check(table, given, vectors, rounded)
        stored[start + items] = rounded
    return stored


def _check(table: VectorTable, rows: np.ndarray, given: np.ndarray, rounded: np.ndarray) -> None:
    for bad, what in (
        (~np.isfinite(given).all(axis=1), "holds a number that is not finite"),
        (~np.isfinite(rounded).all(axis=1), "holds a number above 65,504, the largest of float16"),
        (given.any(axis=1) & ~rounded.any(axis=1), "is so small that float16 makes it zero"),
    ):
        if bad.any():
            row = int(rows[int(np.argmax(bad))])
            raise UserError(
                f"{table.where(row)}: the vector of {table.ids[row]!r} in {table.path} {what}"
            )


def vectors_digest(ids: list[str], vectors: np.ndarray) -> str:
    """Return 12 hex digits over ids and vectors, the same from every format of file."""
    hasher = hashlib.sha256(digest([ids, list(vectors.shape)]).encode())
    hasher.update(np.ascontiguousarray(vectors, dtype="<f2").data)
    return hasher.hexdigest()[:12]
