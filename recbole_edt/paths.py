"""Where the package's own YAML files are, installed or in a checkout."""

from pathlib import Path


def properties_dir() -> Path:
    """Return the folder of the YAML defaults (``properties/`` in a checkout)."""
    installed = Path(__file__).parent / "properties"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "properties"
