"""The order of the rows of ``NAME.inter``: by user, by time, then by a written-down tie rule."""

import numpy as np
import pandas as pd

from recbole_edt.prepare.interactions import Interactions

TIES = ("file", "shuffle")
_CHUNK = 4_000_000


def sort_interactions(inter: Interactions, ties: str, seed: int, keep_rows: bool = False) -> None:
    """Sort the interactions by user and exact (float64) time into the table `sorted`.

    Users are in numeric order when every id is a whole number, else in order of first
    appearance in the raw data. RecBole casts times to float32 and then sorts stably, so rows
    that are in exact order keep it. The rows of `sorted` have `user`, `item` and `time`, and are
    stored in that order; `users` holds the users that have a row, their codes in order.

    Parameters
    ----------
    inter : Interactions
        What is left after the filters.
    ties : str
        Equal times of one user: ``file`` keeps the reading order, ``shuffle`` draws one order.
    seed : int
        Of the draw.
    keep_rows : bool
        Whether `sorted` also has `row`, the number in reading order; without ``shuffle`` only.
    """
    engine = inter.engine
    if inter.gaps:
        engine.run(
            "CREATE OR REPLACE TABLE users AS SELECT key, code FROM users "
            "SEMI JOIN inter ON users.code = inter.user"
        )
    whole = "regexp_full_match(key::VARCHAR, '[0-9]{1,18}')"
    numeric = engine.row(f"SELECT bool_and({whole}) FROM users")[0]
    renumbered = numeric or inter.gaps
    place = "key::BIGINT, code" if numeric else "code"
    code = f"(row_number() OVER (ORDER BY {place}) - 1)::INTEGER" if renumbered else "code"
    engine.run(
        "CREATE OR REPLACE TABLE users AS "
        f"SELECT key::VARCHAR AS id, code AS old, {code} AS code FROM users"
    )
    rows = "inter"
    if ties == "shuffle":
        _draw(inter, seed)
        rows = "(SELECT user, item, time, key AS row FROM reading POSITIONAL JOIN draws)"
    if renumbered:
        rows = (
            "(SELECT users.code AS user, item, time, row "
            f"FROM {rows} AS rows JOIN users ON rows.user = users.old)"
        )
    kept = ", row" if keep_rows else ""
    engine.run(
        f"CREATE OR REPLACE TABLE sorted AS SELECT user, item, time{kept} FROM {rows} AS rows "
        "ORDER BY user, time, row"
    )
    for table in ("inter", "reading", "draws"):
        engine.run(f"DROP TABLE IF EXISTS {table}")


def _draw(inter: Interactions, seed: int) -> None:
    """Draw one number per row in reading order, in chunks: the stream is that of one draw."""
    engine, rng = inter.engine, np.random.default_rng(seed)
    engine.run("CREATE TABLE reading AS SELECT user, item, time FROM inter ORDER BY row")
    engine.run("CREATE TABLE draws (key DOUBLE)")
    n_rows = len(inter)
    for start in range(0, n_rows, _CHUNK):
        keys = rng.random(min(_CHUNK, n_rows - start))
        engine.load("draws", pd.DataFrame({"key": keys}), append=True)
