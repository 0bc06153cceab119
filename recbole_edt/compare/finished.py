"""A comparison of runs that are there already: rows are found from their configurations."""

from pathlib import Path
from typing import Any

from recbole_edt.compare.plan import Plan, Row
from recbole_edt.config import load_yaml
from recbole_edt.errors import UserError
from recbole_edt.files import digest, read_json

_NOT_OF_A_ROW = ("seed", "data_path", "output_dir", "dataset", "model")
_MOST_KEYS = 3  # of a label; rows that differ in more are told apart by a hash


def plan_of_runs(text: str) -> tuple[Plan, dict[tuple[str, int], Path]]:
    """Group finished runs into rows: runs that differ in nothing but the seed are one row.

    Parameters
    ----------
    text : str
        Run folders, separated by commas.

    Returns
    -------
    tuple
        The comparison, and the folder of each run by label and seed.

    Raises
    ------
    UserError
        A folder that holds no finished run, one that is given twice, runs of several datasets,
        two runs of one configuration and seed.
    """
    folders = [Path(part.strip()) for part in text.split(",") if part.strip()]
    if not folders:
        raise UserError("runs: found none, expected run folders as in --runs=DIR,DIR")
    rows: dict[tuple[str, str], dict[int, Path]] = {}
    settings_of: dict[tuple[str, str], dict[str, Any]] = {}
    dataset = None
    for folder in folders:
        metrics, settings = _read(folder)
        if dataset not in (None, metrics["dataset"]):
            raise UserError(
                f"dataset: {folders[0]} has {dataset}, {folder} has {metrics['dataset']}; "
                "expected one and the same in a comparison"
            )
        dataset = metrics["dataset"]
        own = {key: value for key, value in settings.items() if key not in _NOT_OF_A_ROW}
        row = (metrics["model"], digest(own))
        settings_of[row] = own
        seeds = rows.setdefault(row, {})
        earlier = seeds.setdefault(metrics["seed"], folder)
        if earlier is not folder:
            raise UserError(f"runs: {earlier} and {folder} have the same configuration and seed")
    named = {row: _label(row, settings_of) for row in rows}
    plan = Plan(
        str(dataset),
        [Row(named[row][0], row[0], named[row][1]) for row in rows],
        sorted({seed for seeds in rows.values() for seed in seeds}),
        {},
    )
    runs = {
        (named[row][0], s): folder for row, seeds in rows.items() for s, folder in seeds.items()
    }
    return plan, runs


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    if not (folder / "metrics.json").is_file():
        what = "is not finished" if folder.is_dir() else "does not exist"
        raise UserError(f"runs: {folder} {what}; expected the folder of a finished run")
    metrics = read_json(folder / "metrics.json")
    missing = [key for key in ("model", "dataset", "seed", "protocol") if key not in metrics]
    if missing:
        raise UserError(f"{folder / 'metrics.json'}: holds no {missing[0]!r}")
    return metrics, load_yaml(folder / "config.yaml")


def _label(
    row: tuple[str, str], settings_of: dict[tuple[str, str], dict[str, Any]]
) -> tuple[str, dict[str, Any]]:
    """Return a row's label and the keys that tell it from the other rows of its model."""
    model, mark = row
    own = settings_of[row]
    others = [some for (name, _), some in settings_of.items() if name == model]
    keys = {
        key: value for key, value in own.items() if any(some.get(key) != value for some in others)
    }
    if len(others) == 1:
        return model, {}
    if len(keys) > _MOST_KEYS or not keys:
        return f"{model} {mark[:8]}", keys
    return f"{model} {' '.join(f'{key}={value}' for key, value in keys.items())}", keys
