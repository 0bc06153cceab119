"""The command ``compare``: check every row, tune, run rows x seeds, report."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recbole_edt.compare.cell_job import CellJob, job_of_plan
from recbole_edt.compare.finished_runs import plan_of_runs
from recbole_edt.compare.grid.progress import GridProgress
from recbole_edt.compare.grid.scheduler import GridScheduler
from recbole_edt.compare.grid.state import CellOutcome, ComparisonState, folder_lock
from recbole_edt.compare.inputs import (
    Flags,
    check_flags_of_runs,
    check_sources,
    folder_name,
    parse_jobs,
    plan_from_flags,
)
from recbole_edt.compare.plan import ComparisonPlan
from recbole_edt.compare.protocol import ProtocolCheck, refuse_difference
from recbole_edt.compare.report.write import write_report
from recbole_edt.compare.tuning.row_tuning import RowTuning, find_space, run_tunings
from recbole_edt.config import SPLIT_KEYS
from recbole_edt.data.split import Split, split_of
from recbole_edt.executors import (
    CRASH,
    DONE,
    FAILED,
    USER,
    ClusterSettings,
    Executor,
    open_executor,
)
from recbole_edt.runs import RunFolder, dataset_files, find_dataset, refuse_stale

_EVALUATION_KEYS = (
    *SPLIT_KEYS,
    "candidates",
    "sampled_candidates",
    "valid_users",
    "tail_ratio",
    "final_fit",
)

WriteLine = Callable[[str], None]


def compare(keys: Mapping[str, Any], flags: Flags, output: WriteLine, messages: WriteLine) -> int:
    """Run a comparison and return its exit status.

    Parameters
    ----------
    keys : dict
        Configuration keys of all cells, ``dataset`` and ``config_files`` among them.
    flags : dict
        Texts of the flags ``models``, ``file``, ``runs``, ``seeds``, ``jobs``, ``tune``,
        ``strategy``, ``name`` and those of a cluster, as far as given.
    output, messages : callable
        Take the lines of the result, and those about the way there.

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
    check_sources(flags)
    if "runs" in flags:
        check_flags_of_runs(keys, flags)
        return _compare_finished(keys, flags, output)
    plan = plan_from_flags(keys, flags)
    slots, cluster = parse_jobs(flags), ClusterSettings.from_flags(flags)
    jobs = [job_of_plan(plan, row, plan.seeds[0]) for row in plan.rows]
    _check_evaluation(jobs)
    config = jobs[0].config
    find_dataset(config)
    split = split_of(config)
    tunings = _tunings(plan, jobs, messages)
    folder = jobs[0].run_dir.parents[1] / "compare" / folder_name(flags, plan.id)
    files = dataset_files(config)
    with open_executor(cluster, slots, files) as executor, folder_lock(folder):
        state = ComparisonState(folder, plan, split.hash)
        try:
            crashed = run_tunings(
                list(tunings.values()),
                executor,
                folder,
                lambda tuning: state.set_tuning(tuning.row.label, tuning.summary()),
            )
            outcomes = _run_cells(plan, tunings, executor, folder, state, split)
        finally:
            state.stop()
        for label, tuning in tunings.items():
            messages(f"{label}: {tuning.result_line()}")
        status = _report(folder, outcomes, output)
    return 1 if crashed else status


def _check_evaluation(jobs: list[CellJob]) -> None:
    """Refuse rows that would be evaluated differently, before anything runs."""
    first = jobs[0]
    for job in jobs[1:]:
        for key in _EVALUATION_KEYS:
            ours, theirs = first.settings[key], job.settings[key]
            refuse_difference(key, first.row.label, ours, job.row.label, theirs)


def _tunings(
    plan: ComparisonPlan, jobs: list[CellJob], messages: WriteLine
) -> dict[str, RowTuning]:
    """Return the searches of the rows that have a budget and a search space, by label."""
    tunings, untuned = {}, []
    for row, job in zip(plan.rows, jobs, strict=True):
        budget = plan.budget(row)
        if not budget:
            continue
        space = find_space(job)
        if space is None:
            untuned.append(row)
            continue
        keys = {**plan.keys, **row.keys}
        tunings[row.label] = RowTuning(
            row, plan.dataset, keys, plan.seeds[0], space, plan.strategy, budget
        )
    for row in untuned:
        messages(f"{row.label}: not tuned: {row.model} has no search space")
    return tunings


def _run_cells(
    plan: ComparisonPlan,
    tunings: Mapping[str, RowTuning],
    executor: Executor,
    folder: Path,
    state: ComparisonState,
    split: Split,
) -> list[CellOutcome]:
    """Run rows x seeds, each row with the best values of its search."""
    protocol = ProtocolCheck(f"split {split.kind}", {"split_hash": split.hash})
    jobs, outcomes = [], []
    for seed in plan.seeds:  # seed by seed: a table with all rows is there early
        for row in plan.rows:
            tuning = tunings.get(row.label)
            if tuning is not None and tuning.best is None:
                failed = CellOutcome(FAILED, None, tuning.reason, USER)
                state.set_cell(row.label, seed, FAILED, failed, None)
                outcomes.append(failed)
            else:
                best = tuning.best.params if tuning is not None and tuning.best else {}
                jobs.append(job_of_plan(plan, row, seed, best))

    def record(index: int, status: str, outcome: CellOutcome | None) -> None:
        job = jobs[index]
        run_dir = outcome.run_dir if outcome else job.run_dir
        if status == FAILED and job.run_dir.is_dir():
            run_dir = job.run_dir
        state.set_cell(job.row.label, job.seed, status, outcome, run_dir)
        if outcome is not None and outcome.run_dir is not None:
            folder_of_run = RunFolder(outcome.run_dir)
            run_record = folder_of_run.read_record()
            if outcome.seconds is None:  # finished before; today's dataset may be another
                refuse_stale(folder_of_run, run_record, job.config, split)
            protocol.add(outcome.run_dir, run_record)

    progress = GridProgress(len(jobs), executor.slots)
    try:
        return outcomes + GridScheduler(jobs, executor, folder, progress, record).run()
    finally:
        progress.close()


def _compare_finished(keys: Mapping[str, Any], flags: Flags, output: WriteLine) -> int:
    """Compare finished runs and return the exit status."""
    plan, runs = plan_of_runs(flags["runs"])
    protocol = ProtocolCheck()
    for run_dir in runs.values():
        protocol.add(run_dir, RunFolder(run_dir).read_record())
    root = next(iter(runs.values())).resolve().parents[1]
    if "output_dir" in keys:
        root = Path(keys["output_dir"], plan.dataset)
    folder = root / "compare" / folder_name(flags, plan.id)
    with folder_lock(folder):
        state = ComparisonState(folder, plan, protocol.values["split_hash"])
        outcomes = []
        for (label, seed), run_dir in runs.items():
            outcomes.append(CellOutcome(DONE, run_dir))
            state.set_cell(label, seed, DONE, outcomes[-1], run_dir)
        state.drop_unfinished()
        return _report(folder, outcomes, output)


def _report(folder: Path, outcomes: list[CellOutcome], output: WriteLine) -> int:
    """Write the report over what is done and return the exit status."""
    kinds = {outcome.kind for outcome in outcomes}
    if any(outcome.status == DONE for outcome in outcomes):
        output(write_report(folder, shutil.get_terminal_size((120, 24)).columns))
    failed = sum(outcome.status == FAILED for outcome in outcomes)
    if failed:
        output(f"\n{failed} of {len(outcomes)} cells failed; reasons: {folder / 'compare.json'}")
    output(f"\nwritten to {folder}")
    return 1 if CRASH in kinds else 2 if USER in kinds else 0
