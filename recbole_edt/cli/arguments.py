"""The parser of a command: flags, and ``--key=value`` for any key of the configuration.

Complaints are one-line user errors with the nearest valid choice.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from recbole_edt.errors import UserError, nearest

if TYPE_CHECKING:
    from recbole_edt.config import EDTConfig
    from recbole_edt.runs import RunFolder

ANY_KEY = "Every key of a configuration file is a flag --key=value too (docs/configuration.md)."


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that never guesses and never exits on an error.

    Flags must be written out in full, an unknown flag is refused by the (sub-)parser that met
    it, and every complaint is raised as a `UserError`. Nested sub-parsers inherit the class.
    `accept_keys` makes it take configuration keys as well, as RecBole does.

    Attributes
    ----------
    argv : sequence of str
        What will be parsed, for commands whose flags depend on it.
    """

    def __init__(self, *args: Any, argv: Sequence[str] = (), **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self.argv, self._accepts_keys = argv, False

    def error(self, message: str) -> NoReturn:
        """Raise the complaint instead of printing the usage and exiting.

        Raises
        ------
        UserError
            Always.
        """
        raise UserError(f"{self.prog.removeprefix('recbole-edt ')}: {' '.join(message.split())}")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, refusing what this parser does not know.

        argparse lets a sub-parser hand its unknown flags up to the main parser, which cannot
        tell what they were meant to be.

        Raises
        ------
        UserError
            For the first unknown argument, with the nearest known flag.
        """
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].partition("=")[0]
            known = [name for name in self._option_string_actions if name.startswith("--")]
            kind = "flag" if flag.startswith("-") else "argument"
            self.error(f"unknown {kind} '{flag}'{nearest(flag, known)}")
        return parsed, unknown

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(
                action,
                f"'{value}' is unknown; expected one of {', '.join(names)}"
                f"{nearest(str(value), names)}",
            )

    def accept_keys(self, only: Sequence[str] = (), note: str = "") -> None:
        """Take ``--key=value`` for names that are no flag; values are read as YAML.

        `parse_args` then returns them under ``keys``, under ``given`` the text of each flag with
        a value, by name as it is written, and under ``flags`` the names of all flags. The help
        names the keys that a command reads `only`, and ends with a note.
        """
        self._accepts_keys, self.epilog = True, ANY_KEY
        if only:
            kind, names = "Key" if len(only) == 1 else "Keys", ", ".join(only)
            self.epilog = (
                f"{kind} of the configuration that may be given as --key=value: {names}{note}."
            )

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
        return argparse.Namespace(**values, keys=keys, given=given, flags=[*flags])

    def _convert(self, name: str, action: argparse.Action, text: str) -> object:
        if not callable(action.type):
            return text
        try:
            return action.type(text)
        except argparse.ArgumentTypeError as error:
            raise UserError(f"--{name}: {error}") from None


def positive(text: str) -> int:
    """Parse a whole number above 0 (for the `type` of a flag)."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)


def count(text: str) -> int:
    """Parse a whole number that is not negative (for the `type` of a flag)."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 0 or more")
    return int(text)


def truth(text: str) -> bool:
    """Parse ``true`` or ``false`` in any case (for the `type` of a flag)."""
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false") from None


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


def add_cluster_flags(parser: ArgumentParser) -> None:
    """Add the flags of a command whose processes can run on a cluster."""
    from recbole_edt.executors import CLUSTER_FLAGS

    for flag, (metavar, text) in CLUSTER_FLAGS.items():
        parser.add_argument(f"--{flag}", metavar=metavar, help=text)


def refuse_other_keys(
    args: argparse.Namespace,
    allowed: Sequence[str],
    why: str = "not of use here; a run has its own settings",
) -> None:
    """Refuse keys that a command does not read, with the nearest flag or key."""
    for key in args.keys:
        if key not in allowed:
            raise UserError(f"--{key}: {why}{nearest(key, (*args.flags, *allowed))}")


def loadable_folder(folder: "RunFolder") -> "RunFolder":
    """Return the folder that is loaded, and say so on the error stream where it is a fold's."""
    loaded = folder.loadable()
    if loaded != folder:
        print(f"recbole-edt: {folder.path} has several folds; the last is used", file=sys.stderr)
    return loaded


def configuration(keys: Mapping[str, object], model: str | None = None) -> "EDTConfig":
    """Return the configuration of keys as `ArgumentParser` parses them; ``config_files`` is one."""
    from recbole_edt.config import EDTConfig, split_paths

    overrides = dict(keys)
    files = split_paths(str(overrides.pop("config_files", None) or ""))
    return EDTConfig(model, None, files, overrides)
