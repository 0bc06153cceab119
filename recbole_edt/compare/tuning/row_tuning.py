"""Tuning on validation: the same number of trials for every row, each a run of its own.

The score of a trial is the validation metric that also chooses epochs. The runs hold test figures
like any other run; no line here reads them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from recbole_edt.compare.cell_job import CellJob, make_job
from recbole_edt.compare.grid.progress import GridProgress
from recbole_edt.compare.grid.scheduler import GridScheduler
from recbole_edt.compare.grid.state import CellOutcome
from recbole_edt.compare.plan import ComparisonRow
from recbole_edt.compare.tuning.search import STRATEGIES, FixedSearch, Search
from recbole_edt.compare.tuning.search_space import SearchSpace, read_search_space
from recbole_edt.compare.tuning.trial import Trial
from recbole_edt.data.rolling_split import has_all_folds
from recbole_edt.errors import UserError
from recbole_edt.executors import CRASH, Executor
from recbole_edt.files import digest, write_json, write_table, write_text
from recbole_edt.model.protocols import has_settings
from recbole_edt.paths import find_property_file, properties_dir
from recbole_edt.runs import FOLDER_KEYS, without_folders

SCHEMA = 1
_DEFAULT_SPACE = "sequential"  # for sequential models without a space of their own


@dataclass
class RowTuning:
    """The search of one row.

    Attributes
    ----------
    row : ComparisonRow
        What is tuned.
    dataset : str
        Name of the dataset.
    keys : dict
        Configuration keys of all trials.
    seed : int
        Of the trials and of the search.
    space : SearchSpace
        The values to choose from.
    strategy : str
        How they are chosen.
    budget : int
        How many trials; a smaller space has fewer points. The first one is the row with its
        values unchanged, unless the search takes every point.
    """

    row: ComparisonRow
    dataset: str
    keys: Mapping[str, Any]
    seed: int
    space: SearchSpace
    strategy: str
    budget: int
    trials: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        first, self._given = self._job({}, ""), self.keys
        # A trial ends with validation, on the full ranking as epochs are chosen.
        for key, value in (("sampled_candidates", None), ("final_fit", False)):
            if first.settings[key]:
                self.keys = {**self.keys, key: value}
        # Later folds validate on what earlier ones are tested on: only the first fold's validation
        # is before all test windows.
        if has_all_folds(first.settings):
            self.keys = {**self.keys, "fold": 1}
        self.metric = first.settings["valid_metric"].lower()
        self._check()
        start = {d.key: first.settings.get(d.key) for d in self.space.dimensions}
        make_search = STRATEGIES[self.strategy]
        self.search: Search = make_search(self.space, self.budget, self.seed, start)
        if isinstance(self.search, FixedSearch):
            self.budget = len(self.search.points)
        kept = without_folders(self.keys)
        parts = [self.dataset, self.row.model, kept, self.space.describe(), self.strategy]
        name = f"{self.row.model}-{digest([*parts, self.seed])[:8]}"
        self.folder = first.run_dir.parents[1] / "tune" / name

    def _job(self, params: Mapping[str, Any], name: str) -> CellJob:
        keys = {**self.keys, **params}
        return make_job(self.row, self.dataset, keys, self.seed, name, is_trial=True)

    def _check(self) -> None:
        """Refuse keys and values that the model does not accept."""
        for dimension in self.space.dimensions:
            if dimension.key in (*FOLDER_KEYS, "model", "dataset", "seed"):
                raise UserError(f"{self.space.source}: {dimension.key}: cannot be searched")
            if dimension.key in self.keys and dimension.key not in self.row.keys:
                raise UserError(
                    f"{self.row.label}: {dimension.key} is fixed to {self.keys[dimension.key]!r} "
                    f"and searched in {self.space.source}; expected one of both"
                )
            for value in dimension.bounds:
                try:
                    self._job({dimension.key: value}, "")
                except UserError as error:
                    raise UserError(f"{self.space.source}: {error}") from None

    def next_jobs(self, count: int) -> list[tuple[Trial, CellJob]]:
        """Return the next trials (at least `count` of a long search) and their runs.

        The list is empty when the budget is spent.
        """
        fresh = []
        for params in self.search.ask(count):
            trial = Trial(len(self.trials) + 1, params)
            self.trials.append(trial)
            fresh.append((trial, self._job(params, f"{self.row.label}, trial {trial.number}")))
        return fresh

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, the first of equals; None when none is done."""
        return next((trial for trial in self.ranking if trial.score is not None), None)

    @property
    def ranking(self) -> list[Trial]:
        """All trials, the best first, those without a score last."""
        return sorted(self.trials, key=lambda t: (t.score is None, -(t.score or 0.0), t.number))

    @property
    def reason(self) -> str | None:
        """Why there is no best trial, None when there is one."""
        reasons = (trial.reason for trial in self.trials if trial.outcome)
        return None if self.best else f"no trial succeeded: {next(reasons, 'none was run')}"

    def summary(self) -> dict[str, Any]:
        """Return its entry in ``compare.json``."""
        best = self.best
        return {
            "trials": self.budget,
            "done": sum(trial.score is not None for trial in self.trials),
            "strategy": self.strategy,
            "metric": self.metric,
            "space": self.space.describe(),
            "best": best.params if best else None,
            "score": best.score if best else None,
            "converged": best.converged if best else None,
        }

    def write(self) -> None:
        """Write ``tune.json``, ``trials.csv`` and, when there is a best trial, ``best.yaml``."""
        head = {"schema": SCHEMA, "dataset": self.dataset, "model": self.row.model}
        trials = [trial.to_dict(self.folder) for trial in self.trials]
        record = {**head, "seed": self.seed, **self.summary(), "runs": trials}
        write_json(self.folder / "tune.json", record)
        flat = [{k: v for k, v in t.items() if k != "params"} | t["params"] for t in trials]
        write_table(self.folder / "trials.csv", flat)
        if self.best is not None:
            write_text(self.folder / "best.yaml", self.configuration_of(self.best))

    def configuration_of(self, trial: Trial) -> str:
        """Return a trial's configuration as YAML for ``--config_files``."""
        kept = {k: v for k, v in self._given.items() if k not in (*FOLDER_KEYS, "seed")}
        content = {**kept, "model": self.row.model, "dataset": self.dataset, **trial.params}
        head = f"# trial {trial.number} of {len(self.trials)}: {self.metric} {trial.score:.4f}"
        return f"{head} on validation, seed {self.seed}\n{yaml.safe_dump(content)}"

    def table(self) -> str:
        """Return the trials as an aligned text table, the best first."""
        keys = [dimension.key for dimension in self.space.dimensions]
        head = ["trial", f"valid {self.metric}", "epochs", "best", "converged", *keys]
        text = tabulate(
            [trial.cells(keys) for trial in self.ranking],
            head,
            tablefmt="plain",
            disable_numparse=True,
            colglobalalign="right",
        )
        failed = [trial for trial in self.ranking if trial.score is None]
        return "\n".join([text, *(f"trial {t.number} failed: {t.reason or ''}" for t in failed)])

    def result_line(self) -> str:
        """Return budget, best values and whether the best trial converged, in one line."""
        best = self.best
        if best is None:
            return self.reason or ""
        values = ", ".join(f"{key}={value}" for key, value in best.params.items())
        end = {True: ", converged", False: ", still rising at its last epoch", None: ""}
        return (
            f"tuned in {self.budget} trials ({self.strategy}): {values}; validation "
            f"{self.metric} {best.score:.4f}{end[best.converged]}"
        )


def find_space(job: CellJob) -> SearchSpace | None:
    """Return the search space of a row: its own, its model's or that of all sequential models.

    None for a model without one, such as popularity, where there is nothing to search.
    """
    if job.row.search is not None:
        return read_search_space(find_property_file("search", job.row.search, ".hyper"))
    if not has_settings(job.config.model_class):
        return None
    names = [job.row.model]
    if job.config["MODEL_TYPE"].name == "SEQUENTIAL":
        names.append(_DEFAULT_SPACE)
    paths = (properties_dir() / "search" / f"{name}.hyper" for name in names)
    path = next((path for path in paths if path.is_file()), None)
    return None if path is None else read_search_space(path)


def run_tunings(
    tunings: list[RowTuning],
    executor: Executor,
    folder: Path,
    on_change: Callable[[RowTuning], None] = lambda tuning: None,
) -> bool:
    """Spend the budgets of some rows, all rows' trials in turn.

    Finished trials are not run again, killed ones are resumed.

    Returns
    -------
    bool
        Whether a trial crashed.
    """
    if not tunings:
        return False
    crashed = False
    progress = GridProgress(sum(tuning.budget for tuning in tunings), executor.slots, "trials")
    try:
        while batch := [(t, *fresh) for t in tunings for fresh in t.next_jobs(executor.slots)]:

            def record(
                index: int, status: str, outcome: CellOutcome | None, batch: Any = batch
            ) -> None:
                tuning, trial, _ = batch[index]
                if outcome is not None:
                    trial.record(outcome, tuning.metric)
                    tuning.write()
                    on_change(tuning)

            jobs = [job for *_, job in batch]
            outcomes = GridScheduler(jobs, executor, folder, progress, record).run()
            crashed = crashed or any(outcome.kind == CRASH for outcome in outcomes)
            for tuning in tunings:
                tuning.search.tell([trial.score for owner, trial, _ in batch if owner is tuning])
    finally:
        progress.close()
    return crashed
