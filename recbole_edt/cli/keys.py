"""Flags of a command beside ``--key=value`` for any key of the configuration, as RecBole has it."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recbole_edt.cli.arguments import ArgumentParser
from recbole_edt.errors import UserError, nearest

if TYPE_CHECKING:
    from recbole_edt.config import EDTConfig
    from recbole_edt.runs import RunFolder

ANY_KEY = "Every key of a configuration file is a flag --key=value too (docs/configuration.md)."


class CommandParser(ArgumentParser):
    """The parser of one command; `accept_keys` makes it take configuration keys as well.

    Attributes
    ----------
    argv : sequence of str
        What will be parsed, for commands whose flags depend on it.
    """

    def __init__(self, *args: Any, argv: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.argv, self._accepts_keys = argv, False

    def accept_keys(self, help_text: str = ANY_KEY) -> None:
        """Take ``--key=value`` for names that are no flag; values are read as YAML.

        `parse_args` then returns them under ``keys``, and under ``given`` the text of each flag
        with a value, by name as it is written.
        """
        self._accepts_keys, self.epilog = True, help_text

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse the arguments of the command.

        Raises
        ------
        UserError
            For an argument that is neither a flag nor ``--key=value``, among them ``--key value``
            with a blank, and for a flag or key given twice.
        """
        if not self._accepts_keys or {"-h", "--help"} & {*(args or ())}:
            return super().parse_args(args, namespace)
        flags = {
            name.removeprefix("--"): action
            for name, action in self._option_string_actions.items()
            if action.dest != "help"
        }
        keys, given, switches = _split(args or (), flags)
        values: dict[str, object] = {action.dest: action.default for action in flags.values()}
        values |= {flags[name].dest: True for name in switches}
        for name, text in given.items():
            values[flags[name].dest] = self._convert(name, flags[name], text)
        return argparse.Namespace(**values, keys=keys, given=given)

    def _convert(self, name: str, action: argparse.Action, text: str) -> object:
        if not callable(action.type):
            return text
        try:
            return action.type(text)
        except argparse.ArgumentTypeError as error:
            raise UserError(f"--{name}: {error}") from None


def _split(
    argv: Sequence[str], flags: Mapping[str, argparse.Action]
) -> tuple[dict[str, object], dict[str, str], set[str]]:
    """Return the keys with their values, the flags with their texts, the switches that are set."""
    from recbole_edt.config import parse_flag

    keys: dict[str, object] = {}
    given: dict[str, str] = {}
    switches: set[str] = set()
    known_switches = [name for name, action in flags.items() if action.nargs == 0]
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not name:
            raise UserError(f"found {argument!r}, expected --key=value")
        if name in known_switches and not equals:
            switches.add(name)
        elif name in flags and name not in known_switches:
            if not equals and not rest:
                raise UserError(f"--{name}: expected a value")
            if name in given:
                raise UserError(f"--{name}: given twice")
            given[name] = value if equals else rest.pop(0)
        elif not equals:
            hint = f" (did you mean --{name}={rest[0]}?)" if rest else nearest(name, known_switches)
            raise UserError(f"found {argument!r}, expected --{name}=value{hint}")
        elif name in keys:
            raise UserError(f"--{name}: given twice")
        else:
            keys[name] = parse_flag(name, value)
    return keys, given, switches


def add_cluster_flags(parser: CommandParser) -> None:
    """Add the flags of a command whose processes can run on a cluster."""
    from recbole_edt.executors import CLUSTER_FLAGS

    for flag, (metavar, text) in CLUSTER_FLAGS.items():
        parser.add_argument(f"--{flag}", metavar=metavar, help=text)


def loadable_folder(folder: "RunFolder") -> "RunFolder":
    """Return the folder that is loaded, and say so on the error stream where it is a fold's."""
    loaded = folder.loadable()
    if loaded != folder:
        print(f"recbole-edt: {folder.path} has several folds; the last is used", file=sys.stderr)
    return loaded


def configuration(keys: Mapping[str, object], model: str | None = None) -> "EDTConfig":
    """Return the configuration of keys as `CommandParser` parses them; ``config_files`` is one."""
    from recbole_edt.config import EDTConfig, split_paths

    overrides = dict(keys)
    files = split_paths(str(overrides.pop("config_files", None) or ""))
    return EDTConfig(model, None, files, overrides)
