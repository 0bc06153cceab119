"""What ``recbole-edt recommend`` does: one user on a page, or all users in a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_edt.config.edt_config import EDTConfig
from recbole_edt.errors import UserError, nearest
from recbole_edt.recommend.export import export
from recbole_edt.recommend.page import show_user
from recbole_edt.runs.finished import FinishedRun, load_run, newest_run

SWITCHES = ("all", "per-domain")
FLAGS = ("run", "models", "user", "k", "history", "item", "out")
"""Flags of the command: those that stand alone, and those with a value."""

_PLACES = ("dataset", "output_dir")
_KEYS = ("data_path", "eval_batch_size", "show_progress", "use_gpu", "gpu_id")
"""Keys that may differ from the run's: they change where things are and how fast, not what."""


def recommend(flags: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    """Run the command and return what to print.

    Parameters
    ----------
    flags : mapping
        Values of `SWITCHES` and of those `FLAGS` that were given, as text.
    keys : mapping
        ``--key=value`` arguments.

    Raises
    ------
    UserError
        For flags that do not go together, and whatever `load_run` and `show_user` refuse.
    """
    _check(flags, keys)
    k, shown = _count(flags, "k", 10), _count(flags, "history", 20)
    overrides = {key: value for key, value in keys.items() if key in _KEYS}
    runs = [load_run(folder, overrides) for folder in _folders(flags, keys)]
    _refuse_different_data(runs)
    if not flags["all"]:
        return show_user(runs, flags["user"], k, shown, flags.get("item"))
    show = bool(runs[0].config["show_progress"])
    return export(runs[0], Path(flags["out"]), k, flags["per-domain"], show)


def _check(flags: Mapping[str, Any], keys: Mapping[str, Any]) -> None:
    allowed = _KEYS + (_PLACES if "models" in flags else ())
    for key in keys:
        if key not in allowed:
            hint = nearest(key, (*FLAGS, *SWITCHES, *allowed))
            raise UserError(f"--{key}: not of use here; a run has its own settings{hint}")
    if ("run" in flags) == ("models" in flags):
        raise UserError("recommend: expected either --run=DIR or --models=A,B with --dataset=NAME")
    if "models" in flags and keys.get("dataset") is None:
        raise UserError("--models: expected --dataset=NAME beside it")
    if flags["all"] == ("user" in flags):
        raise UserError("recommend: expected either --user=ID or --all --out=FILE")
    if flags["all"] != ("out" in flags):
        raise UserError("--all and --out=FILE belong together")
    if flags["per-domain"] and not flags["all"]:
        raise UserError("--per-domain: of use with --all only; a user's page has all lists")
    for flag in ("item", "history"):
        if flags["all"] and flag in flags:
            raise UserError(f"--{flag}: of use with --user only")
    if flags["all"] and len(_names(flags)) > 1:
        raise UserError(f"--all: expected one run, found {len(_names(flags))}")


def _names(flags: Mapping[str, Any]) -> list[str]:
    key = "run" if "run" in flags else "models"
    names = [name for name in str(flags[key]).split(",") if name]
    if not names:
        raise UserError(f"--{key}: expected a value")
    return names


def _folders(flags: Mapping[str, Any], keys: Mapping[str, Any]) -> list[Path]:
    names = _names(flags)
    if "run" in flags:
        return [Path(name) for name in names]
    places = {key: value for key, value in keys.items() if key in ("output_dir", "data_path")}
    config = EDTConfig(names[0], keys["dataset"], (), places)
    return [newest_run(Path(config["output_dir"]), config["dataset"], name) for name in names]


def _refuse_different_data(runs: Sequence[FinishedRun]) -> None:
    for run in runs[1:]:
        for what, one, other in (
            ("dataset", runs[0].metrics["dataset"], run.metrics["dataset"]),
            ("split", runs[0].part.split.hash[:12], run.part.split.hash[:12]),
            ("domains", runs[0].part.domains, run.part.domains),
        ):
            if one != other:
                raise UserError(
                    f"run: {run.folder} is of {what} {other}, {runs[0].folder} of {one}; "
                    "expected the same"
                )


def _count(flags: Mapping[str, Any], name: str, default: int) -> int:
    text = str(flags.get(name, default))
    if not (text.isascii() and text.isdigit() and int(text)):
        raise UserError(f"--{name}: found {text!r}, expected a whole number above 0")
    return int(text)
