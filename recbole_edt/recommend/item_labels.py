"""Ids, titles and domains of items by their numbers, and text cut to a width."""

from recbole_edt import fields
from recbole_edt.errors import UserError, nearest
from recbole_edt.runs import LoadedRun

_TITLE_WIDTH = 60


class ItemLabels:
    """What a reader knows items by.

    Parameters
    ----------
    run : LoadedRun
        Gives the catalogue and the numbers.
    """

    def __init__(self, run: LoadedRun):
        self._dataset, catalogue = run.dataset, run.catalogue
        titles = catalogue.columns.get(fields.TITLE, [""] * len(catalogue.ids))
        self._title_of = dict(zip(catalogue.ids, titles, strict=True))
        self._ids = run.dataset.field2id_token[run.dataset.iid_field]
        self._counts = run.trained_on.item_counts()

    def item_id(self, number: int) -> str:
        """Return the id as in ``NAME.item``."""
        return str(self._ids[number])

    def title(self, item: str) -> str:
        """Return the title of an id, cut to a width."""
        return shorten(self._title_of.get(item, "").strip() or "(no title)", _TITLE_WIDTH)

    def domain(self, number: int) -> str:
        """Return the name of the item's domain."""
        return self._dataset.domains[int(self._dataset.item_domain[number])]

    def is_new(self, number: int) -> bool:
        """Return whether no row that the model was trained on has the item."""
        return not self._counts[number]


def number_of(kind: str, token: str, numbers: dict[str, int], file: str) -> int:
    """Return the number of a user or item id.

    Raises
    ------
    UserError
        When the id is unknown; names the file and the nearest id.
    """
    if token not in numbers or token == "[PAD]":
        known = [name for name in numbers if name != "[PAD]"]
        raise UserError(f"{kind}: {token!r} is not in {file}{nearest(token, known)}")
    return numbers[token]


def shorten(text: str, width: int) -> str:
    """Return a text of at most `width` characters, cut with ``...``."""
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."
