"""The items that a run scores, as arrays by their numbers: ids, titles, domains."""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError, nearest
from recbole_edt.runs import LoadedRun

_TITLE_WIDTH = 60


class ItemIndex:
    """Ids, titles and domains of items, and the way from ids to numbers.

    Parameters
    ----------
    run : LoadedRun
        Gives the items.

    Attributes
    ----------
    ids, titles : numpy.ndarray
        Text of each item, object [item_num]; number 0 is padding. A title is whole, ``""`` where
        there is none.
    domains : numpy.ndarray
        Domain of each item, int64 [item_num], -1 for padding.
    domain_names : list of str
        Names of the domains.
    file : str
        Where the ids are from.
    """

    def __init__(self, run: LoadedRun):
        dataset, catalogue = run.dataset, run.catalogue
        self.domain_names = dataset.domains
        self.file = f"{dataset.dataset_name}.item"
        self.ids = np.array(dataset.field2id_token[dataset.iid_field].tolist(), dtype=object)
        self.domains = dataset.item_domain.numpy()
        titles = catalogue.columns.get(fields.TITLE, [""] * len(catalogue.ids))
        rows = pd.Index(catalogue.ids, dtype=object).get_indexer(self.ids)
        self.titles = np.array([*titles, ""], dtype=object)[rows]
        self._numbers = pd.Index(self.ids[1:], dtype=object)

    def extended(
        self, ids: Sequence[str], titles: Sequence[str], domains: Sequence[int]
    ) -> "ItemIndex":
        """Return these items and further ones, numbered after them."""
        more = copy(self)
        more.ids = np.append(self.ids, np.array(ids, dtype=object))
        more.titles = np.append(self.titles, np.array(titles, dtype=object))
        more.domains = np.append(self.domains, np.array(domains, dtype=np.int64))
        more._numbers = pd.Index(more.ids[1:], dtype=object)
        return more

    def __len__(self) -> int:
        return len(self.ids)

    def numbers(self, ids: np.ndarray) -> np.ndarray:
        """Return the number of each id, int64 [n]; 0 for unknown ones."""
        return self._numbers.get_indexer(pd.Index(ids, dtype=object)) + 1

    def known_numbers(self, ids: Iterable[object], what: str) -> np.ndarray:
        """Return the number of each id, int64 [n].

        Raises
        ------
        UserError
            For an unknown id, after the words `what`.
        """
        tokens = as_tokens(list(ids))
        numbers = self.numbers(tokens)
        if len(numbers) and not numbers.all():
            raise UserError(f"{what}: {self.unknown(tokens[int(np.argmin(numbers))])}")
        return numbers

    def short_title(self, item: str) -> str:
        """Return the title of an id, cut to a width."""
        (title,) = self.titles[self.numbers(np.array([item], dtype=object))]
        return shorten(title.strip() or "(no title)", _TITLE_WIDTH)

    def domain_of(self, number: int) -> str:
        """Return the name of an item's domain."""
        return self.domain_names[self.domains[number]]

    def unknown(self, token: str) -> str:
        """Return the complaint about an unknown id."""
        return f"item {token!r} is not in {self.file}{nearest(token, self.ids[1:])}"

    def domain_number(self, name: str) -> int:
        """Return the number of a domain; `UserError` when there is none of the name."""
        if name not in self.domain_names:
            raise UserError(
                f"domain: {name!r}; expected one of {self.domain_names}"
                f"{nearest(str(name), self.domain_names)}"
            )
        return self.domain_names.index(name)


def as_tokens(ids: list[object]) -> np.ndarray:
    """Return ids as texts, object [n]: numbers are written as Python writes them."""
    tokens = object_array(ids)
    if pd.api.types.infer_dtype(tokens, skipna=False) != "string":
        tokens[:] = list(map(str, ids))
    return tokens


def object_array(values: list[Any]) -> np.ndarray:
    """Return an array of objects that numpy leaves as they are, [n]."""
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result


def shorten(text: str, width: int) -> str:
    """Return a text of at most `width` characters, cut with ``...``."""
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."
