"""What a comparison consists of: its rows, from names or a compare file, and their configurations.

Everything is checked here, before anything runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from recbole_edt.config import EDTConfig, load_yaml
from recbole_edt.errors import UserError, nearest
from recbole_edt.files import digest
from recbole_edt.paths import properties_dir
from recbole_edt.runs import choose_folder, finished_run_of
from recbole_edt.training.shared_run import shared_settings

_OF_A_FILE = ("rows", "seeds", "keys", "tune")
_OF_A_ROW = ("model", "tune", "search")
_NOT_FOR_CELLS = {"model": "--models", "seed": "--seeds"}
_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Row:
    """One line of the table: a model with its own keys.

    Attributes
    ----------
    label, model : str
        What the table calls it; the model's name.
    keys : dict
        Configuration keys of this row, above those of all rows.
    tune : int, optional
        Its tuning budget in trials where it differs from the comparison's.
    search : str, optional
        Its search space, a path or the name of a file in ``properties/search/``.
    """

    label: str
    model: str
    keys: Mapping[str, Any]
    tune: int | None = None
    search: str | None = None


@dataclass(frozen=True)
class Plan:
    """A comparison before it runs.

    Attributes
    ----------
    dataset : str
        Name of the dataset.
    rows : list of Row
        In the order of the table.
    seeds : list of int
        Each row is run once with each.
    keys : dict
        Configuration keys of all rows.
    tune : int
        Trials per row, 0 for none.
    strategy : str
        How trials are chosen.
    """

    dataset: str
    rows: list[Row]
    seeds: list[int]
    keys: Mapping[str, Any]
    tune: int = 0
    strategy: str = "random"

    @property
    def id(self) -> str:
        """The name of the comparison's folder: a hash of all that decides its table."""
        rows = [[r.label, r.model, dict(r.keys), r.tune, r.search] for r in self.rows]
        keys = {k: v for k, v in self.keys.items() if k not in ("data_path", "output_dir")}
        return digest([self.dataset, rows, self.seeds, keys, self.tune, self.strategy])[:8]

    def job(self, row: Row, seed: int, name: str, more: Mapping[str, Any] | None = None) -> "Job":
        """Return a run of a row, its configuration checked.

        Raises
        ------
        UserError
            An unknown model, key or value, with the row's label.
        """
        return make_job(row, self.dataset, {**self.keys, **row.keys, **(more or {})}, seed, name)


@dataclass(frozen=True, eq=False)
class Job:
    """One run to be made in a process of its own.

    Attributes
    ----------
    row : Row
        What it belongs to.
    seed : int
        Its seed.
    name : str
        What progress calls it, such as ``SASRec, seed 1``.
    keys : dict
        What the caller sets, as for a bare run.
    config : EDTConfig
        The checked configuration.
    is_trial : bool
        Whether it is a trial of a search: each trial may be refused for its own values.
    """

    row: Row
    seed: int
    name: str
    keys: Mapping[str, Any]
    config: EDTConfig
    is_trial: bool = False

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The complete configuration as plain values; its hash makes the run id."""
        return self.config.to_dict()

    @property
    def run_dir(self) -> Path:
        """Where it is, or will be: the first finished run, else the one to go on with."""
        finished = self.finished
        return choose_folder(self.settings, resume=True)[0].path if finished is None else finished

    @property
    def finished(self) -> Path | None:
        """The folder of the first finished run of this configuration, None without one."""
        folder = finished_run_of(self.settings)
        return None if folder is None else folder.path

    @cached_property
    def shared_phase(self) -> str | None:
        """A mark of the shared phase; runs with the same one train it once. None without one."""
        found = shared_settings(self.settings)
        return None if found is None else digest(found)

    @property
    def takes_shared(self) -> bool:
        """Whether it goes on after a shared phase, and may take that over from another run."""
        return len(_phases(self.settings)) > 1 and not self.settings.get("shared_run")

    @property
    def epochs(self) -> int:
        """The most epochs that it can train, over all phases."""
        given = (self.settings.get(f"{name}_epochs") for name in _phases(self.settings))
        return sum(self.settings["epochs"] if n is None else n for n in given)


def _phases(settings: Mapping[str, Any]) -> Sequence[str]:
    return settings.get("phases", ("train",))


def make_job(
    row: Row, dataset: str, keys: Mapping[str, Any], seed: int, name: str, is_trial: bool = False
) -> Job:
    """Return a run of `row` with exactly these keys; see `Plan.job`."""
    keys = {**keys, "model": row.model, "dataset": dataset, "seed": seed}
    try:
        config = EDTConfig(overrides=keys)
    except UserError as error:
        raise UserError(f"{row.label}: {error}") from None
    return Job(row, seed, name, keys, config, is_trial)


def parse_seeds(value: Any) -> list[int]:
    """Return the seeds in ``1,2,3``, a list or a single number.

    Raises
    ------
    UserError
        None at all, a value that is no seed, a seed twice.
    """
    parts = value.split(",") if isinstance(value, str) else value
    parts = list(parts) if isinstance(parts, list | tuple) else [parts]
    texts = [str(part).strip() for part in parts]
    if not any(texts):
        raise UserError("seeds: found none, expected some as in --seeds=1,2,3")
    seeds = [int(text) if text.isascii() and text.isdigit() else -1 for text in texts]
    for text, seed in zip(texts, seeds, strict=True):
        if not 0 <= seed <= _LARGEST_SEED:
            raise UserError(f"seeds: found {text!r}, expected whole numbers such as 1,2,3")
        if seeds.count(seed) > 1:
            raise UserError(f"seeds: {seed} is given twice")
    return seeds


def rows_of_models(text: str) -> list[Row]:
    """Return a row per name in ``A,B,C``.

    Raises
    ------
    UserError
        No name, an empty one, a name twice.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not name:
            raise UserError(f"models: found {text!r}, expected names such as SASRec,LLMEDT")
        if names.count(name) > 1:
            raise UserError(f"models: {name} is given twice")
    return [Row(name, name, {}) for name in names]


def read_compare_file(name: str) -> tuple[list[Row], dict[str, Any]]:
    """Read a compare file.

    Parameters
    ----------
    name : str
        A path, or the name of a file in ``properties/compare/``.

    Returns
    -------
    tuple
        The rows, and what the file says of ``seeds``, ``keys`` and ``tune``.

    Raises
    ------
    UserError
        Names the file and what is wrong in it: a label twice, an entry that is none.
    """
    path = find_property_file("compare", name, ".yaml")
    content = load_yaml(path)
    _refuse_doubles(path)
    for entry in content:
        if entry not in _OF_A_FILE:
            hint = nearest(str(entry), _OF_A_FILE)
            raise UserError(f"{path}: {entry!r}; expected some of {list(_OF_A_FILE)}{hint}")
    lines = content.get("rows")
    if not isinstance(lines, dict) or not lines:
        raise UserError(f"{path}: rows: expected lines 'label: {{model: NAME, key: value}}'")
    keys = content.get("keys") or {}
    if not isinstance(keys, dict):
        raise UserError(f"{path}: keys: found {keys!r}, expected lines 'key: value'")
    check_cell_keys(keys, f"{path}: ")
    rows = [_read_row(str(label), entry, f"{path}: {label}: ") for label, entry in lines.items()]
    return rows, {**content, "keys": keys}


def _read_row(label: str, entry: Any, where: str) -> Row:
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
        raise UserError(f"{where}found {entry!r}, expected {{model: NAME, key: value}}")
    if not label.strip():
        raise UserError(f"{where}expected a label")
    keys = {key: value for key, value in entry.items() if key not in _OF_A_ROW}
    check_cell_keys(keys, where)
    search = entry.get("search")
    if search is not None and not isinstance(search, str):
        raise UserError(f"{where}search: found {search!r}, expected the name of a file")
    tune = parse_trials(entry["tune"], f"{where}tune") if "tune" in entry else None
    return Row(label, entry["model"], keys, tune, search)


def parse_trials(value: Any, where: str) -> int:
    """Return a number of trials; anything else is a UserError that begins with `where`."""
    text = str(value)
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"{where}: found {value!r}, expected a number of trials")
    return int(text)


def check_cell_keys(keys: Mapping[str, Any], where: str = "") -> None:
    """Refuse keys that differ from cell to cell, or that are the whole comparison's."""
    for key in keys:
        if not isinstance(key, str):
            raise UserError(f"{where}{key!r}: expected the name of a key")
        if key in _NOT_FOR_CELLS:
            raise UserError(f"{where}{key}: not used here; its place is {_NOT_FOR_CELLS[key]}")


def find_property_file(folder: str, name: str, suffix: str) -> Path:
    """Return a file by its path, or by its name in a folder of ``properties/``.

    Raises
    ------
    UserError
        When there is neither, with the nearest name.
    """
    shipped = {path.name: path for path in (properties_dir() / folder).glob(f"*{suffix}")}
    for path in (Path(name), shipped.get(name), shipped.get(name + suffix)):
        if path is not None and path.is_file():
            return path
    stems = sorted(path.stem for path in shipped.values())
    hint = nearest(name.removesuffix(suffix), stems)
    raise UserError(f"{name}: no such file, nor one of properties/{folder} {stems}{hint}")


def _refuse_doubles(path: Path) -> None:
    """Refuse a key that a mapping holds twice; YAML would keep the last without a word."""
    waiting: list[Any] = [yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        if not isinstance(node, yaml.MappingNode):
            continue
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise UserError(f"{path}:{line}: {key.value!r} is given twice")
            seen.add(key.value)
            waiting.append(value)


def merge_keys(flags: Mapping[str, Any], more: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Merge keys of a compare file, of ``config_files`` and of flags; the last one wins."""
    keys = dict(flags)
    files = str(keys.pop("config_files", None) or "").split()
    return {k: v for layer in (*more, *map(load_yaml, files), keys) for k, v in layer.items()}


def keys_of(flags: Mapping[str, Any], more: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return the keys of all cells, merged.

    Model and seed of a file that a run left (its ``config.yaml``) are the cells' own business.

    Raises
    ------
    UserError
        When a flag gives one of them.
    """
    check_cell_keys(flags)
    return {k: v for k, v in merge_keys(flags, more).items() if k not in _NOT_FOR_CELLS}
