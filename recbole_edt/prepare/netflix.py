"""Reader of the Netflix Prize data: two domains, series and films, by the title."""

import argparse
import datetime
import re
from pathlib import Path

import duckdb
import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.engine import Engine, literal
from recbole_edt.prepare.interactions import Interactions
from recbole_edt.prepare.raw import RawData
from recbole_edt.prepare.reader import Flag, Reader
from recbole_edt.prepare.source import open_source

SERIES = (
    r": (The )?(Complete |First |Second |Third |Fourth |Fifth |Final )?(Season|Series)\b"
    r"|: (Vol\.|Volume|Disc|Episode|Part) ?\d+|\b(Miniseries|TV Series)\b"
)
"""Titles that this expression fits are series, all others films [ours]."""

_TITLES = "movie_titles.csv"
_MOVIE = r"^[0-9]+:$"
_FLAGS = (
    Flag("raw", None, "folder of combined_data_*.txt and movie_titles.csv (required)",
         {"metavar": "DIR"}),
    Flag("series", SERIES, f"expression that the titles of series fit (default: {SERIES})",
         {"metavar": "REGEX"}),
    Flag("min_rating", None, "drop lower ratings (default: keep all)",
         {"type": float, "metavar": "R"}),
)  # fmt: skip


def read(options: argparse.Namespace) -> RawData:
    """Read the ratings and titles of the folder.

    Raises
    ------
    UserError
        For missing files, ratings before the line of their movie (``ID:``), a malformed line,
        and a movie without a title.
    """
    if options.raw is None:
        raise UserError("prepare netflix: --raw=DIR is required")
    try:
        series = re.compile(options.series)
    except re.error as error:
        raise UserError(f"series: '{options.series}' is no regular expression ({error})") from None
    folder, engine = Path(options.raw), options.engine
    paths = sorted(folder.glob("combined_data_*.txt"))
    if not paths:
        raise UserError(f"{folder}: no combined_data_*.txt; expected the files of Netflix Prize")
    items = _read_titles(folder / _TITLES, series)
    engine.run("CREATE OR REPLACE TABLE raw (user INTEGER, item INTEGER, time DOUBLE)")
    low = 0
    for path in paths:
        low += _load_ratings(engine, path, options.min_rating)
    rows = engine.row("SELECT count(*) FROM raw")[0]
    notes: dict[str, int | str] = {"ratings read": rows + low, "titles read": len(items)}
    if options.min_rating is not None:
        notes[f"ratings below {options.min_rating:g} dropped"] = low
    missing = engine.row(
        "SELECT min(item) FROM raw WHERE item NOT IN "
        f"({', '.join(items[fields.ITEM])})"
    )[0]  # fmt: skip
    if missing is not None:
        raise UserError(f"{folder / _TITLES}: no line of movie {missing}, which has ratings")
    inter = Interactions.encode(engine, items[fields.ITEM].astype("int32"))
    return RawData(inter, items, [*paths, folder / _TITLES], notes)


def _read_titles(path: Path, series: re.Pattern[str]) -> pd.DataFrame:
    """Read ``ID,YEAR,TITLE`` in Latin-1; only the first two commas separate."""
    rows = []
    with open_source(path) as stream:
        for number, line in enumerate(stream, 1):
            text = line.decode("latin-1").rstrip("\r\n")
            if not text:
                continue
            movie, _, rest = text.partition(",")
            year, comma, title = rest.partition(",")
            if not (movie.isascii() and movie.isdigit() and comma):
                raise UserError(
                    f"{path}: line {number}: found '{text[:60]}', expected ID,YEAR,TITLE"
                )
            dated = f"{title} ({year})" if year.isdigit() else title
            rows.append((str(int(movie)), "series" if series.search(title) else "films", dated))
    table = pd.DataFrame(rows, columns=[fields.ITEM, fields.DOMAIN, fields.TITLE])
    if table[fields.ITEM].duplicated().any():
        twice = table[fields.ITEM][table[fields.ITEM].duplicated()].iloc[0]
        raise UserError(f"{path}: movie {twice} is listed twice; expected once")
    return table


def _load_ratings(engine: Engine, path: Path, min_rating: float | None) -> int:
    """Append the ratings of one file to `raw`; return how many were rated too low."""
    try:
        engine.run(
            "CREATE OR REPLACE TABLE lines AS SELECT a, try_cast(a AS INTEGER) AS user, "
            "try_cast(b AS FLOAT) AS rating, try_cast(c AS DATE) AS day, b IS NULL AS movie "
            f"FROM read_csv({literal(path)}, auto_detect = false, header = false, delim = ',', "
            "quote = '', escape = '', comment = '', null_padding = true, compression = 'none', "
            "columns = {'a': 'VARCHAR', 'b': 'VARCHAR', 'c': 'VARCHAR'})"
        )
    except duckdb.Error:
        _refuse_line(path)
        raise
    bad = engine.row(
        f"SELECT count(*) FROM lines WHERE CASE WHEN movie THEN NOT regexp_matches(a, '{_MOVIE}') "
        "ELSE user IS NULL OR rating IS NULL OR day IS NULL END"
    )[0]
    first = engine.rows("SELECT movie FROM lines WHERE rowid = 0")
    if bad or not first or not first[0][0]:
        _refuse_line(path)
    engine.run(
        "CREATE OR REPLACE TABLE movies AS SELECT row_number() OVER (ORDER BY rowid) AS number, "
        "rtrim(a, ':')::INTEGER AS item FROM lines WHERE movie"
    )
    engine.run("ALTER TABLE lines DROP COLUMN a")
    low = "FALSE" if min_rating is None else f"rating < {min_rating!r}"
    dropped = engine.row(f"SELECT count(*) FROM lines WHERE NOT movie AND {low}")[0]
    engine.run(
        "INSERT INTO raw SELECT user, item, epoch(day) FROM (SELECT user, rating, day, movie, "
        "sum(movie::INTEGER) OVER (ROWS UNBOUNDED PRECEDING) AS number FROM lines) "
        f"JOIN movies USING (number) WHERE NOT movie AND NOT ({low})"
    )
    engine.run("DROP TABLE lines")
    engine.run("DROP TABLE movies")
    return int(dropped)


def _refuse_line(path: Path) -> None:
    """Raise `UserError` about the first malformed line, found by reading the file in Python."""
    movie = False
    with open_source(path) as stream:
        for number, line in enumerate(stream, 1):
            text = line.decode("latin-1").strip()
            if re.match(_MOVIE, text):
                movie = True
                continue
            if not text:
                continue
            if not movie:
                raise UserError(
                    f"{path}: line {number}: found '{text[:60]}' before the line of its movie, "
                    "expected ID:"
                )
            if not _is_rating(text):
                raise UserError(
                    f"{path}: line {number}: found '{text[:60]}', expected USER,RATING,YYYY-MM-DD "
                    "or ID:"
                )
    raise UserError(f"{path}: holds no ratings")


def _is_rating(text: str) -> bool:
    try:
        user, rating, day = text.split(",")
        datetime.date.fromisoformat(day)
        return float(rating) > 0 and 0 <= int(user) < 2**31
    except ValueError:
        return False


READER = Reader(
    "Reader of the Netflix Prize data: two domains, series and films, by the title.", _FLAGS, read
)
