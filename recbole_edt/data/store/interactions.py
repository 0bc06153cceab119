"""All interactions of a dataset as memory-mapped columns, sorted by user and time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_edt.data.store.columns import DamagedStoreError, map_column
from recbole_edt.data.store.vocabulary import Vocabulary
from recbole_edt.errors import UserError
from recbole_edt.files import read_json

SCHEMA = 1
"""Version of the store's files; a store of another one is built again."""

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Interactions:
    """The rows of ``NAME.inter``, sorted by user and exact time, equal times in file order.

    Users and items are numbered from 1 in the order in which the file first names them, as
    RecBole numbers them; 0 is padding. R rows, U users, I items. All arrays are read-only.

    Attributes
    ----------
    sha256 : str
        Hex digest of the file.
    users, items : numpy.ndarray
        Number of each row's user and item, int32 [R].
    times : numpy.ndarray
        Timestamp, float64 [R].
    starts : numpy.ndarray
        First row of each user number, int64 [U + 2]; user u has ``starts[u]:starts[u + 1]``.
    file_rows : numpy.ndarray or None
        Row of the file of each row, int64 [R]; None where the file is sorted already.
    user_vocabulary, item_vocabulary : Vocabulary
        The tokens.

    Examples
    --------
    A file with the rows (zoe, x, 5), (ann, y, 1), (zoe, y, 2)::

        users      [1, 1, 2]     zoe is named first
        items      [2, 1, 2]
        times      [2, 5, 1]
        starts     [0, 0, 2, 3]
        file_rows  [2, 0, 1]
    """

    sha256: str
    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    starts: np.ndarray
    file_rows: np.ndarray | None
    user_vocabulary: Vocabulary
    item_vocabulary: Vocabulary

    @classmethod
    def open(cls, folder: Path) -> "Interactions":
        """Map the files of a store.

        Raises
        ------
        DamagedStoreError
            When a file is missing, cut short or of another version.
        """
        try:
            manifest: dict[str, Any] = read_json(folder / MANIFEST)
            if manifest["schema"] != SCHEMA:
                raise DamagedStoreError(f"{folder}: version {manifest['schema']}, not {SCHEMA}")
            rows, is_sorted = int(manifest["rows"]), bool(manifest["is_sorted"])
            users, items = ((int(manifest[k]["count"]), int(manifest[k]["bytes"]))
                            for k in ("users", "items"))  # fmt: skip
            digest = str(manifest["inter_sha256"])
        except (UserError, KeyError, TypeError, ValueError, OSError) as error:
            raise DamagedStoreError(f"{folder / MANIFEST}: {error}") from None
        return cls(
            digest,
            map_column(folder / "users.npy", np.int32, rows),
            map_column(folder / "items.npy", np.int32, rows),
            map_column(folder / "times.npy", np.float64, rows),
            map_column(folder / "starts.npy", np.int64, users[0] + 2),
            None if is_sorted else map_column(folder / "file_rows.npy", np.int64, rows),
            Vocabulary.open(folder / "user_tokens", *users),
            Vocabulary.open(folder / "item_tokens", *items),
        )

    def __len__(self) -> int:
        return len(self.users)

    def from_file_order(self, values: np.ndarray) -> np.ndarray:
        """Return values per row of the file in the order of the store; `values` if they are."""
        return values if self.file_rows is None else values[self.file_rows]

    def to_file_order(self, values: np.ndarray) -> np.ndarray:
        """Return values per row of the store in the order of the file."""
        if self.file_rows is None:
            return values
        result = np.empty_like(values)
        result[self.file_rows] = values
        return result

    def lines(self, rows: np.ndarray) -> np.ndarray:
        """Return the line of the file that holds each of some rows."""
        return (rows if self.file_rows is None else self.file_rows[rows]) + 2
