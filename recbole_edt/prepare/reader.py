"""What a reader of raw data offers, and finding readers, those of other packages included."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from recbole_edt.errors import UserError, nearest
from recbole_edt.plugins import READERS, describe, load_entry, registered
from recbole_edt.prepare.raw import RawData

BUILT_IN = {
    "movielens": "movielens",
    "csv": "csv_reader",
    "amazon": "amazon",
    "parquet": "parquet",
    "atomic": "atomic",
    "netflix": "netflix",
}


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


def reader_names() -> tuple[str, ...]:
    """Return the names of all readers, this package's first; none is imported."""
    return (*BUILT_IN, *(registered(READERS).keys() - BUILT_IN.keys()))


def get_reader(name: str) -> Reader:
    """Return the reader of this name: this package's, or else one that another package registers.

    Raises
    ------
    UserError
        When there is none, it cannot be imported, or is no `Reader`.
    """
    if name in BUILT_IN:
        built_in: Reader = import_module(f"recbole_edt.prepare.{BUILT_IN[name]}").READER
        return built_in
    entries, names = registered(READERS), reader_names()
    if name not in entries:
        hint = nearest(name, names)
        raise UserError(f"reader: {name!r} is unknown; expected one of {', '.join(names)}{hint}")
    reader = load_entry(entries[name])
    if not isinstance(reader, Reader):
        raise UserError(
            f"{describe(entries[name])}: found {reader!r}"[:200]
            + ", expected a recbole_edt.prepare.reader.Reader"
        )
    return reader
