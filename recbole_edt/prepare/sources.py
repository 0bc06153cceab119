"""One table of interactions and one of items, or a pair of them per domain, as raw data."""

import argparse
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.engine import Engine
from recbole_edt.prepare.inter_table import InterColumns, append_part, load_rows
from recbole_edt.prepare.interactions import Interactions
from recbole_edt.prepare.item_table import ItemColumns, items_of_rows, read_items
from recbole_edt.prepare.parquet_file import ParquetFile
from recbole_edt.prepare.raw import RawData
from recbole_edt.prepare.spelling import other_spelling
from recbole_edt.prepare.split_files import PARTS, InterTable, SplitFiles
from recbole_edt.prepare.times import TimeFormat

USERS = ("joined", "separate")


@dataclass(frozen=True)
class Source:
    """The tables of one domain, or of all of them.

    Attributes
    ----------
    domain : str or None
        Of all its items; None when the table of items has a column for it.
    inter : CsvFile, ParquetFile or SplitFiles
        The interactions.
    items : CsvFile or ParquetFile or None
        The items; None takes those of the interactions, untitled.
    columns : InterColumns
        Of `inter`.
    item_columns : ItemColumns
        Of `items`.
    positions : bool
        Whether the interactions are ordered by positions, not times.
    """

    domain: str | None
    inter: InterTable
    items: CsvFile | ParquetFile | None
    columns: InterColumns
    item_columns: ItemColumns
    positions: bool


def read_sources(sources: Sequence[Source], options: argparse.Namespace) -> RawData:
    """Read all tables; ids of items are kept apart by the domain, users are joined by their id.

    Parameters
    ----------
    sources : sequence of Source
        One without a domain, or one per domain.
    options : argparse.Namespace
        `users`, `item_prefix`, `min_rating`, `time_format`, `unknown_items` and `engine`.

    Raises
    ------
    UserError
        For what the tables' readers refuse, ids that are in several domains when no prefix keeps
        them apart, positions that do not order a joined user's rows, and unknown items.
    """
    engine: Engine = options.engine
    by_domain = sources[0].domain is not None
    for key in ("users", "item_prefix"):
        if getattr(options, key) is not None and not by_domain:
            raise UserError(f"{key}: is for one table per domain (DOMAIN=FILE); found one for all")
    if len({source.positions for source in sources}) > 1:
        kinds = (f"{one.domain} by {one.columns.order}" for one in sources)
        raise UserError(f"rows are ordered by times or by positions, not both: {', '.join(kinds)}")
    tables: list[pd.DataFrame] = []
    starts = [0]
    notes: dict[str, int | str] = {}
    for source in sources:
        of = f" of {source.domain}" if by_domain else ""
        table, n_rows, of_source = _read_source(source, options, first=not tables)
        notes[f"rows read{of}"], notes[f"items read{of}"] = n_rows, len(table)
        notes |= {f"{note}{of}": value for note, value in of_source.items()}
        starts.append(starts[-1] + n_rows)
        tables.append(table)
    parts = _parts(sources, starts)
    orders = dict.fromkeys(source.columns.order for source in sources)
    notes["column that orders a user's rows"] = ", ".join(orders)
    items = pd.concat(tables, ignore_index=True)
    if by_domain:
        notes |= _shared_items(sources, tables, items, options.item_prefix)
        notes |= _shared_users(engine, sources, starts, options.users)
    keep = _filter_ratings(sources, options, notes)
    inter = Interactions.encode(engine, items[fields.ITEM], keep)
    if options.unknown_items == "drop":
        notes["rows dropped, item not in the items file"] = inter.delete("item < 0")
    else:
        _refuse_unknown_items(inter, sources, tables, starts)
    inputs = [file for one in sources for file in one.inter.files]
    inputs += [file for one in sources if one.items is not None for file in one.items.files]
    return RawData(inter, items, inputs, notes, sources[0].positions, parts=parts)


def _parts(sources: Sequence[Source], starts: Sequence[int]) -> list[tuple[int, int]]:
    """Return where each part of a split ends, and its code; empty without files that are split."""
    parts = []
    for source, start in zip(sources, starts[:-1], strict=True):
        if isinstance(source.inter, SplitFiles):
            ends = accumulate(source.inter.counts, initial=start)
            parts += [(end, code) for code, end in enumerate(list(ends)[1:])]
    return parts


def _read_source(
    source: Source, options: argparse.Namespace, first: bool
) -> tuple[pd.DataFrame, int, dict[str, int | str]]:
    """Append the rows of a source to `raw`; return its items, number of rows, and notes."""
    engine: Engine = options.engine
    notes: dict[str, int | str] = {}
    if source.items is not None:
        table, notes = read_items(source.items, source.item_columns, source.domain, engine)
    times = TimeFormat(options.time_format, source.positions)
    n_rows = load_rows(source.inter, source.columns, times, engine)
    if source.items is None:
        table = items_of_rows(engine, source.domain)
        notes["titles"] = f"none, {source.inter.path.name} has no table of items beside it"
    if isinstance(source.inter, SplitFiles):
        counts = zip(PARTS, source.inter.counts, strict=True)
        notes |= {f"rows of {part}": count for part, count in counts}
    item_prefix = user_prefix = ""
    if source.domain is not None:
        item_prefix = f"{source.domain}:" if options.item_prefix != "false" else ""
        user_prefix = f"{source.domain}:" if options.users == "separate" else ""
    append_part(engine, first, user_prefix, item_prefix)
    return table.assign(**{fields.ITEM: item_prefix + table[fields.ITEM]}), n_rows, notes


def _shared_items(
    sources: Sequence[Source],
    tables: Sequence[pd.DataFrame],
    items: pd.DataFrame,
    prefix: str | None,
) -> dict[str, int | str]:
    """Count ids that are in several domains, or refuse them when nothing keeps them apart."""
    if prefix != "false":
        lengths = [len(f"{source.domain}:") for source in sources]
        ids = pd.concat(
            [table[fields.ITEM].str[n:] for table, n in zip(tables, lengths, strict=True)]
        )
        shared = int(ids[ids.duplicated()].nunique())
        return {"item ids in several domains, kept apart by the prefix DOMAIN:": shared}
    twice = items[items[fields.ITEM].duplicated(keep=False)]
    if len(twice):
        item = twice[fields.ITEM].iloc[0]
        domains = " and ".join(twice[fields.DOMAIN][twice[fields.ITEM] == item])
        raise UserError(
            f"item_prefix: item '{item}' is in {domains}, as are "
            f"{twice[fields.ITEM].nunique() - 1} others; --item_prefix=true keeps them apart"
        )
    return {}


def _shared_users(
    engine: Engine, sources: Sequence[Source], starts: list[int], users: str | None
) -> dict[str, int | str]:
    """Count the users that are joined, and refuse positions that do not order their rows."""
    if users == "separate":
        return {"users": "kept apart by the prefix DOMAIN:"}
    cases = " ".join(f"WHEN rowid < {end} THEN {n}" for n, end in enumerate(starts[1:]))
    rows = f"(SELECT user, time, CASE {cases} END AS source FROM raw)"
    several = "count(DISTINCT source) > 1"
    if sources[0].positions:
        same = engine.rows(
            f"SELECT user, time FROM {rows} GROUP BY user, time HAVING {several} LIMIT 1"
        )
        if same:
            raise UserError(
                f"user '{same[0][0]}' has position {same[0][1]:g} in two domains; expected "
                "positions that order a user's rows over all domains, or --users=separate"
            )
    joined = engine.row(
        f"SELECT count(*) FROM (SELECT user FROM {rows} GROUP BY user HAVING {several})"
    )[0]
    return {"users in several domains, joined by their id": int(joined)}


def _filter_ratings(
    sources: Sequence[Source], options: argparse.Namespace, notes: dict[str, int | str]
) -> str:
    """Return the condition under which rows of `raw` are kept, and count the others."""
    if options.min_rating is None:
        return "TRUE"
    low = f"rating < {options.min_rating!r}::DOUBLE"
    n_rows, dropped = options.engine.row(f"SELECT count(*), count(*) FILTER ({low}) FROM raw")
    rating, path = sources[0].columns.rating, sources[0].inter.path
    if dropped == n_rows:
        raise UserError(f"min_rating: no {rating} of {path} reaches {options.min_rating:g}")
    notes[f"rows dropped, {rating} below {options.min_rating:g}"] = int(dropped)
    return f"NOT ({low})"


def _refuse_unknown_items(
    inter: Interactions,
    sources: Sequence[Source],
    tables: Sequence[pd.DataFrame],
    starts: list[int],
) -> None:
    unknown, first = inter.engine.row("SELECT count(*), min(row) FROM inter WHERE item < 0")
    if not unknown:
        return
    number = bisect_right(starts, first) - 1
    source, row = sources[number], first - starts[number]
    assert source.items is not None  # else the items are those of the rows
    item = source.inter.cell(row, source.columns.item)
    prefix = "" if source.domain is None else f"{source.domain}:"
    other = other_spelling(item, tables[number][fields.ITEM].str.removeprefix(prefix))
    way_out = "--unknown_items=drop leaves them out"
    if other is not None:
        way_out = f"the table has '{other[0]}'; expected ids that do not differ by {other[1]}"
    source.inter.refuse(
        row,
        f"item '{item}' is not in {source.items.path}, nor are those of "
        f"{unknown - 1} other rows; {way_out}",
    )
