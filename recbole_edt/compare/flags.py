"""The flags of ``compare`` and ``tune``, from texts to checked values."""

from collections.abc import Mapping
from typing import Any

from recbole_edt.compare.compare_file import read_compare_file
from recbole_edt.compare.inputs import (
    keys_of_cells,
    parse_seeds,
    parse_trials,
    rows_of_models,
    whole_number,
)
from recbole_edt.compare.plan import ComparisonPlan
from recbole_edt.compare.tuning.search import check_strategy
from recbole_edt.errors import UserError

_SOURCES = ("models", "file", "runs")

Flags = Mapping[str, str]


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
