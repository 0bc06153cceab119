"""What a reader of raw data offers, and finding readers, those of other packages included."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
class Flag:
    """A flag ``--name=VALUE`` of ``recbole-edt prepare``.

    Attributes
    ----------
    name : str
        Without the dashes.
    default : any
        Its value when neither the user nor a recipe gives one.
    help : str
        Help text.
    options : mapping
        Further arguments of argparse's ``add_argument``, such as ``choices``.
    """

    name: str
    default: Any
    help: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """A kind of raw data that ``recbole-edt prepare`` reads.

    Attributes
    ----------
    summary : str
        One line for the help text.
    flags : sequence of Flag
        The flags of this reader.
    read : callable
        Returns the raw data for the options, a namespace of all flags; raises `UserError` for
        whatever is wrong with them.
    recipe : callable
        Returns the options of the recipe that the given flags name, ``{}`` without one.
    common_defaults : mapping
        Other defaults of flags that every reader has, such as ``dataset`` or ``ties``.
    """

    summary: str
    flags: Sequence[Flag]
    read: Callable[[argparse.Namespace], RawData]
    recipe: Callable[[Mapping[str, Any]], dict[str, Any]] = no_recipe
    common_defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def defaults(self) -> dict[str, Any]:
        """The default of each flag of this reader, and of common flags where it is another."""
        return {flag.name: flag.default for flag in self.flags} | dict(self.common_defaults)

    def add_arguments(self, group: Any) -> None:
        """Add the flags of this reader to a parser or group of argparse."""
        for flag in self.flags:
            group.add_argument(f"--{flag.name}", help=flag.help, **flag.options)


def get_reader(name: str) -> Reader:
    """Return the reader of this name; those of other packages are loaded only for their names.

    Raises
    ------
    UserError
        As `readers`.
    """
    return _built_in(name) if name in _BUILT_IN else readers()[name]


def readers() -> dict[str, Reader]:
    """Return all readers by name: this package's, then those registered by others.

    Raises
    ------
    UserError
        When a registered reader cannot be imported, or is no `Reader`.
    """
    found = {name: _built_in(name) for name in _BUILT_IN}
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


def _built_in(name: str) -> Reader:
    reader: Reader = import_module(f"recbole_edt.prepare.{_BUILT_IN[name]}").READER
    return reader
