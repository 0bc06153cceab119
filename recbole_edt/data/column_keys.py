"""Keys whose values name columns, checked against the columns that were loaded."""

from collections.abc import Collection, Mapping
from typing import Any

from recbole_edt.errors import UserError, nearest

_FLOATS = ("float", "float_seq")
_TOKENS = ("token", "token_seq")
_KINDS: Mapping[str, Collection[str]] = {
    "normalize_field": _FLOATS,
    "numerical_features": _FLOATS,
    "discretization": _FLOATS,
    "alias_of_user_id": _TOKENS,
    "alias_of_item_id": _TOKENS,
    "seq_len": ("token_seq", "float_seq"),
}
"""RecBole's keys that name columns, with the types of columns that they are for."""
_METHODS = ("ED", "LD")


def check_column_keys(config: Any, kinds: Mapping[str, str]) -> None:
    """Refuse keys that name no column, or one of a type that they are not for.

    RecBole leaves some of these out without a word, and fails on others.

    Parameters
    ----------
    config : EDTConfig
        Of the run.
    kinds : mapping
        Type of each column that was loaded, such as ``token_seq``, by name.

    Raises
    ------
    UserError
        Names the key, the column and what was expected.
    """
    for key, expected in _KINDS.items():
        for column in config[key] or ():
            if column not in kinds:
                raise UserError(
                    f"{key}: {column!r} is no column that load_col loads, which are "
                    f"{', '.join(kinds)}{nearest(str(column), kinds)}"
                )
            if kinds[column] not in expected:
                raise UserError(
                    f"{key}: column {column!r} is of type {kinds[column]}, expected one of "
                    f"{' or '.join(expected)}"
                )
    for column, how in (config["discretization"] or {}).items():
        _check_discretization(column, how, config["numerical_features"])
    if config["normalize_all"] and config["normalize_field"]:
        raise UserError("normalize_all: found True beside normalize_field; expected one of them")


def _check_discretization(column: str, how: Any, numerical: Collection[str]) -> None:
    at = f"discretization: {column}"
    if column not in numerical:
        raise UserError(f"{at}: expected the column in numerical_features too")
    if not isinstance(how, dict) or how.get("method") not in _METHODS:
        raise UserError(f"{at}: found {how!r}, expected a mapping with method: ED or LD")
    bucket = how.get("bucket")
    if how["method"] == "ED" and (type(bucket) is not int or bucket < 1):
        raise UserError(f"{at}: found {how!r}, expected bucket: a whole number above 0")
