"""Errors that are part of the interface: one line for the user, no traceback."""

import difflib
from collections.abc import Iterable

_MOST_COMPARED = 100_000  # names, such as user ids: about a second


class UserError(Exception):
    """Bad input or usage; the command line prints the message and exits with status 2.

    The message is one line that names the file, line or key, what was found and what was
    expected.
    """


def one_line(error: object, length: int | None = None) -> str:
    r"""Return an error's text as one line, cut to a length.

    Examples
    --------
    >>> one_line("a bad\n  file", 5)
    'a bad'
    """
    return " ".join(str(error).split())[:length]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name nearest to `name`, or ``""``.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        The names that would have been right.
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    if name.lower() in by_lower:
        return f" (did you mean '{by_lower[name.lower()]}'?)"
    if len(by_lower) > _MOST_COMPARED:
        return ""
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean '{by_lower[matches[0]]}'?)" if matches else ""
