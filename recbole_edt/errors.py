"""Errors that are part of the interface: one line for the user, no traceback."""

import difflib
from collections.abc import Iterable

_MOST_COMPARED = 100_000  # names, such as user ids: about a second
_MOST_HINTS = 6
_FEW, _LIKENESS_OF_FEW, _LIKENESS = 12, 0.6, 0.75


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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is that of Python, numpy or torch about memory, without importing them."""
    of_torch = type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and of_torch)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name nearest to `name`, or ``""``.

    Among many names only a misspelling counts, so that an unknown model is not called another
    one. Among few, which messages list anyway, likeness is enough.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        The names that would have been right.

    Examples
    --------
    >>> nearest("batch_size", ["train_batch_size", "eval_batch_size", "seed"])
    " (did you mean 'train_batch_size' or 'eval_batch_size'?)"
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    wanted = name.lower()
    if wanted in by_lower:
        return _hint([by_lower[wanted]])
    if len(by_lower) > _MOST_COMPARED:
        return ""
    endings = [by_lower[one] for one in by_lower if one.endswith(f"_{wanted}")]
    if 1 < len(endings) <= _MOST_HINTS:
        return _hint(endings)
    likeness = _LIKENESS_OF_FEW if len(by_lower) <= _FEW else _LIKENESS
    matches = difflib.get_close_matches(wanted, by_lower, n=1, cutoff=likeness)
    matches = matches or [one for one in by_lower if _is_one_typo(wanted, one)][:1]
    return _hint([by_lower[one] for one in matches])


def _hint(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return f" (did you mean {' or '.join(quoted)}?)" if names else ""


def _is_one_typo(name: str, known: str) -> bool:
    """Whether one letter is too much, missing, wrong or in its neighbour's place."""
    if len(name) < 2 or abs(len(name) - len(known)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(name, known, strict=False)) if a != b), None)
    if start is None:
        return True
    rest, other = name[start:], known[start:]
    return (
        rest[1:] == other
        or rest == other[1:]
        or rest[1:] == other[1:]
        or (rest[:2] == other[1::-1] and rest[2:] == other[2:])
    )
