"""The item catalogue of a dataset, and the text by which an encoder or an LLM knows an item."""

import hashlib
import string
from dataclasses import dataclass
from pathlib import Path

from recbole_edt import fields
from recbole_edt.data.atomic_file import read_columns
from recbole_edt.errors import UserError, nearest


@dataclass(frozen=True)
class Catalogue:
    """The items of ``NAME.item`` in file order.

    Attributes
    ----------
    path : pathlib.Path
        The file that was read.
    columns : dict of str to list of str
        Each field of the file without its type suffix, one value per item, as written.
    texts : list of str
        The rendered template of each item; ``""`` for an item without any text.
    hash : str
        Hex SHA-256 over the lines ``item_id TAB text``.
    """

    path: Path
    columns: dict[str, list[str]]
    texts: list[str]
    hash: str

    @property
    def ids(self) -> list[str]:
        """Item ids in file order."""
        return self.columns[fields.ITEM]

    def column(self, name: str) -> list[str]:
        """Return one field of all items.

        Raises
        ------
        UserError
            When the file has no such field.
        """
        if name not in self.columns:
            raise UserError(_no_such_field(self.path, name, self.columns))
        return self.columns[name]


def read_catalogue(dataset_dir: Path, name: str, template: str | None) -> Catalogue:
    """Read ``NAME.item`` and render every item's text.

    Values are taken literally: a quote is a quote and a title "NA" is a title.

    Parameters
    ----------
    dataset_dir : pathlib.Path
        The folder that holds ``NAME.item``.
    name : str
        The dataset's name.
    template : str or None
        Text of an item with fields of the file in braces, such as ``"{title}"``; None where no
        text is needed, and all are empty.

    Raises
    ------
    UserError
        When the file is missing or malformed, or the template names a field that it lacks.
    """
    path = dataset_dir / f"{name}.item"
    columns = _read_columns(path)
    texts = [""] * len(columns[fields.ITEM])
    if template is not None:
        texts = render(path, template, columns)
    hasher = hashlib.sha256()
    for item, text in zip(columns[fields.ITEM], texts, strict=True):
        hasher.update(f"{item}\t{text}\n".encode())
    return Catalogue(path, columns, texts, hasher.hexdigest())


def template_fields(template: str) -> list[str]:
    """Return the fields that a template names, which `read_catalogue` has checked."""
    return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]


def render(path: Path, template: str, columns: dict[str, list[str]]) -> list[str]:
    """Return the text of each item of a file; ``""`` where all fields are empty.

    Raises
    ------
    UserError
        When the template is malformed or names a field that is not among the columns.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(f"text_template: {template!r} is malformed ({error})") from None
    used = [name for _, name, _, _ in parts if name is not None]
    for _, name, spec, conversion in parts:
        if name is not None and (spec or conversion):
            raise UserError(f"text_template: {template!r}: write a plain field in the braces")
        if name is not None and name not in columns:
            raise UserError(_no_such_field(path, name, columns, "text_template: "))
    if not used:
        raise UserError(
            f"text_template: {template!r} names no field, so that all items would be alike; "
            f"expected one like '{{{fields.TITLE}}}'"
        )
    texts = []
    for values in zip(*(columns[name] for name in used), strict=True):
        item = dict(zip(used, values, strict=True))
        text = "".join(literal + item.get(name or "", "") for literal, name, _, _ in parts)
        # Without any value there is nothing to say about the item, whatever the template adds.
        texts.append(text.strip() if any(map(str.strip, values)) else "")
    return texts


def _read_columns(path: Path) -> dict[str, list[str]]:
    columns = read_columns(path, lambda name: True)
    if fields.ITEM not in columns:
        found = list(columns)
        raise UserError(f"{path}: line 1 lacks the field '{fields.ITEM}:token'; found {found}")
    if not columns[fields.ITEM]:
        raise UserError(f"{path}: holds no items")
    first_seen: dict[str, int] = {}
    for number, item in enumerate(columns[fields.ITEM], start=2):
        if not item:
            raise UserError(f"{path}: line {number} has an empty {fields.ITEM}")
        if first_seen.setdefault(item, number) != number:
            raise UserError(
                f"{path}: line {number} repeats item {item!r} of line {first_seen[item]}"
            )
    return columns


def _no_such_field(path: Path, name: str, columns: dict[str, list[str]], key: str = "") -> str:
    return f"{key}{path} has no field {name!r}{nearest(name, columns)}; it has {', '.join(columns)}"
