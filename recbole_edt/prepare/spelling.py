"""Ids that two tables write differently, such as ``1.0`` and ``1``."""

from collections.abc import Callable, Mapping

import pandas as pd

_DIFFERENCES: Mapping[str, Callable[[pd.Series], pd.Series]] = {
    "'.0' at the end": lambda ids: ids.str.replace(r"\.0+$", "", regex=True),
    "blanks": lambda ids: ids.str.replace(r"\s+", "", regex=True),
    "zeros at the start": lambda ids: ids.str.replace(r"^0+(?=.)", "", regex=True),
    "small and capital letters": lambda ids: ids.str.casefold(),
}


def other_spelling(token: str, known: pd.Series) -> tuple[str, str] | None:
    """Return how a table writes an id that it does not have letter by letter.

    Parameters
    ----------
    token : str
        The id.
    known : pandas.Series
        Ids of the table, str.

    Returns
    -------
    tuple of str or None
        The table's id and in words by what alone the two differ; None when no id is that near.

    Examples
    --------
    >>> other_spelling("7.0", pd.Series(["6", "7"]))
    ('7', "'.0' at the end")
    """
    for difference, plain in _DIFFERENCES.items():
        same = known[plain(known) == plain(pd.Series([token])).iloc[0]]
        if len(same):
            return str(same.iloc[0]), difference
    return None
