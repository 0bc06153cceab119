"""The published folders of MovieLens: 100k, 1m, 10m, 20m, 25m, 32m."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.engine import Engine, literal
from recbole_edt.prepare.source import open_source

_FLAGS_OF_100K = 5  # columns before the genres' zeros and ones in u.item


@dataclass(frozen=True)
class Release:
    """How a release names and separates its two tables.

    Attributes
    ----------
    ratings, movies : str
        Files of user, movie, rating and second, and of movie, title and genres.
    separator : str
        Of both tables' columns; `u.data` has tabs instead.
    encoding : str
        Of the titles.
    header : bool
        Whether both tables have one.
    """

    ratings: str
    movies: str
    separator: str
    encoding: str
    header: bool


RELEASES = (
    Release("u.data", "u.item", "\t", "latin-1", False),  # 100k
    Release("ratings.dat", "movies.dat", "::", "latin-1", False),  # 1m, 10m
    Release("ratings.csv", "movies.csv", ",", "utf-8", True),  # 20m, 25m, 32m
)


def release_of(folder: Path) -> Release:
    """Return the release whose files a folder holds.

    Raises
    ------
    UserError
        When it holds those of none.
    """
    for release in RELEASES:
        if (folder / release.ratings).is_file() and (folder / release.movies).is_file():
            return release
    expected = " or ".join(f"{one.ratings} and {one.movies}" for one in RELEASES)
    raise UserError(f"{folder}: found no files of MovieLens; expected {expected}")


def load_ratings(engine: Engine, folder: Path, release: Release) -> int:
    """Read the ratings into table `raw` (`user`, `item`, `rating`, `time`); return their number.

    Raises
    ------
    UserError
        For a malformed line.
    """
    path = folder / release.ratings
    try:
        engine.run(
            "CREATE OR REPLACE TABLE raw AS SELECT a AS user, b AS item, c AS rating, "
            f"d::DOUBLE AS time FROM read_csv({literal(path)}, auto_detect = false, "
            f"header = {str(release.header).lower()}, delim = {literal(release.separator)}, "
            "quote = '', escape = '', comment = '', compression = 'none', "
            "columns = {'a': 'INTEGER', 'b': 'INTEGER', 'c': 'DOUBLE', 'd': 'BIGINT'})"
        )
        rows, bad = engine.row(
            "SELECT count(*), count(*) FILTER (user IS NULL OR item IS NULL OR rating IS NULL "
            "OR time IS NULL) FROM raw"
        )
        if bad:
            _refuse_line(path, release)
    except duckdb.Error:
        _refuse_line(path, release)
        raise
    if not rows:
        raise UserError(f"{path}: holds no ratings")
    return int(rows)


def _refuse_line(path: Path, release: Release) -> None:
    with open_source(path) as stream:
        for number, line in enumerate(stream, 1):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if (release.header and number == 1) or not text:
                continue
            cells = text.split(release.separator)
            try:
                _user, _item, _time = int(cells[0]), int(cells[1]), int(cells[3])
                wrong = len(cells) != 4 or not float(cells[2]) >= 0
            except (ValueError, IndexError):
                wrong = True
            if wrong:
                raise UserError(
                    f"{path}: line {number}: found '{text[:60]}'; "
                    f"expected user, movie, rating and second, separated by {release.separator!r}"
                )


def read_movies(folder: Path, release: Release) -> pd.DataFrame:
    """Return the movies' `item_id`, `title` (with its year, as published) and list of genres.

    Raises
    ------
    UserError
        For a line without three parts, and a movie that is listed twice.
    """
    path = folder / release.movies
    names = _genre_names(folder / "u.genre") if release.ratings == "u.data" else None
    with open_source(path) as stream:
        rows = list(_movies(path, stream.read().decode(release.encoding), release, names))
    table = pd.DataFrame(rows, columns=[fields.ITEM, fields.TITLE, "genres"])
    twice = table[fields.ITEM][table[fields.ITEM].duplicated()]
    if len(twice):
        raise UserError(f"{path}: movie {twice.iloc[0]} is listed twice; expected once")
    return table


def _movies(
    path: Path, text: str, release: Release, names: list[str] | None
) -> Iterator[tuple[int, str, list[str]]]:
    if release.header:
        records: Iterator[list[str]] = csv.reader(io.StringIO(text, newline=""))
        next(records, None)
    else:
        separator = "|" if names is not None else release.separator
        records = (line.split(separator) for line in text.splitlines())
    for number, cells in enumerate(records, 1 + release.header):
        if not cells or cells == [""]:
            continue
        if len(cells) < 3 or not cells[0].isdigit():
            raise UserError(
                f"{path}: record {number}: found {cells}, expected movie, title, genres"
            )
        if names is None:
            yield int(cells[0]), cells[1], cells[2].split("|")
        else:
            marks = zip(names, cells[_FLAGS_OF_100K:], strict=False)
            yield int(cells[0]), cells[1], [name for name, mark in marks if mark == "1"]


def _genre_names(path: Path) -> list[str]:
    with open_source(path) as stream:
        lines = stream.read().decode("latin-1").splitlines()
    return [line.split("|")[0] for line in lines if line]
