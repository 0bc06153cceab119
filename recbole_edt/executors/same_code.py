"""Whether another machine has the same code and the same files as the one that asks it."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import recbole_edt
from recbole_edt.errors import UserError
from recbole_edt.files import sha256_of


def expectation(files: Sequence[Path]) -> dict[str, Any]:
    """Return what a child on another machine has to find: version, code and files.

    Parameters
    ----------
    files : sequence of pathlib.Path
        Files that it reads, such as those of the dataset; one that does not exist is left out.
    """
    hashes = {str(path): sha256_of(path) for path in files if path.is_file()}
    return {"version": recbole_edt.__version__, "code": _code_hash(), "files": hashes}


def refuse_differences(expected: Mapping[str, Any] | None) -> None:
    """Refuse to work with other code or other files than the parent has.

    Parameters
    ----------
    expected : mapping, optional
        What `expectation` returned on the parent's machine; nothing is checked without it.

    Raises
    ------
    UserError
        Names the machine and what differs.
    """
    if expected is None:
        return
    here = platform.node()
    if expected["version"] != recbole_edt.__version__:
        raise UserError(
            f"{here}: has recbole_edt {recbole_edt.__version__}, expected {expected['version']} "
            "as on the machine that gives out the work"
        )
    if expected["code"] != _code_hash():
        folder = Path(recbole_edt.__file__).parent
        raise UserError(
            f"{here}: {folder} is another checkout of recbole_edt {expected['version']} than on "
            "the machine that gives out the work"
        )
    for name, wanted in expected["files"].items():
        path = Path(name)
        if not path.is_file():
            raise UserError(missing_there(path.resolve()))
        if sha256_of(path) != wanted:
            raise UserError(
                f"{here}: {path.resolve()} has other content than on the machine that gives out "
                "the work"
            )


def missing_there(path: str | Path) -> str:
    """Return the refusal of a machine that does not see a path of the command's."""
    return (
        f"{platform.node()}: {path} does not exist there; a cluster's machines need the folders of "
        "the dataset and of the output in common"
    )


@cache
def _code_hash() -> str:
    """Return a hash of this package's source files."""
    root = Path(recbole_edt.__file__).parent
    hasher = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        hasher.update(path.relative_to(root).as_posix().encode())
        hasher.update(path.read_bytes())
    return hasher.hexdigest()
