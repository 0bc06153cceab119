"""Reviews of an Amazon dump as integer codes; the first line shows the release."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_edt.errors import UserError
from recbole_edt.files import is_number
from recbole_edt.prepare.amazon_lines import loads, parse_object, reason
from recbole_edt.prepare.source import open_source

VERSIONS = ("2014", "2018", "2023")
_OLD_KEYS = ("reviewerID", "asin", "overall", "unixReviewTime")
_NEW_KEYS = ("user_id", "parent_asin", "rating", "timestamp")
# the order of the columns of ratings-only files; those of 2023 have a header
_RATING_COLUMNS = {"2014": (0, 1, 2, 3), "2018": (1, 0, 2, 3), "2023": (0, 1, 2, 3)}
_MAX_TIME = 1e18


@dataclass(frozen=True)
class Layout:
    """How one dump writes a review.

    Attributes
    ----------
    name : str
        Release and kind of the file, in words.
    parse : callable
        Turns a line into user, item, rating and time.
    ticks : int
        Units of the time in a second.
    header : bool
        Whether the first line is no review.
    """

    name: str
    parse: Callable[[bytes], tuple[Any, Any, Any, Any]]
    ticks: int = 1
    header: bool = False


@dataclass
class ReviewTable:
    """All reviews as codes; an item belongs to the domain in which it is met first."""

    users: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    user_codes: array = field(default_factory=lambda: array("i"))
    item_codes: array = field(default_factory=lambda: array("i"))
    times: array = field(default_factory=lambda: array("d"))
    item_domains: array = field(default_factory=lambda: array("h"))
    shared: set[int] = field(default_factory=set)
    shared_reviews: int = 0
    low_rated: int = 0


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

    return Layout(f"{version or release} release", parse, ticks)


def read_reviews(
    path: Path, layout: Layout, domain: int, min_rating: float | None, table: ReviewTable
) -> int:
    """Add the reviews of one dump to `table`; return how many there were.

    Parameters
    ----------
    path : pathlib.Path
        The dump, plain or gzipped.
    layout : Layout
        What `detect` returned.
    domain : int
        Code of the dump's domain; calls must come in the order of the codes.
    min_rating : float or None
        Lower ratings are left out and counted.
    table : ReviewTable
        Grows.

    Raises
    ------
    UserError
        For the first malformed line.
    """
    users, items, item_domains = table.users, table.items, table.item_domains
    add_user, add_item, add_time = (
        table.user_codes.append,
        table.item_codes.append,
        table.times.append,
    )
    parse, ticks, reviews = layout.parse, layout.ticks, 0
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
            if low:
                table.low_rated += 1
                continue
            item_code = items.get(item)
            if item_code is None:
                item_code = items[item] = len(items)
                item_domains.append(domain)
            elif item_domains[item_code] != domain:
                table.shared.add(item_code)
                table.shared_reviews += 1
                continue
            add_user(users.setdefault(user, len(users)))
            add_item(item_code)
            add_time(time / ticks)
    return reviews


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

    return Layout(f"{release} ratings file", parse, 1000 if release == "2023" else 1, header)
