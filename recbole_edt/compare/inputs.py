"""Flags of ``compare`` and ``tune`` and compare files, from texts to checked values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from recbole_edt.compare.plan import ComparisonPlan, ComparisonRow
from recbole_edt.compare.tuning.search import check_strategy
from recbole_edt.config import load_yaml, split_paths
from recbole_edt.errors import UserError, nearest
from recbole_edt.paths import find_property_file

_GIVEN_BY = {"model": "--models", "seed": "--seeds"}
_LARGEST_SEED = 2**32 - 1
_SOURCES = ("models", "file", "runs")
_FILE_ENTRIES = ("rows", "seeds", "keys", "tune")
_ROW_ENTRIES = ("model", "tune", "search")

Flags = Mapping[str, str]
"""Texts of the flags that are given, by name."""


def check_sources(flags: Flags) -> None:
    """Refuse a comparison whose rows come from no flag or from several, with a UserError."""
    given = [flag for flag in _SOURCES if flag in flags]
    if len(given) != 1:
        names = " and ".join(f"--{flag}" for flag in given) or "none of them"
        raise UserError(f"compare: found {names}, expected one of --models, --file, --runs")


def check_flags_of_runs(keys: Mapping[str, Any], flags: Flags) -> None:
    """Refuse flags and keys that ``--runs`` has no use for, with a UserError."""
    unused = [flag for flag in flags if flag not in ("runs", "name")]
    unused += [key for key in keys if key != "output_dir"]
    if unused:
        raise UserError(f"--{unused[0]}: of no use with --runs, which runs nothing")


def plan_from_flags(keys: Mapping[str, Any], flags: Flags) -> ComparisonPlan:
    """Return the plan that ``--models`` or ``--file`` and the other flags describe.

    Raises
    ------
    UserError
        A missing or wrong flag, file, seed or key.
    """
    entries: dict[str, Any] = {}
    if "models" in flags:
        rows = rows_of_models(flags["models"])
    else:
        rows, entries = read_compare_file(flags["file"])
    given = {**entries, **flags}
    if "seeds" not in given:
        raise UserError("seeds: missing; expected --seeds=1,2,3")
    merged = keys_of_cells(keys, entries.get("keys", {}))
    dataset = merged.pop("dataset", None)
    if dataset is None:
        raise UserError("dataset: missing; expected --dataset=NAME")
    seeds = parse_seeds(given["seeds"])
    tune = parse_trials(given.get("tune", 0), "tune")
    strategy = check_strategy(flags.get("strategy", "random"))
    return ComparisonPlan(str(dataset), rows, seeds, merged, tune, strategy)


def parse_count(flags: Flags, flag: str, default: int) -> int:
    """Return a flag's whole number above 0; anything else is a UserError."""
    number = whole_number(flags.get(flag, default))
    if not number:
        raise UserError(f"--{flag}: found {flags[flag]!r}, expected a whole number above 0")
    return number


def parse_jobs(flags: Flags) -> int | None:
    """Return how many processes run at a time; None when the flag is not given."""
    return parse_count(flags, "jobs", 1) if "jobs" in flags else None


def folder_name(flags: Flags, default: str) -> str:
    """Return the name of the comparison's folder; a UserError for one that is a path."""
    name = flags.get("name", default)
    if not name or "/" in name or name.startswith("."):
        raise UserError(f"name: found {name!r}, expected a plain name for a folder")
    return name


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


# ------------------------------------------------------------------------------ compare files


def read_compare_file(name: str) -> tuple[list[ComparisonRow], dict[str, Any]]:
    """Read a compare file.

    Parameters
    ----------
    name : str
        A path, or the name of a file in ``properties/compare/``.

    Returns
    -------
    tuple
        The rows, and the file's entries ``seeds``, ``keys`` and ``tune`` as far as given.

    Raises
    ------
    UserError
        Names the file and what is wrong in it: a label twice, an unknown entry.
    """
    path = find_property_file("compare", name, ".yaml")
    content = load_yaml(path)
    _refuse_duplicate_keys(path)
    for entry in content:
        if entry not in _FILE_ENTRIES:
            hint = nearest(str(entry), _FILE_ENTRIES)
            raise UserError(f"{path}: {entry!r}; expected some of {list(_FILE_ENTRIES)}{hint}")
    lines = content.get("rows")
    if not isinstance(lines, dict) or not lines:
        raise UserError(f"{path}: rows: expected lines 'label: {{model: NAME, key: value}}'")
    keys = content.get("keys") or {}
    if not isinstance(keys, dict):
        raise UserError(f"{path}: keys: found {keys!r}, expected lines 'key: value'")
    check_cell_keys(keys, f"{path}: ")
    rows = [_read_row(str(label), entry, f"{path}: {label}: ") for label, entry in lines.items()]
    return rows, {**content, "keys": keys}


def _read_row(label: str, entry: Any, where: str) -> ComparisonRow:
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
        raise UserError(f"{where}found {entry!r}, expected {{model: NAME, key: value}}")
    if not label.strip():
        raise UserError(f"{where}expected a label")
    keys = {key: value for key, value in entry.items() if key not in _ROW_ENTRIES}
    check_cell_keys(keys, where)
    search = entry.get("search")
    if search is not None and not isinstance(search, str):
        raise UserError(f"{where}search: found {search!r}, expected the name of a file")
    tune = parse_trials(entry["tune"], f"{where}tune") if "tune" in entry else None
    return ComparisonRow(label, entry["model"], keys, tune, search)


def _refuse_duplicate_keys(path: Path) -> None:
    """Refuse a key that a mapping holds twice; YAML would keep the last silently."""
    pending: list[Any] = [yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)]
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        if not isinstance(node, yaml.MappingNode):
            continue
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise UserError(f"{path}:{line}: {key.value!r} is given twice")
            seen.add(key.value)
            pending.append(value)
