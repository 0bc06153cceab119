"""One trial of a search: its values, its validation score and how it ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_edt.compare.compared_run import ComparedRun
from recbole_edt.compare.grid.state import WAITING, CellOutcome, relative


@dataclass
class Trial:
    """One point of a search and its result.

    Attributes
    ----------
    number : int
        From 1, in the order in which they were chosen.
    params : dict
        Its values.
    outcome : CellOutcome, optional
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
    outcome: CellOutcome | None = None
    score: float | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    converged: bool | None = None

    def record(self, outcome: CellOutcome, metric: str) -> None:
        """Record how it ended and, of a finished run, its validation score."""
        self.outcome = outcome
        if outcome.run_dir is None:
            return
        run = ComparedRun.read(outcome.run_dir)
        self.score = run.record.valid.overall.metrics[metric]
        self.best_epoch = sum(phase.last_best_epoch for phase in run.record.phases)
        self.epochs = sum(phase.epochs for phase in run.record.phases)
        self.converged = run.converged

    @property
    def reason(self) -> str | None:
        """Why it failed, None unless it did."""
        return self.outcome.reason if self.outcome else None

    def to_dict(self, folder: Path) -> dict[str, Any]:
        """Return its entry in ``tune.json``, paths relative to `folder`."""
        outcome = self.outcome
        return {
            "trial": self.number,
            "params": self.params,
            "status": outcome.status if outcome else WAITING,
            "score": self.score,
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "converged": self.converged,
            "seconds": outcome.seconds if outcome else None,
            "reason": self.reason,
            "run_dir": relative(outcome.run_dir, folder) if outcome and outcome.run_dir else None,
        }

    def cells(self, keys: list[str]) -> list[str]:
        """Return its line of the table of trials, with the values of some keys."""
        values = [str(self.params[key]) for key in keys]
        if self.score is None:
            return [str(self.number), "failed", "", "", "", *values]
        converged = {True: "yes", False: "no", None: "-"}[self.converged]
        texts = [f"{self.score:.4f}", str(self.epochs), str(self.best_epoch), converged]
        return [str(self.number), *texts, *values]
