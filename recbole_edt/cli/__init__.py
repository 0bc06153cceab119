"""The command line."""

from recbole_edt.cli.entry import dispatch, main

__all__ = ["dispatch", "main"]
