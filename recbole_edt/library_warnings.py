"""Warnings of libraries that a user cannot act on, and the loggers that repeat them."""

import logging
import warnings
from pathlib import Path


def silence_recbole() -> None:
    """Ignore warnings that RecBole's code causes; calling it again changes nothing.

    Its release is fixed, and was written for earlier versions of pandas, torch and numpy: what
    these announce about it (``Series.agg``, ``torch.sparse.FloatTensor``, ``GradScaler``) is
    checked by this package's tests, and nothing that a user can change. Warnings caused by this
    package or by the user's own code are shown as before.
    """
    warnings.filterwarnings("ignore", module=r"recbole(\.|$)")
    # Python 3.12 and later warn of "\p" in docstrings when a file is compiled, at its first import;
    # the warning's module is then the path of the file.
    warnings.filterwarnings("ignore", category=SyntaxWarning, module=r".*[/\\]recbole[/\\]")
    warnings.filterwarnings(
        "ignore", message=r"`torch\.cuda\.amp\.GradScaler", category=FutureWarning
    )
    root = logging.getLogger()
    if _is_not_of_recbole not in root.filters:
        root.addFilter(_is_not_of_recbole)


def _is_not_of_recbole(record: logging.LogRecord) -> bool:
    """Whether a line of the root logger is to be kept; RecBole logs its advice there.

    Such as that a user's history is more than a fifth of all items.
    """
    return record.levelno >= logging.ERROR or "recbole" not in Path(record.pathname).parts
