"""The command ``tune``: search one model's hyper-parameters on validation."""

from collections.abc import Callable, Mapping
from typing import Any

from recbole_edt.compare.grid.state import folder_lock
from recbole_edt.compare.inputs import Flags, merge_keys, parse_count, parse_jobs, parse_seeds
from recbole_edt.compare.plan import ComparisonRow
from recbole_edt.compare.tuning.row_tuning import RowTuning, run_tunings
from recbole_edt.compare.tuning.search import check_strategy
from recbole_edt.compare.tuning.search_space import read_search_space
from recbole_edt.config import EDTConfig
from recbole_edt.data.split import split_of
from recbole_edt.errors import UserError
from recbole_edt.executors import ClusterSettings, open_executor
from recbole_edt.paths import find_property_file
from recbole_edt.runs import dataset_files, find_dataset

_TRIALS = 10  # unless --trials is given


def tune(keys: Mapping[str, Any], flags: Flags, output: Callable[[str], None]) -> int:
    """Tune one model on validation and return the exit status.

    Parameters
    ----------
    keys : dict
        Configuration keys of all trials, ``model`` and ``dataset`` among them.
    flags : dict
        Texts of the flags ``params_file``, ``trials``, ``strategy``, ``jobs`` and those of a
        cluster, as far as given.
    output : callable
        Takes the lines of the result.

    Returns
    -------
    int
        0, 1 when a trial crashed, 2 when none succeeded.

    Raises
    ------
    UserError
        Anything that can be known before the first trial runs.
    """
    tuning, config = _tuning_from_flags(keys, flags)
    slots, cluster = parse_jobs(flags), ClusterSettings.from_flags(flags)
    find_dataset(config)
    split_of(config)  # refused now, not in every trial
    files = dataset_files(config)
    with open_executor(cluster, slots, files) as executor, folder_lock(tuning.folder):
        crashed = run_tunings([tuning], executor, tuning.folder)
    output(tuning.table())
    if tuning.best is not None:
        output(f"\n{tuning.result_line()}")
        output(
            f"\nwritten to {tuning.folder}; feed back with --config_files={tuning.folder}/best.yaml"
        )
    return 1 if crashed else 0 if tuning.best else 2


def _tuning_from_flags(keys: Mapping[str, Any], flags: Flags) -> tuple[RowTuning, EDTConfig]:
    merged = merge_keys(keys)
    if "params_file" not in flags:
        raise UserError("params_file: missing; expected --params_file=FILE")
    strategy = check_strategy(flags.get("strategy", "random"))
    if strategy == "exhaustive" and "trials" in flags:
        raise UserError("--trials: of no use with --strategy=exhaustive, which takes every point")
    config = EDTConfig(overrides=merged)
    shared = {k: v for k, v in merged.items() if k not in ("model", "dataset", "seed")}
    path = find_property_file("search", flags["params_file"], ".hyper")
    budget = parse_count(flags, "trials", _TRIALS)
    (seed,) = parse_seeds(config["seed"])
    row = ComparisonRow(config["model"], config["model"], {})
    space = read_search_space(path)
    return RowTuning(row, config["dataset"], shared, seed, space, strategy, budget), config
