"""Values that flags and compare files have in common: model names, seeds, budgets, keys."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_edt.compare.plan import ComparisonRow
from recbole_edt.config import load_yaml, split_paths
from recbole_edt.errors import UserError, nearest
from recbole_edt.paths import properties_dir

_GIVEN_BY = {"model": "--models", "seed": "--seeds"}
_LARGEST_SEED = 2**32 - 1


def whole_number(value: object) -> int | None:
    """Return the whole number at or above 0 that a value is or spells, None otherwise."""
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def parse_seeds(value: object) -> list[int]:
    """Return the seeds in ``1,2,3``, a list or a single number.

    Raises
    ------
    UserError
        No seed at all, a value that is not a seed, a seed twice.
    """
    parts = value.split(",") if isinstance(value, str) else value
    texts = [str(p).strip() for p in (parts if isinstance(parts, list | tuple) else [parts])]
    if not any(texts):
        raise UserError("seeds: found none, expected some as in --seeds=1,2,3")
    seeds: list[int] = []
    for text in texts:
        seed = whole_number(text)
        if seed is None or seed > _LARGEST_SEED:
            raise UserError(f"seeds: found {text!r}, expected whole numbers such as 1,2,3")
        if seed in seeds:
            raise UserError(f"seeds: {seed} is given twice")
        seeds.append(seed)
    return seeds


def parse_trials(value: object, where: str) -> int:
    """Return a number of trials; anything else is a UserError that begins with `where`."""
    number = whole_number(value)
    if number is None:
        raise UserError(f"{where}: found {value!r}, expected a number of trials")
    return number


def rows_of_models(text: str) -> list[ComparisonRow]:
    """Return a row per name in ``A,B,C``.

    Raises
    ------
    UserError
        An empty name, a name twice.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not name:
            raise UserError(f"models: found {text!r}, expected names such as SASRec,LLMEDT")
        if names.count(name) > 1:
            raise UserError(f"models: {name} is given twice")
    return [ComparisonRow(name, name, {}) for name in names]


def check_cell_keys(keys: Mapping[Any, Any], where: str = "") -> None:
    """Refuse keys that differ from cell to cell; they have flags of their own."""
    for key in keys:
        if not isinstance(key, str):
            raise UserError(f"{where}{key!r}: expected the name of a key")
        if key in _GIVEN_BY:
            raise UserError(f"{where}{key}: not used here; give it with {_GIVEN_BY[key]}")


def merge_keys(flags: Mapping[str, Any], *layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `layers`, the files of the flag ``config_files`` and the flags; the last one wins."""
    keys = dict(flags)
    files = split_paths(str(keys.pop("config_files", None) or ""))
    return {k: v for layer in (*layers, *map(load_yaml, files), keys) for k, v in layer.items()}


def keys_of_cells(flags: Mapping[str, Any], *layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merged keys of all cells.

    A configuration file that a run has left (``config.yaml``) names a model and a seed; both are
    ignored, a flag for one of them is refused with a UserError.
    """
    check_cell_keys(flags)
    return {k: v for k, v in merge_keys(flags, *layers).items() if k not in _GIVEN_BY}


def find_property_file(folder: str, name: str, suffix: str) -> Path:
    """Return a file by its path, or by its name in a folder of ``properties/``.

    Raises
    ------
    UserError
        When there is neither, with the nearest name.
    """
    shipped: Sequence[Path] = sorted((properties_dir() / folder).glob(f"*{suffix}"))
    named = (path for path in shipped if path.name in (name, name + suffix))
    for path in (Path(name), *named):
        if path.is_file():
            return path
    stems = [path.stem for path in shipped]
    hint = nearest(name.removesuffix(suffix), stems)
    raise UserError(f"{name}: no such file, nor one of properties/{folder} {stems}{hint}")
