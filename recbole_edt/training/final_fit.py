"""The final fit: training once more, on training and validation rows, for epochs chosen before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recbole_edt.training.best_epoch import BestEpoch
from recbole_edt.training.history import History
from recbole_edt.training.loop import PhaseLoop
from recbole_edt.training.phase_settings import PhaseSettings
from recbole_edt.training.phase_state import PhaseState


@dataclass(frozen=True)
class ChosenEpochs:
    """What validation has chosen in the first fit, and the scores that its schedule has seen.

    Attributes
    ----------
    best : mapping
        By phase the best epoch, or one per domain.
    scores : mapping
        Overall validation score by phase and epoch, of the epochs that were validated.
    """

    best: Mapping[str, int | Mapping[str, int]]
    scores: Mapping[tuple[str, int], float]

    @classmethod
    def from_history(cls, history: History, metric: str) -> "ChosenEpochs":
        """Read a finished fit; `metric` is the one that chose epochs, such as ``ndcg@10``."""
        best = {phase["name"]: phase["best_epoch"] for phase in history.phases}
        scores = {(row["phase"], row["epoch"]): row[metric] for row in history.curves}
        return cls(best, scores)

    def epoch(self, phase: str, scope: str) -> int:
        """Return the epoch whose weights are kept, of a domain or of ``all``."""
        best = self.best[phase]
        return best[scope] if isinstance(best, Mapping) else best

    def last(self, phase: str) -> int:
        """Return how many epochs a phase is trained for: until the last domain has its own."""
        best = self.best[phase]
        return max(best.values()) if isinstance(best, Mapping) else best


class FinalLoop(PhaseLoop):
    """Trains phases for the chosen numbers of epochs and validates nothing [ours].

    Up to these epochs a phase goes as in the first fit: a plateau schedule is given the scores of
    that fit, and each domain's part keeps the weights of its own epoch.

    Parameters
    ----------
    chosen : ChosenEpochs
        Of the first fit.
    *args, **keys
        As for `PhaseLoop`.
    """

    def __init__(self, chosen: ChosenEpochs, *args: Any, **keys: Any):
        super().__init__(*args, **keys)
        self._chosen = chosen

    def _settings(self, name: str) -> PhaseSettings:
        return replace(super()._settings(name), epochs=self._chosen.last(name))

    def _select(self, phase: PhaseState) -> tuple[float | None, dict[str, float]]:
        """Keep the weights of the parts whose epoch it is; return the first fit's score."""
        best: Sequence[BestEpoch] = phase.best
        for part in best:
            if phase.epoch == self._chosen.epoch(phase.name, part.scope):
                part.keep(phase.epoch, self._model)
        return self._chosen.scores.get((phase.name, phase.epoch)), {}
