"""What RecBole's own code raises, as one line that names model, data and changed keys."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from recbole_edt.errors import UserError, one_line

_PACKAGES = ("recbole", "recbole_edt")
_MOST_SHOWN = 400  # characters of changed keys


@contextmanager
def named_failures(doing: str, config: Any) -> Iterator[None]:
    """Name model and data in what RecBole raises for settings or data that it cannot use.

    RecBole checks little of both, and fails somewhere later: with a `KeyError` for a column that
    is missing, in `torch.cat` for one of a type that it does not read.

    Parameters
    ----------
    doing : str
        What is done, such as ``trained``.
    config : EDTConfig
        Of the run.

    Raises
    ------
    UserError
        In place of any error that RecBole's code raises. All other errors pass.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not raised_in_recbole(error):
            raise
        changed = shown_keys(config.changed)
        raise UserError(
            f"model: {config['model']} cannot be {doing} on {config['dataset']}: "
            f"{reason_of(error)}{changed}"
        ) from error


def raised_in_recbole(error: BaseException) -> bool:
    """Whether RecBole's code is nearer to an error than this package's.

    Libraries below both, such as torch, are not asked: they raise what they are called with.
    """
    nearest = ""
    frame = error.__traceback__
    while frame is not None:
        package = str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        nearest = package if package in _PACKAGES else nearest
        frame = frame.tb_next
    return nearest == "recbole"


def reason_of(error: Exception) -> str:
    """Return an error in words: a bare name of a `KeyError` explains nothing."""
    text = one_line(error)
    if isinstance(error, KeyError):
        return f"{text} is neither a key that is set nor a column that load_col loads"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shown_keys(keys: Mapping[str, Any]) -> str:
    """Return keys with their values in brackets, for the end of a message; empty without any."""
    text = ", ".join(f"{key}: {value!r}" for key, value in keys.items())
    if len(text) > _MOST_SHOWN:
        text = f"{text[:_MOST_SHOWN]} ..."
    return f" (changed keys: {text})" if text else ""
