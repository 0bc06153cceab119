"""Reader of two tables, interactions and items, as .csv or .csv.gz with any column names."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.raw import RawData, clean_text, make_inter
from recbole_edt.prepare.reader import Flag, Reader
from recbole_edt.prepare.source import open_source

_POSITION = "position"
_CHUNK_ROWS = 500_000
_LATEST = 1e11  # seconds: the year 5138
_NAME, _FILE = {"metavar": "NAME"}, {"metavar": "FILE"}
_FLAGS = (
    Flag("inter", None, "interactions, .csv or .csv.gz (required)", _FILE),
    Flag("items", None, "items, .csv or .csv.gz (required)", _FILE),
    Flag("user_col", fields.USER, f"column of the users (default: {fields.USER})", _NAME),
    Flag("item_col", fields.ITEM, f"item column of both files (default: {fields.ITEM})", _NAME),
    Flag(
        "time_col", None,
        f"column of the times in seconds (default: {fields.TIME}, else positions)", _NAME,
    ),
    Flag(
        "position_col", None,
        f"order of a user's rows, instead of times (default: {_POSITION})", _NAME,
    ),
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
        that is not a number, and interactions with unknown items unless they are to go.
    """
    for key in ("inter", "items"):
        if getattr(options, key) is None:
            raise UserError(f"prepare csv: --{key}=FILE is required")
    separator = "\t" if options.sep in ("tab", "\\t") else options.sep
    if len(separator) != 1:
        raise UserError(f"sep: found '{options.sep}'; expected one character or 'tab'")
    item_file = CsvFile(Path(options.items), separator)
    items, notes = _read_items(item_file, options)
    item_ids = pd.Index(items[fields.ITEM])
    inter_file = CsvFile(Path(options.inter), separator)
    order_flag, order_col = _order_column(options, inter_file.columns)
    positions = order_flag == "position_col"
    columns = [options.user_col, options.item_col, order_col]
    inter_file.require(zip(("user_col", "item_col", order_flag), columns, strict=True))
    users, item_column, times = _read_inter(inter_file, columns, positions)
    notes = {"rows read": len(times), "items read": len(items), **notes}
    notes["column that orders a user's rows"] = order_col

    codes = item_ids.get_indexer(item_column.categories)[item_column.codes]
    unknown = codes < 0
    if unknown.any() and options.unknown_items == "error":
        first = int(np.argmax(unknown))
        inter_file.refuse(
            first,
            f"item '{item_column[first]}' is not in {item_file.path}, nor are those of "
            f"{unknown.sum() - 1} other rows; --unknown_items=drop leaves them out",
        )
    if options.unknown_items == "drop":
        notes["rows dropped, item not in the items file"] = int(unknown.sum())
    frame = make_inter(
        users.codes[~unknown], users.categories, codes[~unknown], item_ids, times[~unknown]
    )
    return RawData(frame, items, [inter_file.path, item_file.path], notes, positions)


def _order_column(options: argparse.Namespace, columns: list[str]) -> tuple[str, str]:
    """Return the flag and the name of the column that orders a user's rows."""
    if options.time_col is not None and options.position_col is not None:
        raise UserError("time_col, position_col: found both; expected one of them")
    if options.position_col is not None:
        return "position_col", options.position_col
    if options.time_col is None and fields.TIME not in columns and _POSITION in columns:
        return "position_col", _POSITION
    return "time_col", options.time_col or fields.TIME


def _read_inter(
    file: CsvFile, columns: list[str], positions: bool
) -> tuple[pd.Categorical, pd.Categorical, np.ndarray]:
    """Return users, items and times of all rows; the ids are coded chunk by chunk."""
    order_col = columns[2]
    parts: list[tuple[pd.Categorical, pd.Categorical, np.ndarray]] = []
    start = 0
    with open_source(file.path) as stream:
        for chunk in file.read(stream, _CHUNK_ROWS):
            for name in columns[:2]:
                file.refuse_any(chunk[name].fillna("") == "", f"no '{name}'", start)
            times = pd.to_numeric(chunk[order_col], errors="coerce").astype(np.float64)
            _check_times(file, chunk[order_col], times, positions, start)
            parts.append((_coded(chunk[columns[0]]), _coded(chunk[columns[1]]), times.to_numpy()))
            start += len(chunk)
    if not start:
        raise UserError(f"{file.path}: holds no interactions, only a header")
    users, items, all_times = zip(*parts, strict=True)
    return union_categoricals(users), union_categoricals(items), np.concatenate(all_times)


def _check_times(
    file: CsvFile, texts: pd.Series, times: pd.Series, positions: bool, start: int
) -> None:
    bad = ~np.isfinite(times)
    late = (times.abs() > _LATEST) & (not positions)
    expected = "expected a number, such as seconds"
    if not bad.any():
        bad, expected = late, "expected seconds since 1970, and this looks like milliseconds"
    if bad.any():
        file.refuse_any(bad, f"{texts.name} is '{texts[bad].iloc[0]}'; {expected}", start)


def _coded(column: pd.Series) -> pd.Categorical:
    codes, values = pd.factorize(column)
    return pd.Categorical.from_codes(codes, categories=values)


def _read_items(
    file: CsvFile, options: argparse.Namespace
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
    with open_source(file.path) as stream:
        frame = file.read(stream)[columns].fillna("")
    for name in columns[2:]:
        file.refuse_swallowed_rows(frame[name])
    ids, domains = frame[options.item_col], frame[options.domain_col].str.strip()
    file.refuse_any(ids == "", f"no '{options.item_col}'")
    file.refuse_any(domains == "", "the item has no domain")
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
        file.refuse_any(moved, complaint)
    notes: dict[str, int | str] = {}
    if repeated.any():
        notes["items listed again, first listing kept"] = int(repeated.sum())
    if not titled:
        notes["titles"] = f"none, {file.path.name} has no column '{options.title_col}'"
    return table[~repeated].reset_index(drop=True), notes


READER = Reader(
    "Reader of two tables, interactions and items, as .csv or .csv.gz with any column names.",
    _FLAGS,
    read,
)
