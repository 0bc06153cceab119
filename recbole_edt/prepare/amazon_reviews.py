"""Reviews of an Amazon dump in the engine; the first line shows the release."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_edt.errors import UserError
from recbole_edt.files import is_number
from recbole_edt.prepare.amazon_lines import loads, parse_object, reason
from recbole_edt.prepare.engine import Engine, literal
from recbole_edt.prepare.source import is_gzipped, open_source

VERSIONS = ("2014", "2018", "2023")
_OLD_KEYS = ("reviewerID", "asin", "overall", "unixReviewTime")
_NEW_KEYS = ("user_id", "parent_asin", "rating", "timestamp")
# the order of the columns of ratings-only files; those of 2023 have a header
_RATING_COLUMNS = {"2014": (0, 1, 2, 3), "2018": (1, 0, 2, 3), "2023": (0, 1, 2, 3)}
_MAX_TIME = 1e18
_CHUNK_ROWS = 500_000


@dataclass(frozen=True)
class Layout:
    """How one dump writes a review.

    Attributes
    ----------
    name : str
        Release and kind of the file, in words.
    parse : callable
        Turns a line into user, item, rating and time.
    source : str
        The dump as a table of DuckDB with the texts `user`, `item`, `rating` and `time`, each
        as in the file; ``{path}`` and ``{compression}`` are filled in.
    ticks : int
        Units of the time in a second.
    header : bool
        Whether the first line is no review.
    quoted : bool
        Whether users and items are texts of JSON.
    """

    name: str
    parse: Callable[[bytes], tuple[Any, Any, Any, Any]]
    source: str
    ticks: int = 1
    header: bool = False
    quoted: bool = False


def detect(path: Path, version: str | None) -> Layout:
    """Return a dump's layout, read from its first line.

    Raises
    ------
    UserError
        When the line is of no known layout or of another release than `version`, or when a
        ratings file without header could be of two releases.
    """
    with open_source(path) as stream:
        line = stream.readline()
    if not line.strip():
        raise UserError(f"{path}: the first line is empty; expected a review")
    if not line.lstrip().startswith(b"{"):
        return _detect_ratings(path, line, version)
    row = parse_object(path, 1, line)
    if all(key in row for key in _NEW_KEYS):
        release, keys, ticks = "2023", _NEW_KEYS, 1000
    elif all(key in row for key in _OLD_KEYS):
        release, keys, ticks = ("2014" if "helpful" in row else "2018"), _OLD_KEYS, 1
    else:
        raise UserError(
            f"{path}: line 1 has the keys {', '.join(map(str, row))}; expected "
            f"{', '.join(_OLD_KEYS)} (2014, 2018) or {', '.join(_NEW_KEYS)} (2023)"
        )
    if version is not None and (version == "2023") != (release == "2023"):
        raise UserError(f"{path}: line 1 is of the {release} release; expected {version}")
    user, item, rating, time = keys

    def parse(line: bytes) -> tuple[Any, Any, Any, Any]:
        row = loads(line)
        return row[user], row[item], row.get(rating), row[time]

    types = ", ".join(f"'{key}': 'JSON'" for key in keys)
    source = (
        f"(SELECT {user} AS user, {item} AS item, {rating} AS rating, {time} AS time FROM "
        "read_json({path}, format = 'newline_delimited', compression = '{compression}', "
        f"columns = {{{{{types}}}}}))"
    )
    return Layout(f"{version or release} release", parse, source, ticks, quoted=True)


def load_reviews(
    engine: Engine, dumps: Sequence[tuple[Path, Layout]], min_rating: float | None
) -> list[tuple[int, int]]:
    """Read dumps into a new table `raw`: `user`, `item`, `time`, `domain` (number of the dump).

    DuckDB reads all dumps at once. What it objects to goes to Python, which names the line, or
    reads it (dumps of 2014 may hold Python's literals instead of JSON).

    Parameters
    ----------
    engine : Engine
        Gets the table.
    dumps : sequence of tuple
        Each dump, plain or gzipped, and what `detect` returned.
    min_rating : float or None
        Lower ratings are left out and counted.

    Returns
    -------
    list of tuple
        How many reviews each dump has, and how many of them are rated too low.

    Raises
    ------
    UserError
        For the first malformed line.
    """
    tables = ["raw", *(f"reviews_{domain}" for domain in range(1, len(dumps)))]
    for table in tables:
        engine.run(
            f"CREATE OR REPLACE TABLE {table} "
            "(user VARCHAR, item VARCHAR, time DOUBLE, domain SMALLINT)"
        )
    errors = engine.run_at_once(
        [
            f"INSERT INTO {table} {_reviews(path, layout, domain, min_rating)}"
            for domain, (table, (path, layout)) in enumerate(zip(tables, dumps, strict=True))
        ]
    )
    counts = []
    for domain, (table, (path, layout)) in enumerate(zip(tables, dumps, strict=True)):
        if domain:
            engine.run(f"INSERT INTO raw SELECT * FROM {table}")
            engine.run(f"DROP TABLE {table}")
        counted = None if errors[domain] else _checked(engine, layout, domain)
        counts.append(counted or _load_exact(engine, path, layout, domain, min_rating))
    return counts


def _reviews(path: Path, layout: Layout, domain: int, min_rating: float | None) -> str:
    """Return the query of a dump's reviews.

    A malformed review has no time, and one that is rated too low no domain.
    """
    source = layout.source.format(
        path=literal(path), compression="gzip" if is_gzipped(path) else "none"
    )
    ids, good = "user, item", "user <> '' AND item <> '' AND NOT contains(time, '_')"
    if layout.quoted:
        ids = "json_extract_string(user, '$'), json_extract_string(item, '$')"
        # a text between quotation marks, which is not empty; a number has none
        good = "user LIKE '\"_%\"' AND item LIKE '\"_%\"' AND time NOT LIKE '\"%'"
    low = "FALSE"
    if min_rating is not None:  # else DuckDB does not parse the ratings
        low = f"try_cast(rating AS DOUBLE) < {min_rating!r}"
        good = f"{good} AND try_cast(rating AS DOUBLE) IS NOT NULL"
    time = f"CASE WHEN {good} THEN try_cast(time AS DOUBLE) / {layout.ticks}::DOUBLE END"
    return f"SELECT {ids}, {time}, CASE WHEN NOT ({low}) THEN {domain} END FROM {source}"


def _checked(engine: Engine, layout: Layout, domain: int) -> tuple[int, int] | None:
    """Drop the reviews of the last dump that are rated too low, or all when one is malformed."""
    read = f"domain = {domain} OR domain IS NULL"
    latest = _MAX_TIME / layout.ticks
    rows, timed = engine.row(
        f"SELECT count(*), count(*) FILTER (abs(time) < {latest!r}::DOUBLE) FROM raw WHERE {read}"
    )
    if timed < rows:
        engine.run(f"DELETE FROM raw WHERE {read}")
        return None
    return int(rows), int(engine.row("DELETE FROM raw WHERE domain IS NULL")[0])


def _load_exact(
    engine: Engine, path: Path, layout: Layout, domain: int, min_rating: float | None
) -> tuple[int, int]:
    parse, rows = layout.parse, []
    reviews = low_rated = 0
    with open_source(path) as stream:
        if layout.header:
            stream.readline()
        for number, line in enumerate(stream, 1 + layout.header):
            try:
                user, item, rating, time = parse(line)
                if not (type(user) is str and type(item) is str and user and item):
                    raise TypeError("user and item must be texts")
                if not -_MAX_TIME < time < _MAX_TIME:  # NaN fails this too
                    raise TypeError("the time is no number")
                low = min_rating is not None and rating < min_rating
            except (ValueError, KeyError, TypeError, IndexError, SyntaxError) as error:
                if not line.strip():
                    continue
                raise UserError(f"{path}: line {number}: {reason(error)}") from None
            reviews += 1
            low_rated += low
            if not low:
                rows.append((user, item, time / layout.ticks, domain))
            if len(rows) == _CHUNK_ROWS:
                _append(engine, rows)
    _append(engine, rows)
    return reviews, low_rated


def _append(engine: Engine, rows: list[tuple[str, str, float, int]]) -> None:
    if rows:
        frame = pd.DataFrame(rows, columns=["user", "item", "time", "domain"])
        engine.load("raw", frame.astype({"time": float}), append=True)
        rows.clear()


def _detect_ratings(path: Path, line: bytes, version: str | None) -> Layout:
    cells = line.decode("utf-8").strip().split(",")
    header = cells[:4] == list(_NEW_KEYS)
    if len(cells) < 4 or not (header or is_number(cells[3])):
        raise UserError(
            f"{path}: line 1 is neither a JSON review nor user,item,rating,timestamp: "
            f"{line[:60].decode('utf-8', 'replace').strip()!r}"
        )
    if version is None and not header:
        raise UserError(
            f"{path}: ratings without a header; --version=2014 means user,item,rating,timestamp "
            "and --version=2018 item,user,rating,timestamp"
        )
    if version is not None and (version == "2023") != header:
        expected = "a header" if version == "2023" else "no header"
        raise UserError(f"{path}: found {'a' if header else 'no'} header; {version} has {expected}")
    release = version or "2023"
    user, item, rating, time = _RATING_COLUMNS[release]

    def parse(line: bytes) -> tuple[Any, Any, Any, Any]:
        cells = line.decode("utf-8").rstrip("\r\n").split(",")
        return cells[user], cells[item], float(cells[rating]), float(cells[time])

    types = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(cells)))
    source = (
        f"(SELECT c{user} AS user, c{item} AS item, c{rating} AS rating, c{time} AS time FROM "
        f"read_csv({{path}}, auto_detect = false, header = {str(header).lower()}, delim = ',', "
        "quote = '', escape = '', comment = '', compression = '{compression}', "
        f"columns = {{{{{types}}}}}))"
    )
    ticks = 1000 if release == "2023" else 1
    return Layout(f"{release} ratings file", parse, source, ticks, header)
