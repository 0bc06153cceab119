"""Command-line parsing whose complaints are one-line user errors with the nearest valid choice."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from recbole_edt.errors import UserError, nearest


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that never guesses and never exits on an error.

    Flags must be written out in full, an unknown flag is refused by the (sub-)parser that met
    it, and every complaint is raised as a `UserError`. Nested sub-parsers inherit the class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

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
