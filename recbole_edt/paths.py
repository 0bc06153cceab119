"""Where the package's own YAML files are, installed or in a checkout."""

from pathlib import Path

from recbole_edt.errors import UserError, nearest


def properties_dir() -> Path:
    """Return the folder of the YAML defaults (``properties/`` in a checkout)."""
    installed = Path(__file__).parent / "properties"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "properties"


def find_property_file(folder: str, name: str, suffix: str) -> Path:
    """Return a file by its path, or by its name in a folder of ``properties/``.

    Raises
    ------
    UserError
        When there is neither, with the nearest name.
    """
    shipped = sorted((properties_dir() / folder).glob(f"*{suffix}"))
    named = (path for path in shipped if path.name in (name, name + suffix))
    for path in (Path(name), *named):
        if path.is_file():
            return path
    stems = [path.stem for path in shipped]
    hint = nearest(name.removesuffix(suffix), stems)
    raise UserError(f"{name}: no such file, nor one of properties/{folder} {stems}{hint}")
