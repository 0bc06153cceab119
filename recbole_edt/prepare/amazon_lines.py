"""One line of an Amazon dump as an object, with errors that name it."""

import ast
import json
from pathlib import Path
from typing import Any

from recbole_edt.errors import UserError


def loads(line: bytes) -> dict[str, Any]:
    """Return the object on one line: JSON, or the Python literals of the release of 2014."""
    text = line.decode("utf-8")
    try:
        row = json.loads(text)
    except json.JSONDecodeError:
        row = ast.literal_eval(text.strip())
    if not isinstance(row, dict):
        raise TypeError("not an object")
    return row


def parse_object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """Return the object on line `number` of a file; `UserError` when there is none."""
    try:
        return loads(line)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise UserError(f"{path}: line {number}: {reason(error)}") from None


def reason(error: Exception) -> str:
    """Return in words why a line is no review or item."""
    if isinstance(error, KeyError):
        return f"no key {error}"
    if isinstance(error, SyntaxError):
        return "neither JSON nor a Python literal"
    return f"not a review or item as expected ({' '.join(str(error).split())})"
