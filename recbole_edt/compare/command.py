"""The commands ``compare`` and ``tune``: their flags, their order of work, what they say."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from recbole_edt.compare import plan as planning
from recbole_edt.compare.finished import plan_of_runs
from recbole_edt.compare.grid.processes import CRASH, DONE, FAILED, USER, Outcome, run_jobs
from recbole_edt.compare.grid.progress import View
from recbole_edt.compare.grid.state import ProtocolCheck, State
from recbole_edt.compare.plan import Job, Plan, Row
from recbole_edt.compare.report.make import write_report
from recbole_edt.compare.tuning.search import check_strategy
from recbole_edt.compare.tuning.search_space import read_search_space
from recbole_edt.compare.tuning.trials import Tuning, find_space, run_tunings
from recbole_edt.config.edt_config import EDTConfig
from recbole_edt.data.split import Split, load_or_make_split
from recbole_edt.errors import UserError
from recbole_edt.runs import RunFolder, find_dataset, refuse_stale

COMPARE_FLAGS = ("models", "file", "runs", "seeds", "jobs", "tune", "strategy", "name")
TUNE_FLAGS = ("params_file", "trials", "strategy", "jobs")
_TRIALS = 10  # of 'tune', unless --trials says otherwise
_ONE_OF = ("models", "file", "runs")
_EVALUATION = ("split", "candidates", "sampled_candidates")

Say = Callable[[str], None]


def compare(keys: dict[str, Any], flags: Mapping[str, Any], say: Say, note: Say) -> int:
    """Run a comparison and return its exit status.

    Parameters
    ----------
    keys : dict
        Configuration keys of all cells, ``dataset`` and ``config_files`` among them.
    flags : dict
        Texts of `COMPARE_FLAGS`, as far as given.
    say, note : callable
        Take the lines of the result, and those of the way there.

    Returns
    -------
    int
        0 when all cells are done, 2 when one failed for what the user can change, 1 when one
        crashed.

    Raises
    ------
    UserError
        Anything that can be known before the first cell runs.
    """
    given = [flag for flag in _ONE_OF if flag in flags]
    if len(given) != 1:
        found = " and ".join(f"--{flag}" for flag in given) or "none of them"
        raise UserError(f"compare: found {found}, expected one of --models, --file, --runs")
    if "runs" in flags:
        return _compare_runs(keys, flags, say)
    plan = _plan(keys, flags)
    at_a_time = _count(flags, "jobs", 1)
    jobs = [plan.job(row, plan.seeds[0], "") for row in plan.rows]
    _check_evaluation(jobs)
    find_dataset(jobs[0].config)
    config = jobs[0].config
    split = load_or_make_split(config.dataset_dir, plan.dataset, config["split"])
    tunings = _tunings(plan, jobs)
    for row, job in zip(plan.rows, jobs, strict=True):
        if (plan.tune if row.tune is None else row.tune) and row.label not in tunings:
            note(f"{row.label}: not tuned: {job.row.model} has no search space")
    folder = jobs[0].run_dir.parents[1] / "compare" / _name(flags, plan.id)
    with _alone(folder):
        state = State(folder, plan, split.hash)
        try:
            crashed = _tune_rows(tunings, at_a_time, folder, state)
            outcomes = _run_cells(plan, tunings, at_a_time, folder, state, split)
        finally:
            state.stop()
        for label, tuning in tunings.items():
            note(f"{label}: {_tuned(tuning)}")
        status = _finish(folder, outcomes, say)
    return 1 if crashed else status


def _plan(keys: dict[str, Any], flags: Mapping[str, Any]) -> Plan:
    of_file: dict[str, Any] = {}
    if "models" in flags:
        rows = planning.rows_of_models(flags["models"])
    else:
        rows, of_file = planning.read_compare_file(flags["file"])
    if "seeds" not in flags and "seeds" not in of_file:
        raise UserError("seeds: missing; expected --seeds=1,2,3")
    merged = planning.keys_of(keys, [of_file.get("keys", {})])
    dataset = merged.pop("dataset", None)
    if dataset is None:
        raise UserError("dataset: missing; expected --dataset=NAME")
    seeds = planning.parse_seeds(flags["seeds"] if "seeds" in flags else of_file["seeds"])
    tune = planning.parse_trials(flags.get("tune", of_file.get("tune", 0)), "tune")
    strategy = check_strategy(flags.get("strategy", "random"))
    return Plan(str(dataset), rows, seeds, merged, tune, strategy)


def _check_evaluation(jobs: list[Job]) -> None:
    """Refuse rows that would be evaluated differently, before anything runs."""
    for job in jobs[1:]:
        for key in _EVALUATION:
            one, other = jobs[0].settings[key], job.settings[key]
            if one != other:
                raise UserError(
                    f"{key}: {jobs[0].row.label} has {one!r}, {job.row.label} has {other!r}; "
                    "expected one and the same in a comparison"
                )


def _tunings(plan: Plan, jobs: list[Job]) -> dict[str, Tuning]:
    """Return the searches of the rows that have a budget and a space, by label."""
    tunings = {}
    for row, job in zip(plan.rows, jobs, strict=True):
        budget = plan.tune if row.tune is None else row.tune
        space = find_space(job) if budget else None
        if space is not None:
            keys = {**plan.keys, **row.keys}
            seed = plan.seeds[0]
            tunings[row.label] = Tuning(row, plan.dataset, keys, seed, space, plan.strategy, budget)
    return tunings


def _tune_rows(tunings: dict[str, Tuning], at_a_time: int, folder: Path, state: State) -> bool:
    if not tunings:
        return False
    return run_tunings(
        list(tunings.values()),
        at_a_time,
        folder,
        lambda tuning: state.set_tuning(tuning.row.label, tuning.summary()),
    )


def _run_cells(
    plan: Plan,
    tunings: Mapping[str, Tuning],
    at_a_time: int,
    folder: Path,
    state: State,
    split: Split,
) -> list[Outcome]:
    """Run rows x seeds, each row with the best values of its search."""
    check = ProtocolCheck(f"split {split.kind}", {"split_hash": split.hash})
    jobs, outcomes = [], []
    for seed in plan.seeds:  # seed by seed: a table with all rows is there early
        for row in plan.rows:
            tuning = tunings.get(row.label)
            if tuning is not None and tuning.best is None:
                failed = Outcome(FAILED, None, tuning.reason, USER)
                state.set_cell(row.label, seed, FAILED, failed, None)
                outcomes.append(failed)
                continue
            best = tuning.best.params if tuning is not None and tuning.best else {}
            jobs.append(plan.job(row, seed, f"{row.label}, seed {seed}", best))

    def record(number: int, status: str, outcome: Outcome | None) -> None:
        job = jobs[number]
        run_dir = outcome.run_dir if outcome else job.run_dir
        if status == FAILED and job.run_dir.is_dir():
            run_dir = job.run_dir
        state.set_cell(job.row.label, job.seed, status, outcome, run_dir)
        if outcome is not None and outcome.run_dir is not None:
            if outcome.seconds is None:  # finished before; today's dataset may be another
                earlier = RunFolder(outcome.run_dir)
                refuse_stale(earlier, earlier.read_record(), job.config, split)
            check.add(outcome.run_dir)

    view = View(len(jobs), at_a_time)
    try:
        return outcomes + run_jobs(jobs, at_a_time, folder, view, record)
    finally:
        view.close()


def _tuned(tuning: Tuning) -> str:
    """Return the line that a table's reader needs: budget, best values, converged or not."""
    if tuning.best is None:
        return tuning.reason or ""
    best = ", ".join(f"{key}={value}" for key, value in tuning.best.params.items())
    end = {True: ", converged", False: ", still rising at its last epoch", None: ""}
    return (
        f"tuned in {tuning.budget} trials ({tuning.strategy}): {best}; validation "
        f"{tuning.metric} {tuning.best.score:.4f}{end[tuning.best.converged]}"
    )


def _finish(folder: Path, outcomes: list[Outcome], say: Say) -> int:
    """Write the report over what is done and return the exit status."""
    kinds = {outcome.kind for outcome in outcomes}
    if any(outcome.status == DONE for outcome in outcomes):
        say(write_report(folder, shutil.get_terminal_size((120, 24)).columns))
    failed = sum(outcome.status == FAILED for outcome in outcomes)
    if failed:
        say(f"\n{failed} of {len(outcomes)} cells failed; why is in {folder / 'compare.json'}")
    say(f"\nwritten to {folder}")
    return 1 if CRASH in kinds else 2 if USER in kinds else 0


def _compare_runs(keys: dict[str, Any], flags: Mapping[str, Any], say: Say) -> int:
    """Compare finished runs and return the exit status."""
    others = [flag for flag in COMPARE_FLAGS if flag in flags and flag not in ("runs", "name")]
    others += [key for key in keys if key != "output_dir"]
    if others:
        raise UserError(f"--{others[0]}: of no use with --runs, which runs nothing")
    plan, runs = plan_of_runs(flags["runs"])
    check = ProtocolCheck()
    for run_dir in runs.values():
        check.add(run_dir)
    first = next(iter(runs.values()))
    root = first.resolve().parents[1]
    if "output_dir" in keys:
        root = Path(keys["output_dir"], plan.dataset)
    folder = root / "compare" / _name(flags, plan.id)
    with _alone(folder):
        split_hash = next(value for _, key, value in check.first if key == "split_hash")
        state = State(folder, plan, split_hash)
        for (label, seed), run_dir in runs.items():
            state.set_cell(label, seed, DONE, Outcome(DONE, run_dir), run_dir)
        state.drop_unfinished()
        return _finish(folder, [Outcome(DONE, run_dir) for run_dir in runs.values()], say)


def tune(keys: dict[str, Any], flags: Mapping[str, Any], say: Say) -> int:
    """Tune one model on validation and return the exit status.

    Parameters
    ----------
    keys : dict
        Configuration keys of all trials, ``model`` and ``dataset`` among them.
    flags : dict
        Texts of `TUNE_FLAGS`, as far as given.
    say : callable
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
    merged = planning.merge_keys(keys)
    model, dataset, seed = (merged.pop(key, None) for key in ("model", "dataset", "seed"))
    if "params_file" not in flags:
        raise UserError("params_file: missing; expected --params_file=FILE")
    strategy = check_strategy(flags.get("strategy", "random"))
    if strategy == "exhaustive" and "trials" in flags:
        raise UserError("--trials: of no use with --strategy=exhaustive, which takes every point")
    config = EDTConfig(
        model, dataset, overrides=merged if seed is None else {**merged, "seed": seed}
    )
    row, dataset = Row(config["model"], config["model"], {}), config["dataset"]
    path = planning.find_property_file("search", flags["params_file"], ".hyper")
    budget = _count(flags, "trials", _TRIALS)
    space = read_search_space(path)
    (seed,) = planning.parse_seeds(config["seed"])
    tuning = Tuning(row, dataset, merged, seed, space, strategy, budget)
    at_a_time = _count(flags, "jobs", 1)
    find_dataset(config)
    load_or_make_split(config.dataset_dir, dataset, config["split"])
    with _alone(tuning.folder):
        crashed = run_tunings([tuning], at_a_time, tuning.folder)
    say(tuning.table())
    if tuning.best is not None:
        say(f"\n{_tuned(tuning)}")
        say(
            f"\nwritten to {tuning.folder}; feed back with --config_files={tuning.folder}/best.yaml"
        )
    return 1 if crashed else 0 if tuning.best else 2


def _name(flags: Mapping[str, Any], otherwise: str) -> str:
    name = flags.get("name", otherwise)
    if not name or "/" in name or name.startswith("."):
        raise UserError(f"name: found {name!r}, expected a plain name for a folder")
    return name


def _count(flags: Mapping[str, Any], flag: str, otherwise: int) -> int:
    text = str(flags.get(flag, otherwise))
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UserError(f"--{flag}: found {text!r}, expected a whole number above 0")
    return int(text)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from the same folder while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock").acquire(timeout=0):
            yield
    except filelock.Timeout:
        raise UserError(f"{folder}: another process is at work on it") from None
