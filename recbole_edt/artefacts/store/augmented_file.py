"""The file of the augmented interactions in a set: written once, checked whenever it is read."""

import csv
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.files import replacing, sha256_of

ROWS = "augmented.inter"
NAMES = (ROWS,)
REQUIRED = {"sha256"}
"""Keys of the manifest's entry; ``sha256`` is what `save_augmented` returns."""

ANCHOR, SCORE, MODE = "anchor_item", "score", "mode"
_KINDS = {
    fields.USER: "token",
    fields.ITEM: "token",
    fields.TIME: "float",
    fields.DOMAIN: "token",
    ANCHOR: "token",
    SCORE: "float",
    MODE: "token",
}
COLUMNS = tuple(_KINDS)
_HEADER = [f"{name}:{kind}" for name, kind in _KINDS.items()]


def save_augmented(folder: Path, rows: pd.DataFrame) -> dict[str, str]:
    """Write augmented interactions in their order and return the hash of the file.

    Parameters
    ----------
    folder : pathlib.Path
        Of the set.
    rows : pandas.DataFrame
        The columns `COLUMNS`; times are written exactly, scores to six digits.
    """
    written = rows.loc[:, list(COLUMNS)].copy()
    exact = [np.format_float_positional(time, trim="-") for time in rows[fields.TIME]]
    written[fields.TIME] = exact
    written[SCORE] = [f"{score:.6g}" for score in rows[SCORE]]
    with (
        replacing(folder / ROWS) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        file.write("\t".join(_HEADER) + "\n")
        file.writelines("\t".join(row) + "\n" for row in written.itertuples(index=False, name=None))
    return {ROWS: sha256_of(folder / ROWS)}


def read_augmented(
    folder: Path,
    entry: Mapping[str, Any],
    users: Collection[str] | None = None,
    item_domains: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return the augmented interactions; see `ArtefactSet.augmented`."""
    path = folder / ROWS
    try:
        frame = pd.read_csv(
            path,
            sep="\t",
            dtype=str,
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            encoding="utf-8",
        )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    if list(frame.columns) != _HEADER:
        raise UserError(f"{path}: line 1 is {list(frame.columns)}, expected {_HEADER}")
    frame.columns = pd.Index(COLUMNS)
    frame = frame.fillna("")  # what a short line lacks at its end
    for column in COLUMNS:
        if _KINDS[column] == "float":
            numbers = pd.to_numeric(frame[column], errors="coerce").astype(np.float64)
            _refuse(path, frame, column, ~np.isfinite(numbers.to_numpy()), "a finite number")
            frame[column] = numbers
        else:
            _refuse(path, frame, column, (frame[column] == "").to_numpy(), "a token")
    if users is not None:
        known = frame[fields.USER].isin(list(users))
        _refuse(path, frame, fields.USER, ~known.to_numpy(), "a user of the dataset")
    if item_domains is not None:
        for column in (fields.ITEM, ANCHOR):
            known = frame[column].isin(list(item_domains))
            _refuse(path, frame, column, ~known.to_numpy(), "an item of the dataset")
        right = frame[fields.ITEM].map(item_domains) == frame[fields.DOMAIN]
        _refuse(path, frame, fields.DOMAIN, ~right.to_numpy(), "the domain of its item")
    repeated = frame.duplicated([fields.USER, fields.ITEM]).to_numpy()
    _refuse(path, frame, fields.ITEM, repeated, "each item once per user")
    if entry["sha256"].get(ROWS) != sha256_of(path):
        raise UserError(f"{path}: has changed since it was made; delete the folder to make it anew")
    return frame


def _refuse(path: Path, frame: pd.DataFrame, column: str, bad: np.ndarray, expected: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise UserError(
            f"{path}: line {row + 2}: {column} {frame[column].iloc[row]!r}, expected {expected}"
        )
