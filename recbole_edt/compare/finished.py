"""A comparison of runs that are there already: rows are found from their configurations."""

from pathlib import Path
from typing import Any

from recbole_edt.compare.plan import Plan, Row
from recbole_edt.config import load_yaml
from recbole_edt.errors import UserError
from recbole_edt.files import digest, read_json

# A shared phase that was taken over is the one of the row's own settings, of the run's seed.
_NOT_OF_A_ROW = ("seed", "data_path", "output_dir", "dataset", "model", "shared_run")
_MOST_KEYS = 3  # of a label; rows that differ in more are told apart by a hash


def plan_of_runs(text: str) -> tuple[Plan, dict[tuple[str, int], Path]]:
    """Group finished runs into rows: runs that differ in nothing but the seed are one row.

    Parameters
    ----------
    text : str
        Run folders, separated by commas; ``LABEL=DIR`` names the row of a run.

    Returns
    -------
    tuple
        The comparison, and the folder of each run by label and seed.

    Raises
    ------
    UserError
        A folder that holds no finished run, one that is given twice, runs of several datasets,
        two runs of one configuration and seed, one label for two rows or two for one.
    """
    given = [_label_and_folder(part.strip()) for part in text.split(",") if part.strip()]
    folders = [folder for _, folder in given]
    if not folders:
        raise UserError("runs: found none, expected run folders as in --runs=DIR,DIR")
    rows: dict[tuple[str, str], dict[int, Path]] = {}
    settings_of: dict[tuple[str, str], dict[str, Any]] = {}
    label_of: dict[tuple[str, str], str] = {}
    dataset = None
    for label, folder in given:
        metrics, settings = _read(folder)
        if dataset not in (None, metrics["dataset"]):
            raise UserError(
                f"dataset: {folders[0]} has {dataset}, {folder} has {metrics['dataset']}; "
                "expected one and the same in a comparison"
            )
        dataset = metrics["dataset"]
        own = _of_a_row(settings)
        row = (metrics["model"], digest(own))
        settings_of[row] = own
        seeds = rows.setdefault(row, {})
        earlier = seeds.setdefault(metrics["seed"], folder)
        if earlier is not folder:
            raise UserError(f"runs: {earlier} and {folder} have the same configuration and seed")
        if label is not None and label_of.setdefault(row, label) != label:
            raise UserError(f"runs: {folder}: label {label!r}, but {label_of[row]!r} for its row")
    named = {row: _label(row, settings_of, label_of.get(row)) for row in rows}
    labels = [label for label, _ in named.values()]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"runs: {label!r} would be the label of two rows; expected one each")
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


def _label_and_folder(part: str) -> tuple[str | None, Path]:
    label, equals, folder = part.partition("=")
    if not equals or "/" in label or Path(part).exists():
        return None, Path(part)
    if not label.strip():
        raise UserError(f"runs: {part!r}: found no label before '='")
    return label.strip(), Path(folder.strip())


def _of_a_row(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in _NOT_OF_A_ROW}


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
    row: tuple[str, str],
    settings_of: dict[tuple[str, str], dict[str, Any]],
    label: str | None,
) -> tuple[str, dict[str, Any]]:
    """Return a row's label and the keys that tell it from the other rows of its model."""
    model, mark = row
    own = settings_of[row]
    others = [some for (name, _), some in settings_of.items() if name == model]
    keys = {
        key: value for key, value in own.items() if any(some.get(key) != value for some in others)
    }
    if label is not None:
        return label, keys
    if len(others) == 1:
        return model, {}
    if len(keys) > _MOST_KEYS or not keys:
        return f"{model} {mark[:8]}", keys
    return f"{model} {' '.join(f'{key}={value}' for key, value in keys.items())}", keys
