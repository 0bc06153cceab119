"""What a run logs: to the terminal's error stream and to ``train.log``."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def no_logging() -> Iterator[None]:
    """Log nothing while the block runs: of several processes rank 0 does."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Log this package's information, and warnings of others, while the block runs.

    The handlers are the root logger's, because RecBole and its models log there; its level stays
    as the caller has it.
    """
    root, package = logging.getLogger(), logging.getLogger("recbole_edt")
    console, file = logging.StreamHandler(), logging.FileHandler(path, encoding="utf-8")
    console.setFormatter(logging.Formatter("%(message)s"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = package.level
    package.setLevel(logging.INFO)
    for handler in (console, file):
        root.addHandler(handler)
    try:
        yield
    finally:
        for handler in (console, file):
            root.removeHandler(handler)
            handler.close()
        package.setLevel(level)
