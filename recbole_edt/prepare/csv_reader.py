"""Reader of tables of interactions and items, as .csv or .csv.gz with any column names."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.domain_files import files_by_domain, names_domains
from recbole_edt.prepare.engine import Engine
from recbole_edt.prepare.inter_table import InterColumns
from recbole_edt.prepare.item_table import ItemColumns
from recbole_edt.prepare.parquet_file import ParquetFile, is_parquet
from recbole_edt.prepare.raw import RawData
from recbole_edt.prepare.reader import Flag, Reader
from recbole_edt.prepare.sources import USERS, Source, read_sources
from recbole_edt.prepare.split_files import PARTS, InterTable, SplitFiles

_POSITION, _RATING = "position", "rating"
_NAME, _FILE = {"metavar": "NAME"}, {"metavar": "FILE"}
BY_DOMAIN = (
    Flag(
        "users", None,
        "with a table per domain: the same id is one person (joined), or not (default: joined)",
        {"choices": USERS},
    ),
    Flag(
        "item_prefix", None,
        "with a table per domain: items are called DOMAIN:ID (default: true)",
        {"choices": ("true", "false")},
    ),
)  # fmt: skip
FLAGS = (
    Flag(
        "inter", None, "interactions, .csv or .csv.gz; a table per domain: DOMAIN=FILE,... "
        "(required)", _FILE,
    ),
    *(
        Flag(
            part, None, f"the {part} interactions of data that are split already, in place of "
            "--inter and likewise", _FILE,
        )
        for part in PARTS
    ),
    Flag("items", None, "items, likewise (required, but for a table per domain)", _FILE),
    Flag("user_col", fields.USER, f"column of the users (default: {fields.USER})", _NAME),
    Flag("item_col", fields.ITEM, f"item column of both files (default: {fields.ITEM})", _NAME),
    Flag(
        "time_col", None,
        f"column of the times, in seconds or ISO dates (default: {fields.TIME}, else positions)",
        _NAME,
    ),
    Flag(
        "time_format", None,
        "s, ms, us or ns, or a format such as %%d.%%m.%%Y (default: seconds or ISO dates)",
        {"metavar": "FORMAT"},
    ),
    Flag(
        "position_col", None,
        f"order of a user's rows, instead of times (default: {_POSITION})", _NAME,
    ),
    Flag(
        "min_rating", None, "drop rows with a lower rating (default: keep all)",
        {"type": float, "metavar": "R"},
    ),
    Flag("rating_col", None, f"column of --min_rating (default: {_RATING})", _NAME),
    Flag("domain_col", fields.DOMAIN, f"item's domain (default: {fields.DOMAIN})", _NAME),
    Flag("title_col", fields.TITLE, f"item's title (default: {fields.TITLE})", _NAME),
    *BY_DOMAIN,
    Flag("item_fields", "", "further text columns to keep (default: none)", {"metavar": "A,B"}),
    Flag("sep", ",", "what separates columns, 'tab' for tabs (default: ,)"),
    Flag(
        "quotes", "double",
        "double: a cell may stand in double quotes; none: they are text (default: double)",
        {"choices": ("double", "none")},
    ),
    Flag(
        "unknown_items", "error",
        "interactions with items that are not in --items (default: error)",
        {"choices": ("error", "drop")},
    ),
)  # fmt: skip


def read(options: argparse.Namespace) -> RawData:
    """Read two tables, or two per domain.

    Raises
    ------
    UserError
        For a missing file or column, an empty id, an item without a domain or in two, a time
        or rating that cannot be read, and interactions with unknown items unless they are to go.
    """
    flags = _inter_flags(options)
    given = getattr(options, "sep", ",")  # the reader of Parquet files has none
    separator, quoted = separator_of(given), getattr(options, "quotes", "double") == "double"
    inter, items = _paths(options, flags)
    extra = tuple(name.strip() for name in options.item_fields.split(",") if name.strip())
    title_needed = options.require_title or options.title_col != fields.TITLE
    item_columns = ItemColumns(
        options.item_col, options.domain_col, options.title_col, title_needed, extra
    )
    sources = []
    for domain, paths in inter.items():
        item_path = items.get(domain)
        item_file = (
            None if item_path is None else _open(item_path, separator, quoted, options.engine)
        )
        tables = [_open(path, separator, quoted, options.engine) for path in paths]
        inter_file = SplitFiles(tables) if len(tables) > 1 else tables[0]
        columns, positions = inter_columns(options, inter_file)
        sources.append(Source(domain, inter_file, item_file, columns, item_columns, positions))
    return read_sources(sources, options)


def _inter_flags(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the flags that name interactions: ``inter``, or the three parts of a split."""
    missing = [part for part in PARTS if getattr(options, part) is None]
    if len(missing) == len(PARTS):
        if options.inter is None:
            raise UserError("prepare csv: --inter=FILE is required")
        return ("inter",)
    if options.inter is not None:
        raise UserError(
            "prepare csv: found --inter and parts of a split; expected one or the other"
        )
    if missing:
        flags = ", ".join(f"--{part}=FILE" for part in missing)
        raise UserError(f"prepare csv: {flags} missing; expected all of train, valid and test")
    return PARTS


def _paths(
    options: argparse.Namespace, flags: Sequence[str]
) -> tuple[dict[str | None, list[Path]], dict[str | None, Path]]:
    """Return the files of interactions and of items by domain, None for all domains at once."""
    first, given = flags[0], [getattr(options, flag) for flag in flags]
    if not any(map(names_domains, given)):
        if options.items is None:
            raise UserError("prepare csv: --items=FILE is required")
        if names_domains(options.items):
            raise UserError(
                f"{first}: found one file '{given[0]}'; expected DOMAIN=FILE for the domains "
                "of --items"
            )
        return {None: [Path(path) for path in given]}, {None: Path(options.items)}
    inter = [files_by_domain([text], flag) for text, flag in zip(given, flags, strict=True)]
    for flag, files in zip(flags, inter, strict=True):
        if set(files) != set(inter[0]):
            raise UserError(
                f"{flag}: found the domains {', '.join(files)}; expected those of --{first}: "
                f"{', '.join(inter[0])}"
            )
    items: dict[str, Path] = {}
    if options.items is not None:
        if not names_domains(options.items):
            raise UserError(f"items: found '{options.items}'; expected DOMAIN=FILE as in --{first}")
        items = files_by_domain([options.items], "items")
        if set(items) != set(inter[0]):
            raise UserError(
                f"items: found the domains {', '.join(items)}; expected those of --{first}: "
                f"{', '.join(inter[0])}"
            )
    return {d: [files[d] for files in inter] for d in inter[0]}, dict(items.items())


def separator_of(given: str) -> str:
    """Return the character that ``--sep`` names; `UserError` when it is more than one."""
    separator = "\t" if given in ("tab", "\\t") else given
    if len(separator) != 1:
        raise UserError(f"sep: found '{given}'; expected one character or 'tab'")
    return separator


def _open(path: Path, separator: str, quoted: bool, engine: Engine) -> CsvFile | ParquetFile:
    """Open a table; the content decides what it is, not its name."""
    return ParquetFile(path, engine) if is_parquet(path) else CsvFile(path, separator, quoted)


def inter_columns(options: argparse.Namespace, file: InterTable) -> tuple[InterColumns, bool]:
    """Return what is read of a table of interactions, and whether it is ordered by positions.

    Raises
    ------
    UserError
        For a missing column, and flags that exclude one another.
    """
    order_flag, order_col = _order_column(options, file.columns)
    rating = _rating_column(options)
    needed = [("user_col", options.user_col), ("item_col", options.item_col)]
    needed += [(order_flag, order_col)]
    needed += [("rating_col", rating)] if rating is not None else []
    file.require(needed)
    columns = InterColumns(options.user_col, options.item_col, order_col, rating)
    return columns, order_flag == "position_col"


def _rating_column(options: argparse.Namespace) -> str | None:
    """Return the column of the ratings when there is a least one."""
    if options.min_rating is None:
        if options.rating_col is not None:
            raise UserError("rating_col: is read for --min_rating=R, which is missing")
        return None
    if not math.isfinite(options.min_rating):
        raise UserError(f"min_rating: found {options.min_rating}, expected a number")
    column: str = options.rating_col or _RATING
    return column


def _order_column(options: argparse.Namespace, columns: list[str]) -> tuple[str, str]:
    """Return the flag and the name of the column that orders a user's rows."""
    if options.time_col is not None and options.position_col is not None:
        raise UserError("time_col, position_col: found both; expected one of them")
    if options.position_col is not None:
        return "position_col", options.position_col
    if options.time_col is None and fields.TIME not in columns and _POSITION in columns:
        return "position_col", _POSITION
    return "time_col", options.time_col or fields.TIME


READER = Reader(
    "Reader of tables, interactions and items, as .csv or .csv.gz with any column names.",
    FLAGS,
    read,
)
