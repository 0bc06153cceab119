"""What a reader of raw data offers, and finding readers, those of other packages included."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from recbole_edt.errors import UserError
from recbole_edt.prepare.raw import RawData

ENTRY_POINTS = "recbole_edt.readers"
"""Group of entry points ``NAME = "module:READER"`` by which another package adds readers."""

_BUILT_IN = {"movielens": "movielens", "csv": "csv_reader", "amazon": "amazon"}


def no_recipe(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return no options: the reader has no recipes."""
    return {}


@dataclass(frozen=True)
class Reader:
    """A kind of raw data that ``recbole-edt prepare`` reads.

    Attributes
    ----------
    summary : str
        One line for the help text.
    defaults : mapping
        Value of each of its flags when it is not given; a flag of every reader, such as
        ``dataset`` or ``ties``, may have another default here.
    add_arguments : callable
        Adds its flags to an argparse group.
    read : callable
        Returns the raw data for the options, a namespace of all flags; raises `UserError` for
        whatever is wrong with them.
    recipe : callable
        Returns the options of the recipe that the given flags name, ``{}`` without one.
    """

    summary: str
    defaults: Mapping[str, Any]
    add_arguments: Callable[[Any], None]
    read: Callable[[argparse.Namespace], RawData]
    recipe: Callable[[Mapping[str, Any]], dict[str, Any]] = no_recipe


def readers() -> dict[str, Reader]:
    """Return all readers by name: this package's, then those registered by others.

    Raises
    ------
    UserError
        When a registered reader cannot be imported, or is no `Reader`.
    """
    found = {
        name: import_module(f"recbole_edt.prepare.{module}").READER
        for name, module in _BUILT_IN.items()
    }
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            reader = entry.load()
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"reader {entry.name}: {entry.value} cannot be loaded ({error})"
            ) from None
        if not isinstance(reader, Reader):
            raise UserError(f"reader {entry.name}: {entry.value} is no recbole_edt Reader")
        found.setdefault(entry.name, reader)
    return found
