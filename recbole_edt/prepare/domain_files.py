"""Flags that name one file per domain, such as ``--reviews=toys=A.gz,games=B.gz``."""

import re
from collections.abc import Sequence
from pathlib import Path

from recbole_edt.errors import UserError


def files_by_domain(given: Sequence[str], flag: str) -> dict[str, Path]:
    """Parse ``["a=FILE,b=FILE", "c=FILE"]``; a comma parts entries only before ``name=``.

    Raises
    ------
    UserError
        For an entry of another form, and a domain that is given twice.
    """
    files: dict[str, Path] = {}
    for entry in (part for text in given for part in re.split(r",(?=[^,=/]+=)", text)):
        domain, equals, path = (part.strip() for part in entry.partition("="))
        if not (domain and equals and path):
            raise UserError(f"{flag}: found '{entry}'; expected DOMAIN=FILE")
        if domain in files:
            raise UserError(f"{flag}: found the domain '{domain}' twice; expected it once")
        files[domain] = Path(path)
    return files


def names_domains(given: str) -> bool:
    """Return whether a flag's value is of the form ``DOMAIN=FILE``, not one file's path."""
    return re.match(r"[^,=/\\]+=", given) is not None and not Path(given).exists()
