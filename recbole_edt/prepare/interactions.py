"""Interactions as integer codes in a table of the engine."""

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.prepare.engine import Engine


class Interactions:
    """Every interaction as the codes of its user and item, and its time.

    Table `inter` has the columns `row` (number in reading order), `user`, `item` (position in
    the catalogue) and `time` (seconds or positions); table `users` has each user's `code` and
    `key`, the id. Codes of users are in order of first appearance, from 0, possibly with gaps.

    Parameters
    ----------
    engine : Engine
        Holds both tables.

    Attributes
    ----------
    gaps : bool
        Whether there may be users without a row, and so gaps between the codes.
    """

    def __init__(self, engine: Engine, gaps: bool) -> None:
        self.engine, self.gaps = engine, gaps
        self._counts: np.ndarray | None = None

    @classmethod
    def encode(
        cls, engine: Engine, item_ids: pd.Series | pd.Index, keep: str = "TRUE"
    ) -> "Interactions":
        """Turn table `raw` (`user`, `item`: text or whole numbers, `time`) into codes and drop it.

        Rows keep their number. The code of an item that is not among `item_ids` is -1. Only rows
        for which `keep`, a condition of SQL, holds are taken.
        """
        engine.load("catalogue", pd.DataFrame({"id": item_ids, "code": np.arange(len(item_ids))}))
        engine.run(
            "CREATE TABLE users AS SELECT key, "
            "(row_number() OVER (ORDER BY first) - 1)::INTEGER AS code "
            "FROM (SELECT user AS key, min(rowid) AS first FROM raw "
            f"WHERE {keep} GROUP BY user)"
        )
        engine.run(
            "CREATE TABLE inter AS SELECT raw.rowid AS row, users.code AS user, "
            "coalesce(catalogue.code, -1)::INTEGER AS item, time FROM raw "
            "JOIN users ON raw.user = users.key LEFT JOIN catalogue ON raw.item = catalogue.id "
            f"WHERE {keep}"
        )
        engine.run("DROP TABLE raw")
        engine.run("DROP TABLE catalogue")
        return cls(engine, gaps=False)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, engine: Engine | None = None) -> "Interactions":
        """Copy what `recbole_edt.prepare.raw.make_inter` returns into an engine."""
        engine = engine or Engine()
        users = frame[fields.USER].cat.categories
        codes = np.arange(len(users), dtype=np.int32)
        engine.load("users", pd.DataFrame({"key": np.asarray(users, dtype=object), "code": codes}))
        engine.load(
            "inter",
            pd.DataFrame(
                {
                    "row": np.arange(len(frame)),
                    "user": frame[fields.USER].cat.codes.to_numpy(np.int32),
                    "item": frame[fields.ITEM].cat.codes.to_numpy(np.int32),
                    "time": frame[fields.TIME].to_numpy(np.float64),
                }
            ),
        )
        return cls(engine, gaps=True)

    def __len__(self) -> int:
        return int(self.engine.row("SELECT count(*) FROM inter")[0])

    def frame(self, items: pd.DataFrame) -> pd.DataFrame:
        """Return all rows as ids in memory, in reading order; for small data.

        Parameters
        ----------
        items : pandas.DataFrame
            The catalogue; its index holds the codes.
        """
        rows = self.engine.frame(
            f"SELECT key::VARCHAR AS {fields.USER}, item AS {fields.ITEM}, time AS {fields.TIME} "
            "FROM inter JOIN users ON code = user ORDER BY row"
        )
        ids = items[fields.ITEM].loc[rows[fields.ITEM]].to_numpy()
        return rows.assign(**{fields.ITEM: ids})

    def item_counts(self, n_items: int) -> np.ndarray:
        """Return the number of interactions of each item, int64, shape [n_items]."""
        if self._counts is None:
            found = self.engine.arrays("SELECT item, count(*) AS n FROM inter GROUP BY item")
            self._counts = np.zeros(n_items, dtype=np.int64)
            self._counts[np.asarray(found["item"])] = found["n"]
        return self._counts

    def delete(self, condition: str) -> int:
        """Delete the rows for which a condition of SQL holds; return how many they were."""
        count = int(self.engine.row(f"DELETE FROM inter WHERE {condition}")[0])
        if count:
            self.gaps, self._counts = True, None
        return count
