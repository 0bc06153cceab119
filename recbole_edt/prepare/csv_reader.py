"""Reader of two tables, interactions and items, as .csv or .csv.gz with any column names."""

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from recbole_edt import fields
from recbole_edt.errors import UserError, nearest
from recbole_edt.prepare.raw import RawData, clean_text, make_inter
from recbole_edt.prepare.source import open_source

_POSITION = "position"
_CHUNK_ROWS = 500_000
_LATEST = 1e11  # seconds: the year 5138
DEFAULTS = {
    "inter": None,
    "items": None,
    "user_col": fields.USER,
    "item_col": fields.ITEM,
    "time_col": None,
    "position_col": None,
    "domain_col": fields.DOMAIN,
    "title_col": fields.TITLE,
    "item_fields": "",
    "sep": ",",
    "unknown_items": "error",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this reader's own flags."""
    add = parser.add_argument
    add("--inter", metavar="FILE", help="interactions, .csv or .csv.gz (required)")
    add("--items", metavar="FILE", help="items, .csv or .csv.gz (required)")
    add("--user_col", metavar="NAME", help=f"column of the users (default: {fields.USER})")
    add("--item_col", metavar="NAME", help=f"item column of both files (default: {fields.ITEM})")
    add(
        "--time_col",
        metavar="NAME",
        help=f"column of the times in seconds (default: {fields.TIME}, else positions)",
    )
    add(
        "--position_col",
        metavar="NAME",
        help=f"order of a user's rows, instead of times (default: {_POSITION})",
    )
    add("--domain_col", metavar="NAME", help=f"item's domain (default: {fields.DOMAIN})")
    add("--title_col", metavar="NAME", help=f"item's title (default: {fields.TITLE})")
    add("--item_fields", metavar="A,B", help="further text columns to keep (default: none)")
    add("--sep", help="what separates columns, 'tab' for tabs (default: ,)")
    add(
        "--unknown_items",
        choices=("error", "drop"),
        help="interactions with items that are not in --items (default: error)",
    )


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
    inter_path, items_path = Path(options.inter), Path(options.items)
    sep = "\t" if options.sep in ("tab", "\\t") else options.sep
    if len(sep) != 1:
        raise UserError(f"sep: found '{options.sep}'; expected one character or 'tab'")
    items, notes = _read_items(items_path, options, sep)
    item_ids = pd.Index(items[fields.ITEM])
    found = _header(inter_path, sep)
    order_flag, order_col = _order_column(options, found)
    positions = order_flag == "position_col"
    columns = [options.user_col, options.item_col, order_col]
    _need(inter_path, found, zip(("user_col", "item_col", order_flag), columns, strict=True))
    users, item_column, times = _read_inter(inter_path, columns, positions, sep)
    notes = {"rows read": len(times), "items read": len(items), **notes}
    notes["column that orders a user's rows"] = order_col

    codes = item_ids.get_indexer(item_column.categories)[item_column.codes]
    unknown = codes < 0
    if unknown.any() and options.unknown_items == "error":
        first = int(np.argmax(unknown))
        raise UserError(
            f"{inter_path}: line {_line(inter_path, first, sep)}: item '{item_column[first]}' is "
            f"not in {items_path}, nor are those of {unknown.sum() - 1} other rows; "
            "--unknown_items=drop leaves them out"
        )
    if options.unknown_items == "drop":
        notes["rows dropped, item not in the items file"] = int(unknown.sum())
    frame = make_inter(
        users.codes[~unknown], users.categories, codes[~unknown], item_ids, times[~unknown]
    )
    return RawData(frame, items, [inter_path, items_path], notes, positions)


def _header(path: Path, sep: str) -> list[str]:
    with open_source(path) as stream:
        records = filter(None, _records(stream, sep))
        columns = next(records, None)
        if columns is None:
            raise UserError(f"{path}: the file is empty")
        # pandas, when it reads all columns, refuses a row longer than the first one,
        # but takes a longer first row as a sign of an index column
        first: list[str] = next(records, [])
    if len(first) > len(columns):
        raise UserError(
            f"{path}: line {_line(path, 0, sep)}: {len(first)} fields; "
            f"expected {len(columns)} as in the header"
        )
    return columns


def _need(path: Path, found: Sequence[str], wanted: Iterable[tuple[str, str]]) -> None:
    """Refuse a header without the columns `wanted`, each after the flag that names it."""
    missing = [(flag, name) for flag, name in wanted if name not in found]
    if missing:
        other = next((one for one in ";\t|" if len(found) == 1 and one in found[0]), None)
        if other is not None:
            sep = "tab" if other == "\t" else f"'{other}'"
            raise UserError(f"{path}: one column, {found[0]!r}; --sep={sep} would make more")
        raise UserError(
            f"{path}: no column "
            + ", ".join(f"'{name}'{nearest(name, found)}" for _, name in missing)
            + f"; found {', '.join(found)}; "
            + ", ".join(f"--{flag}=NAME" for flag in dict(missing))
            + (" names another" if len(missing) == 1 else " name others")
        )


def _order_column(options: argparse.Namespace, found: Sequence[str]) -> tuple[str, str]:
    """Return the flag and the name of the column that orders a user's rows."""
    if options.time_col is not None and options.position_col is not None:
        raise UserError("time_col, position_col: found both; expected one of them")
    if options.position_col is not None:
        return "position_col", options.position_col
    if options.time_col is None and fields.TIME not in found and _POSITION in found:
        return "position_col", _POSITION
    return "time_col", options.time_col or fields.TIME


def _read_inter(
    path: Path, columns: list[str], positions: bool, sep: str
) -> tuple[pd.Categorical, pd.Categorical, np.ndarray]:
    """Return users, items and times of all rows; the ids are coded chunk by chunk."""
    order_col = columns[2]
    parts: list[tuple[pd.Categorical, pd.Categorical, np.ndarray]] = []
    start = 0
    with open_source(path) as stream:
        chunks = pd.read_csv(
            stream,
            sep=sep,
            dtype=str,
            na_filter=False,
            chunksize=_CHUNK_ROWS,
            encoding="utf-8",
        )
        for chunk in chunks:
            for name in columns[:2]:
                _refuse_first(path, chunk[name].fillna("") == "", start, f"no '{name}'", sep)
            times = pd.to_numeric(chunk[order_col], errors="coerce").astype(np.float64)
            _refuse_times(path, chunk[order_col], times, start, sep)
            if not positions:
                _refuse_milliseconds(path, chunk[order_col], times, start, sep)
            parts.append((_coded(chunk[columns[0]]), _coded(chunk[columns[1]]), times.to_numpy()))
            start += len(chunk)
    if not start:
        raise UserError(f"{path}: holds no interactions, only a header")
    users, items, all_times = zip(*parts, strict=True)
    return union_categoricals(users), union_categoricals(items), np.concatenate(all_times)


def _coded(column: pd.Series) -> pd.Categorical:
    codes, values = pd.factorize(column)
    return pd.Categorical.from_codes(codes, categories=values)


def _read_items(
    path: Path, options: argparse.Namespace, sep: str
) -> tuple[pd.DataFrame, dict[str, int | str]]:
    found = _header(path, sep)
    extra = [name.strip() for name in options.item_fields.split(",") if name.strip()]
    titled = options.title_col in found
    needs_title = options.require_title or options.title_col != fields.TITLE
    wanted = [("item_col", options.item_col), ("domain_col", options.domain_col)]
    wanted += [("title_col", options.title_col)] * needs_title
    _need(path, found, wanted + [("item_fields", name) for name in extra])
    for name in extra:
        if not name.isidentifier() or name in (fields.ITEM, fields.DOMAIN, fields.TITLE):
            raise UserError(f"item_fields: '{name}' cannot be a field; expected a plain, new name")
    columns = [options.item_col, options.domain_col, *([options.title_col] * titled), *extra]
    with open_source(path) as stream:
        frame = pd.read_csv(
            stream, sep=sep, dtype=str, na_filter=False, encoding="utf-8",
        )  # fmt: skip
    frame = frame[columns].fillna("")
    for name in columns[2:]:
        _refuse_swallowed_rows(path, frame[name], len(found), sep)
    ids, domains = frame[options.item_col], frame[options.domain_col].str.strip()
    _refuse_first(path, ids == "", 0, f"no '{options.item_col}'", sep)
    _refuse_first(path, domains == "", 0, "the item has no domain", sep)
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
        _refuse_first(path, moved, 0, complaint, sep)
    notes: dict[str, int | str] = {}
    if repeated.any():
        notes["items listed again, first listing kept"] = int(repeated.sum())
    if not titled:
        notes["titles"] = f"none, {path.name} has no column '{options.title_col}'"
    return table[~repeated].reset_index(drop=True), notes


def _refuse_first(path: Path, bad: pd.Series, start: int, complaint: str, sep: str) -> None:
    if bad.any():
        row = start + int(np.argmax(bad.to_numpy()))
        raise UserError(
            f"{path}: line {_line(path, row, sep)}: {complaint} ({bad.sum()} such rows so far)"
        )


def _refuse_times(path: Path, texts: pd.Series, times: pd.Series, start: int, sep: str) -> None:
    bad = ~np.isfinite(times)
    if bad.any():
        text = texts[bad].iloc[0]
        _refuse_first(
            path, bad, start, f"{texts.name} is '{text}'; expected a number, such as seconds", sep
        )


def _refuse_milliseconds(
    path: Path, texts: pd.Series, times: pd.Series, start: int, sep: str
) -> None:
    late = times.abs() > _LATEST
    if late.any():
        found = f"{texts.name} is '{texts[late].iloc[0]}'"
        expected = "expected seconds since 1970, and this looks like milliseconds"
        _refuse_first(path, late, start, f"{found}; {expected}", sep)


def _refuse_swallowed_rows(path: Path, texts: pd.Series, columns: int, sep: str) -> None:
    """Refuse a text with a row in it: a quote that is left open takes the lines after it."""
    swallows = texts.str.contains("[\r\n]")
    swallows[swallows] = [
        any(line.count(sep) >= columns - 1 for line in text.splitlines()[1:])
        for text in texts[swallows]
    ]
    if swallows.any():
        complaint = f"{texts.name} goes on with a whole row; expected the end of the quote"
        _refuse_first(path, swallows, 0, complaint, sep)


def _line(path: Path, row: int, sep: str) -> int:
    """Return the line of a file on which its data row number `row` (from 0) starts."""
    with open_source(path) as stream:
        records = _records(stream, sep)
        before = 0
        for seen, _ in enumerate(filter(None, records), start=-1):
            if seen == row:
                return before + 1
            before = records.line_num
    raise AssertionError("the row was read before")


def _records(stream: BinaryIO, sep: str) -> Any:
    return csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), delimiter=sep)
