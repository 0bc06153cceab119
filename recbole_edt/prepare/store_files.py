"""The columnar store of a dataset that was just prepared, from the engine's tables."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.data.store import NumberedTokens, write_columns
from recbole_edt.prepare.engine import Engine

_CHUNK = 1 << 20


def write_store(engine: Engine, items: pd.DataFrame, sha256: str, folder: Path) -> None:
    """Write what `recbole_edt.data.store` would build from ``NAME.inter``, without reading it.

    Parameters
    ----------
    engine : Engine
        With the tables `sorted`, `users`, whose codes are in the order of the file, and
        `catalogue`.
    items : pandas.DataFrame
        The catalogue; its index holds the codes.
    sha256 : str
        Digest of ``NAME.inter``.
    folder : pathlib.Path
        Where to.
    """
    per_user = engine.arrays("SELECT count(*) AS n FROM sorted GROUP BY user ORDER BY user")["n"]
    order = engine.arrays("SELECT code FROM users ORDER BY id")["code"]
    users = NumberedTokens(len(per_user), _users(engine, len(per_user)), order)
    named = engine.arrays("SELECT item FROM sorted GROUP BY item ORDER BY min(rowid)")["item"]
    ids = items.loc[named, fields.ITEM].to_numpy(object)
    numbers = np.zeros(int(items.index.max()) + 1, dtype=np.int32)
    numbers[named] = np.arange(1, len(named) + 1)
    by_id = numbers[engine.arrays("SELECT code FROM catalogue ORDER BY id")["code"]]
    catalogue = NumberedTokens(len(ids), [ids], by_id[by_id > 0] - 1)  # 0: without a row
    rows = _rows(engine, int(per_user.sum()), numbers)
    write_columns(folder, sha256, users, catalogue, per_user, rows, in_order=True)


def _users(engine: Engine, count: int) -> Iterator[np.ndarray]:
    for start in range(0, count, _CHUNK):
        among = f"code >= {start} AND code < {start + _CHUNK}"
        yield engine.arrays(f"SELECT id FROM users WHERE {among} ORDER BY code")["id"]


def _rows(engine: Engine, count: int, numbers: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, count, _CHUNK):
        among = f"rowid >= {start} AND rowid < {start + _CHUNK}"
        rows = engine.arrays(f"SELECT user, item, time FROM sorted WHERE {among}")
        yield {"users": rows["user"] + 1, "items": numbers[rows["item"]], "times": rows["time"]}
