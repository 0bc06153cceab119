"""Readers of raw data by name: this package's and those that other packages register."""

import argparse
import importlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from recbole_edt.errors import UserError, nearest
from recbole_edt.plugins import READERS, describe, load_entry, registered
from recbole_edt.prepare.raw import RawData

_MODULES = {"movielens": "movielens", "csv": "csv_reader", "amazon": "amazon"}


@runtime_checkable
class Reader(Protocol):
    """A module or object that reads one kind of raw data; its docstring is the help text.

    Attributes
    ----------
    DEFAULTS : mapping
        Defaults of its flags; those of the flags of every reader may be among them.
    """

    DEFAULTS: Mapping[str, Any]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the reader's flags to a parser or argument group."""

    def read(self, options: argparse.Namespace) -> RawData:
        """Read the data that the flags name; `UserError` for anything wrong with them."""


@runtime_checkable
class HasRecipes(Protocol):
    """A reader with named sets of options."""

    def recipe(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of the recipe that the given flags name, ``{}`` for none."""


def own_readers() -> tuple[str, ...]:
    """Return the names of this package's readers."""
    return tuple(_MODULES)


def reader_names() -> tuple[str, ...]:
    """Return the names of all readers, this package's first; none is imported."""
    return (*_MODULES, *(name for name in registered(READERS) if name not in _MODULES))


def get_reader(name: str) -> Reader:
    """Import the reader called `name`.

    Raises
    ------
    UserError
        When no such reader exists or its entry point is broken.
    """
    if name in _MODULES:
        return importlib.import_module(f"recbole_edt.prepare.{_MODULES[name]}")  # type: ignore[return-value]
    external = registered(READERS)
    if name not in external:
        known = reader_names()
        raise UserError(
            f"reader: {name!r} is unknown; expected one of {', '.join(known)}{nearest(name, known)}"
        )
    reader = load_entry(external[name])
    if not isinstance(reader, Reader):
        raise UserError(
            f"{describe(external[name])}: expected DEFAULTS, add_arguments(parser) and "
            "read(options) -> RawData"
        )
    return reader


def recipe_options(reader: Reader, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the recipe that the given flags name; ``{}`` without recipes."""
    return reader.recipe(given) if isinstance(reader, HasRecipes) else {}
