"""What must be installed, checked without importing any of it.

pip cannot check these: RecBole is installed without its dependencies, because it pins a release
of ray that no Python above 3.11 can install and that is never imported here.
"""

import os
import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec

from recbole_edt.errors import UserError, one_line

RECBOLE = "1.2.1"
_PACKAGES = ("recbole-edt", "recbole", "torch", "numpy", "pandas", "scipy", "transformers")
EXPORT = ("onnx", "onnxruntime", "onnxscript")
"""What ``recbole-edt export`` imports beside the dependencies: the extra ``export``."""
_INSTALL_RECBOLE = f"pip install --no-deps recbole=={RECBOLE}"
_INSTALL_TORCH = "pip install --force-reinstall torch"


@cache
def check_requirements(import_torch: bool = True) -> None:
    """Refuse an environment in which no command can work.

    Parameters
    ----------
    import_torch : bool
        Whether torch is tried too: for a command without models, that import is most of the time.

    Raises
    ------
    UserError
        When RecBole is missing or of another version, pandas is 3 or newer, or torch is missing
        or incompletely installed. The message ends with the command that mends it.
    """
    check_recbole()
    pandas = _installed("pandas")
    if pandas is None:
        raise UserError("pandas is not installed; pip install 'pandas<3'")
    if int(pandas.split(".")[0]) >= 3:
        # RecBole fills missing values with fillna(inplace=True) on a column, which pandas 3
        # turns into a no-op: padding rows become -9223372036854775808.
        raise UserError(
            f"pandas {pandas} found, expected pandas<3, under which RecBole does not corrupt "
            "data; pip install 'pandas<3'"
        )
    _check_torch(import_torch)


@cache
def check_recbole() -> None:
    """Refuse an environment without RecBole, or with another version than the one supported."""
    recbole = _installed("recbole")
    if recbole is None:
        raise UserError(f"RecBole is not installed; {_INSTALL_RECBOLE}")
    if recbole != RECBOLE:
        raise UserError(f"RecBole {recbole} found, expected {RECBOLE}; {_INSTALL_RECBOLE}")


def missing_for_export() -> list[str]:
    """Return what is not installed of the packages that ``recbole-edt export`` needs."""
    return [name for name in EXPORT if find_spec(name) is None]


def check_export() -> None:
    """Refuse an environment without the packages of the extra ``export``."""
    missing = missing_for_export()
    if missing:
        verb = "are" if len(missing) > 1 else "is"
        raise UserError(
            f"export: {', '.join(missing)} {verb} not installed; pip install "
            "'recbole-edt[export]', or in a checkout pip install -c constraints.txt '.[export]'"
        )


def _check_torch(try_it: bool) -> None:
    if _installed("torch") is None:
        raise UserError(f"torch is not installed, or only in part; {_INSTALL_TORCH}")
    if not try_it:
        return
    try:
        # The only import in this module: a wheel that was not unpacked to the end, or whose CUDA
        # libraries are missing, fails nowhere else. Nearly every command needs it anyway.
        import torch  # noqa: F401
    except (ImportError, OSError, AttributeError) as error:
        reason = one_line(error, 300)
        raise UserError(
            f"torch cannot be imported, so it is installed only in part ({reason}); "
            f"{_INSTALL_TORCH}"
        ) from error


def _installed(name: str) -> str | None:
    """Return a package's version; None if it is missing or only a leftover folder of it is."""
    spec = find_spec(name)
    if spec is None or spec.origin is None or not os.path.exists(spec.origin):
        return None  # without an origin it is a folder that lacks __init__.py
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def version(name: str) -> str:
    """Return the version of an installed distribution, or raise `PackageNotFoundError`.

    `importlib.metadata.version` parses the whole file, for torch and pandas a tenth of a second.
    """
    found = distribution(name)
    text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""  # wheel, checkout
    for line in text.split("\n\n")[0].splitlines():
        if line.startswith("Version:"):
            return line.removeprefix("Version:").strip()
    raise PackageNotFoundError(name)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def version_of_module(module: str) -> str | None:
    """Return the version of the installed package that a module is from, None if it has none."""
    name = module.split(".")[0]
    with suppress(PackageNotFoundError):
        return version(name)  # nearly all: the other way reads the file lists of all packages
    distributions = packages_distributions().get(name)
    return version(distributions[0]) if distributions else None
