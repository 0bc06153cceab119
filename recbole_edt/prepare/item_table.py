"""A table of items: ids, domains, titles and further texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.engine import Engine
from recbole_edt.prepare.parquet_file import ParquetFile
from recbole_edt.prepare.raw import clean_text


@dataclass(frozen=True)
class ItemColumns:
    """The columns that are read of a table of items.

    Attributes
    ----------
    item, domain : str
        Of the ids and domains.
    title : str
        Of the titles.
    title_needed : bool
        Whether a table without titles is refused.
    extra : sequence of str
        Further texts to keep, under their own names.
    """

    item: str
    domain: str
    title: str
    title_needed: bool = False
    extra: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse further columns that cannot be fields of a dataset."""
        for name in self.extra:
            if not name.isidentifier() or name in (fields.ITEM, fields.DOMAIN, fields.TITLE):
                raise UserError(
                    f"item_fields: '{name}' cannot be a field; expected a plain, new name"
                )


def read_items(
    file: CsvFile | ParquetFile, columns: ItemColumns, domain: str | None, engine: Engine
) -> tuple[pd.DataFrame, dict[str, int | str]]:
    """Return one row per item: `item_id`, `domain`, `title` and further texts; and notes.

    Parameters
    ----------
    file : CsvFile or ParquetFile
        The table.
    columns : ItemColumns
        What is read of it.
    domain : str or None
        Of all items; None reads the column.
    engine : Engine
        Reads the table.

    Raises
    ------
    UserError
        For a missing column, an empty id, and an item without a domain or in two.
    """
    titled = columns.title in file.columns
    needed = [("item_col", columns.item)]
    needed += [("domain_col", columns.domain)] * (domain is None)
    needed += [("title_col", columns.title)] * columns.title_needed
    file.require(needed + [("item_fields", name) for name in columns.extra])
    names = [columns.item]
    names += [columns.domain] * (domain is None) + [columns.title] * titled + [*columns.extra]
    file.load(engine, "texts", names)
    frame = engine.frame("SELECT * FROM texts ORDER BY rowid")
    frame.columns = pd.Index(names)
    ids = frame[columns.item]
    if domain is None:
        given = frame[columns.domain]
        domains = given.map({text: text.strip() for text in given.unique()})
    else:
        domains = pd.Series(domain, ids.index)
    _refuse_any(file, ids == "", f"no '{columns.item}'")
    _refuse_any(file, domains == "", "the item has no domain")
    table = pd.DataFrame({fields.ITEM: ids, fields.DOMAIN: domains})
    table[fields.TITLE] = frame[columns.title] if titled else ""
    for name in columns.extra:
        table[name] = clean_text(frame[name])[0]
    notes: dict[str, int | str] = {}
    repeated = ids.duplicated()
    if repeated.any():
        moved = repeated & ~table.duplicated([fields.ITEM, fields.DOMAIN])
        if moved.any():
            item, other = ids[moved].iloc[0], domains[moved].iloc[0]
            before = domains[ids == item].iloc[0]
            complaint = (
                f"item {item!r} is of domain {other!r}, and of {before!r} above; expected one"
            )
            _refuse_any(file, moved, complaint)
        notes["items listed again, first listing kept"] = int(repeated.sum())
    if not titled:
        notes["titles"] = f"none, {file.path.name} has no column '{columns.title}'"
    return table[~repeated].reset_index(drop=True), notes


def items_of_rows(engine: Engine, domain: str | None) -> pd.DataFrame:
    """Return the items of table `part`, untitled, in order of first appearance."""
    ids = engine.frame("SELECT item FROM part GROUP BY item ORDER BY min(rowid)")["item"]
    return pd.DataFrame({fields.ITEM: ids, fields.DOMAIN: domain, fields.TITLE: ""})


def _refuse_any(file: CsvFile | ParquetFile, bad: pd.Series, complaint: str) -> None:
    """Refuse the first row of a mask, bool, one value per row, if any."""
    if bad.any():
        file.refuse(int(np.argmax(bad.to_numpy())), f"{complaint} ({bad.sum()} such rows so far)")
