"""Items newer than training: a table of ids, domains and titles, and their LLM vectors."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.artefacts.catalogue import render, template_fields
from recbole_edt.artefacts.store import EMBEDDINGS, ArtefactSettings
from recbole_edt.errors import UserError, nearest
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.engine import Engine
from recbole_edt.recommend.given_histories import Refuse, column_of
from recbole_edt.recommend.item_index import ItemIndex, as_tokens
from recbole_edt.runs import LoadedRun

_ID = (fields.ITEM, "item")


class NewItems(NamedTuple):
    """Checked items.

    Attributes
    ----------
    ids, titles, texts : list of str
        Of each item; `texts` are what its vector is made from.
    domains : list of int
        Number of each item's domain.
    """

    ids: list[str]
    titles: list[str]
    texts: list[str]
    domains: list[int]


def read_new_items(
    given: "pd.DataFrame | str | Path", items: ItemIndex, template: str, needs_text: bool
) -> NewItems:
    """Return the items of a table or CSV file that a run does not know yet.

    Parameters
    ----------
    given : pandas.DataFrame, str or pathlib.Path
        With the columns ``item_id``, ``domain``, and the fields of `template`, such as ``title``.
    items : ItemIndex
        What the run knows.
    template : str
        The run's ``text_template``.
    needs_text : bool
        Whether an item without any text is refused.

    Raises
    ------
    UserError
        For a missing column, an item that is known or listed twice, an unknown domain, and an
        item without a text; names the line of a file.
    """
    needed = dict.fromkeys((fields.DOMAIN, *(template_fields(template) if needs_text else ())))
    if isinstance(given, pd.DataFrame):
        return _of_table(given, list(needed), items, template, needs_text)
    file = CsvFile(Path(given), ",")
    names = _columns(str(file.path), file.columns, list(needed))
    with Engine(Path(tempfile.gettempdir())) as engine:
        file.load(engine, "texts", names)
        table = engine.frame("SELECT * FROM texts ORDER BY rowid")
    table.columns = pd.Index([fields.ITEM, *names[1:]])
    return _checked(table, file.path, items, template, file.refuse, needs_text)


def _of_table(
    table: pd.DataFrame, needed: list[str], items: ItemIndex, template: str, needs_text: bool
) -> NewItems:
    def refuse(row: int, complaint: str) -> NoReturn:
        raise UserError(f"items: row {table.index[row]}: {complaint}")

    names = _columns("items", list(map(str, table.columns)), needed)
    cells = {
        name: as_tokens(["" if pd.isna(cell) else cell for cell in table[name]]) for name in names
    }
    cells = {fields.ITEM: cells.pop(names[0]), **cells}
    return _checked(pd.DataFrame(cells), Path("items"), items, template, refuse, needs_text)


def _columns(where: str, found: list[str], needed: list[str]) -> list[str]:
    """Return the columns to read: that of the ids, the needed ones, and titles if there are any."""
    ids = column_of(_ID, found)
    for name in [fields.ITEM] * (ids is None) + needed:
        if name not in found:
            raise UserError(
                f"{where}: no column '{name}'{nearest(name, found)}; found {', '.join(found)}"
            )
    titles = [fields.TITLE] if fields.TITLE in found else []
    return list(dict.fromkeys([str(ids), *needed, *titles]))


def _checked(
    table: pd.DataFrame,
    path: Path,
    items: ItemIndex,
    template: str,
    refuse: Refuse,
    needs_text: bool,
) -> NewItems:
    if not len(table):
        raise UserError(f"{path}: holds no items; expected one at least")
    ids, names = table[fields.ITEM], table[fields.DOMAIN].str.strip()
    texts = pd.Series([""] * len(table))
    if needs_text:
        columns = {name: table[name].tolist() for name in table}
        texts = pd.Series(render(path, template, columns))
    checks: Sequence[tuple[Any, str]] = (
        (ids == "", "no item_id"),
        (items.numbers(ids.to_numpy(object)) > 0, "item {id!r} is in " + items.file),
        (ids.duplicated(), "item {id!r} is listed twice"),
        (~names.isin(items.domain_names), f"domain is {{domain!r}}; expected {items.domain_names}"),
        ((texts == "") & needs_text, "item {id!r} has no text, and it is known by its text only"),
    )
    for bad, complaint in checks:
        if np.any(bad):
            row = int(np.argmax(bad))
            refuse(row, complaint.format(id=ids.iloc[row], domain=names.iloc[row]))
    titles = table[fields.TITLE].tolist() if fields.TITLE in table else [""] * len(table)
    domains = [items.domain_names.index(name) for name in names]
    return NewItems(ids.tolist(), titles, texts.tolist(), domains)


def vectors_of(run: LoadedRun, texts: Sequence[str]) -> np.ndarray:
    """Return LLM vectors of texts, made as those of the run's items, float32 [n, m].

    Raises
    ------
    UserError
        When the encoder that made the run's item vectors is not to be had.
    """
    from recbole_edt.artefacts.embeddings import vectors_of_new_items

    assert run.artefacts is not None  # its model has read item vectors
    settings = ArtefactSettings.from_config(run.config)
    return vectors_of_new_items(settings, run.artefacts.manifest[EMBEDDINGS], texts)


def checked_vectors(run: LoadedRun, vectors: Any, count: int) -> np.ndarray:
    """Return vectors that a caller gives, float32 [count, m]; `UserError` for other shapes."""
    found = np.asarray(vectors, dtype=np.float32)
    assert run.artefacts is not None
    expected = (count, int(run.artefacts.manifest[EMBEDDINGS]["dim"]))
    if found.shape != expected or not np.isfinite(found).all():
        raise UserError(
            f"vectors: found shape {found.shape}, expected {expected}, a finite row per item"
        )
    return found
