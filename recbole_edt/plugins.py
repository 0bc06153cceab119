"""Models and readers of other packages, registered through entry points.

A package registers with lines such as these in its ``pyproject.toml``; nothing of it is imported
until its name is asked for.

    [project.entry-points."recbole_edt.models"]
    MyModel = "my_package.my_model:MyModel"
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from recbole_edt.errors import UserError, one_line

MODELS = "recbole_edt.models"
READERS = "recbole_edt.readers"


def registered(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name; of two with one name, the first on the path."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, entry)
    return found


def load_entry(entry: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises
    ------
    UserError
        One line with the entry point, its package and why it cannot be imported.
    """
    try:
        return entry.load()
    except Exception as error:  # whatever a package of somebody else's does when it is imported
        reason = one_line(f"{type(error).__name__}: {error}", 300)
        raise UserError(f"{describe(entry)} cannot be imported ({reason})") from error


def describe(entry: EntryPoint) -> str:
    """Return how error messages name an entry point."""
    package = f" of {entry.dist.name}" if entry.dist else ""
    return f"entry point {entry.group}: {entry.name} = {entry.value}{package}"
