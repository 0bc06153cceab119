"""What every reader returns, whatever it has read."""

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.prepare.engine import Engine
from recbole_edt.prepare.interactions import Interactions


@dataclass
class RawData:
    """Interactions and items of several domains, before any filter.

    Attributes
    ----------
    inter : pandas.DataFrame or Interactions
        What `make_inter` returns, one row per interaction in reading order: `user_id`
        (categorical, categories in order of first appearance), `item_id` (categorical, its
        categories are ``items.item_id``) and `timestamp` (float64: seconds since 1970, or
        positions). Readers of large data read into the engine instead.
    items : pandas.DataFrame
        One row per item: `item_id`, `domain`, `title` (empty when there is none) and any
        further text columns. The index holds the codes of the items.
    inputs : list of pathlib.Path
        The files it was read from.
    notes : dict
        What was read and left out, in words and counts, for the report.
    positions : bool
        Whether `timestamp` holds positions inside each user's sequence instead of seconds.
    parts : sequence of tuple
        Of data that are split already: where in reading order each part of the split ends (the row
        after its last), and its code (`recbole_edt.data.split`). Empty otherwise.
    load_titles : callable, optional
        Given the ids of the items that are left, returns their titles (aligned with the ids)
        and further notes. Readers whose metadata are large set it, so that titles of filtered
        items are never parsed.
    """

    inter: pd.DataFrame | Interactions
    items: pd.DataFrame
    inputs: list[Path]
    notes: dict[str, int | str] = field(default_factory=dict)
    positions: bool = False
    parts: Sequence[tuple[int, int]] = ()
    load_titles: Callable[[pd.Series], tuple[pd.Series, dict[str, int | str]]] | None = None

    def interactions(self, engine: Engine | None = None) -> Interactions:
        """Return the interactions in an engine, copied into it first when they are a frame."""
        if not isinstance(self.inter, Interactions):
            self.items = self.items.reset_index(drop=True)
            self.inter = Interactions.from_frame(self.inter, engine)
        return self.inter


def domain_codes(items: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Return the domain code of each item, shape [items], and the domains' names."""
    codes, names = pd.factorize(items[fields.DOMAIN])
    return codes, list(names)


def make_inter(
    user_codes: np.ndarray,
    user_ids: pd.Index,
    item_codes: np.ndarray,
    item_ids: pd.Index,
    times: np.ndarray,
) -> pd.DataFrame:
    """Return the `inter` frame of `RawData` from integer codes and the ids of each code."""
    return pd.DataFrame(
        {
            fields.USER: pd.Categorical.from_codes(user_codes, categories=user_ids),
            fields.ITEM: pd.Categorical.from_codes(item_codes, categories=item_ids),
            fields.TIME: np.asarray(times, dtype=np.float64),
        }
    )


def clean_text(texts: pd.Series) -> tuple[pd.Series, int]:
    """Make texts fit one field of a tab-separated file; also return how many changed.

    HTML entities are unescaped until nothing changes, because dumps hold ``&amp;amp;``. Every
    run of white space, tabs and line breaks included, becomes one blank. A leading ``"`` becomes
    a typographic one: to RecBole's reader it would open a quoted field, anywhere else it is a
    character like others.
    """
    doubtful = np.fromiter(map(_may_be_unclean, texts), bool, len(texts))
    found = texts[doubtful]
    mended = found.map(_unescape).str.replace(r"[\s\x00-\x1f\x7f]+", " ", regex=True).str.strip()
    mended = mended.str.replace(r'^"', "\u201c", regex=True)
    cleaned = texts.copy()
    cleaned[doubtful] = mended
    return cleaned, int((mended != found).sum())


def _may_be_unclean(text: str) -> bool:
    """Return False for most texts that `clean_text` leaves alone, much sooner than it does."""
    if not text.isprintable():  # of white space and control characters only a blank is printable
        return True
    return "&" in text or "  " in text or text.startswith((" ", '"')) or text.endswith(" ")


def strip_markup(text: str) -> str:
    """Replace HTML tags by blanks; a lone ``<`` stays."""
    return re.sub(r"</?[A-Za-z][^<>]*>", " ", text)


def _unescape(text: str) -> str:
    while (plain := html.unescape(text)) != text:
        text = plain
    return text
