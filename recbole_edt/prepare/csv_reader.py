"""Reader of two tables, interactions and items, as .csv or .csv.gz with any column names."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.engine import Engine
from recbole_edt.prepare.inter_table import InterColumns, load_rows
from recbole_edt.prepare.interactions import Interactions
from recbole_edt.prepare.parquet_file import ParquetFile, is_parquet
from recbole_edt.prepare.raw import RawData, clean_text
from recbole_edt.prepare.reader import Flag, Reader
from recbole_edt.prepare.times import TimeFormat

_POSITION, _RATING = "position", "rating"
_NAME, _FILE = {"metavar": "NAME"}, {"metavar": "FILE"}
_FLAGS = (
    Flag("inter", None, "interactions, .csv or .csv.gz (required)", _FILE),
    Flag("items", None, "items, .csv or .csv.gz (required)", _FILE),
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
    Flag("item_fields", "", "further text columns to keep (default: none)", {"metavar": "A,B"}),
    Flag("sep", ",", "what separates columns, 'tab' for tabs (default: ,)"),
    Flag(
        "unknown_items", "error",
        "interactions with items that are not in --items (default: error)",
        {"choices": ("error", "drop")},
    ),
)  # fmt: skip


def read(options: argparse.Namespace) -> RawData:
    """Read the two tables.

    Raises
    ------
    UserError
        For a missing file or column, an empty id, an item without a domain or in two, a time
        or rating that cannot be read, and interactions with unknown items unless they are to go.
    """
    for key in ("inter", "items"):
        if getattr(options, key) is None:
            raise UserError(f"prepare csv: --{key}=FILE is required")
    given = getattr(options, "sep", ",")  # the reader of Parquet files has none
    separator = "\t" if given in ("tab", "\\t") else given
    if len(separator) != 1:
        raise UserError(f"sep: found '{given}'; expected one character or 'tab'")
    item_file = _open(Path(options.items), separator, options.engine)
    items, notes = _read_items(item_file, options)
    item_ids = pd.Index(items[fields.ITEM])
    inter_file = _open(Path(options.inter), separator, options.engine)
    order_flag, order_col = _order_column(options, inter_file.columns)
    positions = order_flag == "position_col"
    times = TimeFormat(options.time_format, positions)
    rating = _rating_column(options)
    inter_file.require(
        [("user_col", options.user_col), ("item_col", options.item_col), (order_flag, order_col)]
        + ([("rating_col", rating)] if rating is not None else [])
    )
    columns = InterColumns(options.user_col, options.item_col, order_col, rating)
    n_rows = load_rows(inter_file, columns, times, options.engine)
    notes = {"rows read": n_rows, "items read": len(items), **notes}
    notes["column that orders a user's rows"] = order_col
    keep = "TRUE"
    if rating is not None:
        low = f"rating < {options.min_rating!r}::DOUBLE"
        dropped = options.engine.row(f"SELECT count(*) FROM raw WHERE {low}")[0]
        if dropped == n_rows:
            raise UserError(
                f"min_rating: no {rating} of {inter_file.path} reaches {options.min_rating:g}"
            )
        notes[f"rows dropped, {rating} below {options.min_rating:g}"] = int(dropped)
        keep = f"NOT ({low})"
    inter = Interactions.encode(options.engine, item_ids, keep)
    if options.unknown_items == "drop":
        notes["rows dropped, item not in the items file"] = inter.delete("item < 0")
    else:
        _refuse_unknown_items(inter, inter_file, options.item_col, item_file.path)
    inputs = [*inter_file.files, *item_file.files]
    return RawData(inter, items, inputs, notes, positions)


def _open(path: Path, separator: str, engine: Engine) -> CsvFile | ParquetFile:
    """Open a table; the content decides what it is, not its name."""
    return ParquetFile(path, engine) if is_parquet(path) else CsvFile(path, separator)


def _rating_column(options: argparse.Namespace) -> str | None:
    """Return the column of the ratings when there is a least one."""
    if options.min_rating is None:
        if options.rating_col is not None:
            raise UserError("rating_col: is read for --min_rating=R, which is missing")
        return None
    if not np.isfinite(options.min_rating):
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


def _refuse_unknown_items(
    inter: Interactions, file: CsvFile | ParquetFile, item_col: str, item_path: Path
) -> None:
    unknown, first = inter.engine.row("SELECT count(*), min(row) FROM inter WHERE item < 0")
    if unknown:
        file.refuse(
            first,
            f"item '{file.cell(first, item_col)}' is not in {item_path}, nor are those of "
            f"{unknown - 1} other rows; --unknown_items=drop leaves them out",
        )


def _read_items(
    file: CsvFile | ParquetFile, options: argparse.Namespace
) -> tuple[pd.DataFrame, dict[str, int | str]]:
    extra = [name.strip() for name in options.item_fields.split(",") if name.strip()]
    titled = options.title_col in file.columns
    needs_title = options.require_title or options.title_col != fields.TITLE
    needed = [("item_col", options.item_col), ("domain_col", options.domain_col)]
    needed += [("title_col", options.title_col)] * needs_title
    file.require(needed + [("item_fields", name) for name in extra])
    for name in extra:
        if not name.isidentifier() or name in (fields.ITEM, fields.DOMAIN, fields.TITLE):
            raise UserError(f"item_fields: '{name}' cannot be a field; expected a plain, new name")
    columns = [options.item_col, options.domain_col, *([options.title_col] * titled), *extra]
    file.load(options.engine, "texts", columns)
    frame = options.engine.frame("SELECT * FROM texts ORDER BY rowid")
    frame.columns = pd.Index(columns)
    ids, domains = frame[options.item_col], frame[options.domain_col].str.strip()
    _refuse_any(file, ids == "", f"no '{options.item_col}'")
    _refuse_any(file, domains == "", "the item has no domain")
    table = pd.DataFrame({fields.ITEM: ids, fields.DOMAIN: domains})
    table[fields.TITLE] = frame[options.title_col] if titled else ""
    for name in extra:
        table[name] = clean_text(frame[name])[0]
    repeated = ids.duplicated()
    moved = repeated & ~table.duplicated([fields.ITEM, fields.DOMAIN])
    if moved.any():
        item, domain = ids[moved].iloc[0], domains[moved].iloc[0]
        before = domains[ids == item].iloc[0]
        complaint = f"item {item!r} is of domain {domain!r}, and of {before!r} above; expected one"
        _refuse_any(file, moved, complaint)
    notes: dict[str, int | str] = {}
    if repeated.any():
        notes["items listed again, first listing kept"] = int(repeated.sum())
    if not titled:
        notes["titles"] = f"none, {file.path.name} has no column '{options.title_col}'"
    return table[~repeated].reset_index(drop=True), notes


def _refuse_any(file: CsvFile | ParquetFile, bad: pd.Series, complaint: str) -> None:
    """Refuse the first row of a mask, bool, one value per row, if any."""
    if bad.any():
        file.refuse(int(np.argmax(bad.to_numpy())), f"{complaint} ({bad.sum()} such rows so far)")


READER = Reader(
    "Reader of two tables, interactions and items, as .csv or .csv.gz with any column names.",
    _FLAGS,
    read,
)
