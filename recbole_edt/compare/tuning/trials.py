"""Tuning on validation: the same number of trials for every row, each a run of its own.

The score of a trial is the validation metric that also chooses epochs. The runs hold test figures
like any other run; no line here reads them.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from recbole_edt.compare.grid.processes import CRASH, Outcome, run_jobs
from recbole_edt.compare.grid.progress import View
from recbole_edt.compare.grid.state import relative
from recbole_edt.compare.plan import Job, Row, find_property_file, make_job
from recbole_edt.compare.runs import Run, last_best
from recbole_edt.compare.tuning.search import STRATEGIES, FixedSearch, Search
from recbole_edt.compare.tuning.search_space import SearchSpace, read_search_space
from recbole_edt.errors import UserError
from recbole_edt.files import digest, read_json, replacing, write_json, write_text
from recbole_edt.model.protocols import has_settings
from recbole_edt.paths import properties_dir

SCHEMA = 1
_SHARED_SPACE = "sequential"  # for sequential models without a space of their own
_PLACES = ("data_path", "output_dir")


@dataclass
class Trial:
    """One point of a search and what came of it.

    Attributes
    ----------
    number : int
        From 1, in the order in which they were chosen.
    params : dict
        Its values.
    outcome : Outcome, optional
        How its run ended.
    score : float, optional
        Its validation score.
    epochs, best_epoch : int, optional
        Over all phases, and the latest chosen epoch of each phase summed.
    converged : bool, optional
        Whether every phase went on after its best epoch; None for a model that learns nothing.
    """

    number: int
    params: dict[str, Any]
    outcome: Outcome | None = None
    score: float | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    converged: bool | None = None

    def take(self, outcome: Outcome, metric: str) -> None:
        """Read the validation score of a finished trial."""
        self.outcome = outcome
        if outcome.run_dir is None:
            return
        metrics = read_json(outcome.run_dir / "metrics.json")
        self.score = metrics["valid"]["overall"][metric]
        self.best_epoch = sum(map(last_best, metrics["phases"]))
        self.epochs = sum(phase["epochs"] for phase in metrics["phases"])
        self.converged = Run(outcome.run_dir, metrics).converged

    def to_dict(self, folder: Path) -> dict[str, Any]:
        """Return it as ``tune.json`` holds it."""
        outcome = self.outcome
        return {
            "trial": self.number,
            "params": self.params,
            "status": outcome.status if outcome else "waiting",
            "score": self.score,
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "converged": self.converged,
            "seconds": outcome.seconds if outcome else None,
            "reason": outcome.reason if outcome else None,
            "run_dir": relative(outcome.run_dir, folder) if outcome and outcome.run_dir else None,
        }


@dataclass
class Tuning:
    """The search of one row.

    Attributes
    ----------
    row : Row
        What is tuned.
    dataset : str
        Name of the dataset.
    keys : dict
        What all trials have in common.
    seed : int
        Of the trials and of the search.
    space : SearchSpace
        Where it looks.
    strategy : str
        How.
    budget : int
        How many trials; a smaller space has fewer points. The first one is the row as it stands,
        unless the search takes every point.
    """

    row: Row
    dataset: str
    keys: Mapping[str, Any]
    seed: int
    space: SearchSpace
    strategy: str
    budget: int
    trials: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        first, self._given = self._job({}, ""), self.keys
        if first.settings["sampled_candidates"]:  # chosen as epochs are: on the full ranking
            self.keys = {**self.keys, "sampled_candidates": None}
        self.metric = first.settings["valid_metric"].lower()
        self._check()
        own = {d.key: first.settings.get(d.key) for d in self.space.dimensions}
        plan = STRATEGIES[self.strategy]
        self.search: Search = plan(self.space, self.budget, self.seed, own)
        if isinstance(self.search, FixedSearch):
            self.budget = len(self.search.points)
        kept = {k: v for k, v in self.keys.items() if k not in _PLACES}
        parts = [self.dataset, self.row.model, kept, self.space.describe(), self.strategy]
        name = f"{self.row.model}-{digest([*parts, self.seed])[:8]}"
        self.folder = first.run_dir.parents[1] / "tune" / name

    def _job(self, params: Mapping[str, Any], name: str) -> Job:
        keys = {**self.keys, **params}
        return make_job(self.row, self.dataset, keys, self.seed, name, is_trial=True)

    def _check(self) -> None:
        """Refuse keys and values that the model does not take."""
        for dimension in self.space.dimensions:
            if dimension.key in (*_PLACES, "model", "dataset", "seed"):
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

    def next_jobs(self, at_a_time: int) -> list[tuple[Trial, Job]]:
        """Return the next trials and their runs, none when the budget is spent."""
        fresh = []
        for params in self.search.ask(at_a_time):
            trial = Trial(len(self.trials) + 1, params)
            self.trials.append(trial)
            fresh.append((trial, self._job(params, f"{self.row.label}, trial {trial.number}")))
        return fresh

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, the first of equals; None when none is done."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return max(scored, key=lambda trial: trial.score or 0.0, default=None)

    @property
    def ranking(self) -> list[Trial]:
        """All trials, the best first, those without a score last."""
        return sorted(self.trials, key=lambda t: (t.score is None, -(t.score or 0.0), t.number))

    @property
    def reason(self) -> str | None:
        """Why there is no best trial."""
        reasons = (trial.outcome.reason for trial in self.trials if trial.outcome)
        return None if self.best else f"no trial succeeded: {next(reasons, 'none was run')}"

    def summary(self) -> dict[str, Any]:
        """Return what ``compare.json`` says of it."""
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
        with (
            replacing(self.folder / "trials.csv") as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as handle,
        ):
            flat = [{k: v for k, v in t.items() if k != "params"} | t["params"] for t in trials]
            writer = csv.DictWriter(handle, list(flat[0]) if flat else [], lineterminator="\n")
            writer.writeheader()
            writer.writerows(flat)
        if self.best is not None:
            write_text(self.folder / "best.yaml", self._best_yaml(self.best))

    def _best_yaml(self, best: Trial) -> str:
        kept = {k: v for k, v in self._given.items() if k not in (*_PLACES, "seed")}
        content = {**kept, "model": self.row.model, "dataset": self.dataset, **best.params}
        head = f"# trial {best.number} of {len(self.trials)}: {self.metric} {best.score:.4f}"
        return f"{head} on validation, seed {self.seed}\n{yaml.safe_dump(content)}"

    def table(self) -> str:
        """Return the trials as an aligned text table, the best first."""
        keys = [dimension.key for dimension in self.space.dimensions]
        lines = [["trial", f"valid {self.metric}", "epochs", "best", "converged", *keys]]
        failures = []
        for trial in self.ranking:
            values = [str(trial.params[key]) for key in keys]
            if trial.score is None:
                failures.append(
                    f"trial {trial.number} failed: {getattr(trial.outcome, 'reason', '')}"
                )
                lines.append([str(trial.number), "failed", "", "", "", *values])
                continue
            converged = {True: "yes", False: "no", None: "-"}[trial.converged]
            ends = [str(trial.epochs), str(trial.best_epoch), converged]
            lines.append([str(trial.number), f"{trial.score:.4f}", *ends, *values])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([*rows, *failures])


def find_space(job: Job) -> SearchSpace | None:
    """Return the search space of a row: its own, its model's or that of all sequential models.

    None for a model without one, such as popularity, where there is nothing to search.
    """
    if job.row.search is not None:
        return read_search_space(find_property_file("search", job.row.search, ".hyper"))
    if not has_settings(job.config.model_class):
        return None
    names = [job.row.model]
    if job.config["MODEL_TYPE"].name == "SEQUENTIAL":
        names.append(_SHARED_SPACE)
    paths = (properties_dir() / "search" / f"{name}.hyper" for name in names)
    found = next((path for path in paths if path.is_file()), None)
    return None if found is None else read_search_space(found)


def run_tunings(
    tunings: list[Tuning],
    at_a_time: int,
    folder: Path,
    on_change: Callable[[Tuning], None] = lambda tuning: None,
) -> bool:
    """Spend the budgets of some rows, all rows' trials in turn.

    Finished trials are not run again, killed ones go on.

    Returns
    -------
    bool
        Whether a trial crashed.
    """
    crashed = False
    view = View(sum(tuning.budget for tuning in tunings), at_a_time, "trials")
    try:
        while batch := [(t, *fresh) for t in tunings for fresh in t.next_jobs(at_a_time)]:

            def note(number: int, status: str, outcome: Outcome | None, batch: Any = batch) -> None:
                tuning, trial, _ = batch[number]
                if outcome is not None:
                    trial.take(outcome, tuning.metric)
                    tuning.write()
                    on_change(tuning)

            outcomes = run_jobs([job for *_, job in batch], at_a_time, folder, view, note)
            crashed = crashed or any(outcome.kind == CRASH for outcome in outcomes)
            for tuning in tunings:
                scores = [trial.score for owner, trial, _ in batch if owner is tuning]
                tuning.search.tell(scores)
    finally:
        view.close()
    return crashed
