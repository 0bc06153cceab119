"""Ways to choose the next points of a search space: random, exhaustive, Optuna."""

import math
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from recbole_edt.compare.tuning.search_space import Dimension, SearchSpace
from recbole_edt.errors import UserError, nearest


class Search(Protocol):
    """A search strategy; it chooses the same points for the same seed and scores."""

    def ask(self, count: int) -> list[dict[str, Any]]:
        """Return the next points, at least `count` of a long list; none when the search is over."""

    def tell(self, scores: list[float | None]) -> None:
        """Record the scores of the points that were asked for last; None for a failure."""


class FixedSearch:
    """A list of points that no score changes."""

    def __init__(self, points: list[dict[str, Any]]):
        self.points = points

    def ask(self, count: int) -> list[dict[str, Any]]:
        """Return all points at once."""
        points, self.points = self.points, []
        return points

    def tell(self, scores: list[float | None]) -> None:
        """Ignore the scores."""


class OptunaSearch:
    """Optuna's tree-structured Parzen estimator, seeded, after one point that is given.

    Raises
    ------
    UserError
        When Optuna is not installed.
    """

    def __init__(self, space: SearchSpace, trials: int, seed: int, start: dict[str, Any]):
        try:
            import optuna
        except ImportError:
            raise UserError("strategy: optuna is not installed; pip install optuna") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.left, self.start = space, trials, [start]
        sampler = optuna.samplers.TPESampler(seed=seed)
        self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self.failed = optuna.trial.TrialState.FAIL
        self.kinds = {d.key: _distribution(optuna.distributions, d) for d in space.dimensions}
        self.asked: list[Any] = []

    def ask(self, count: int) -> list[dict[str, Any]]:
        """Return the next `count` points, or what is left of the budget."""
        count = min(self.left, count)
        self.left -= count
        start, self.start = self.start[:count], []
        self.asked = [None] * len(start)  # it may lie outside the space: not reported to Optuna
        self.asked += [self.study.ask(self.kinds) for _ in range(count - len(start))]
        drawn = [
            {d.key: _value(d, trial.params[d.key]) for d in self.space.dimensions}
            for trial in self.asked[len(start) :]
        ]
        return start + drawn

    def tell(self, scores: list[float | None]) -> None:
        """Report the scores to Optuna."""
        for trial, score in zip(self.asked, scores, strict=True):
            if trial is None:
                continue
            if score is None:
                self.study.tell(trial, state=self.failed)
            else:
                self.study.tell(trial, score)


def _distribution(kinds: Any, dimension: Dimension) -> Any:
    if dimension.points is not None:  # by number: a choice may be a list, which Optuna refuses
        if dimension.kind == "choice":
            return kinds.CategoricalDistribution(range(len(dimension.points)))
        return kinds.IntDistribution(0, len(dimension.points) - 1)
    low, high = dimension.values
    if dimension.kind == "loguniform":
        return kinds.FloatDistribution(math.exp(low), math.exp(high), log=True)
    return kinds.FloatDistribution(low, high)


def _value(dimension: Dimension, drawn: Any) -> Any:
    return dimension.points[drawn] if dimension.points is not None else float(f"{drawn:.6g}")


def _random(space: SearchSpace, trials: int, seed: int, start: dict[str, Any]) -> Search:
    drawn = (point for point in space.draw(seed) if point != start)
    return FixedSearch([start, *islice(drawn, trials - 1)])


def _exhaustive(space: SearchSpace, trials: int, seed: int, start: dict[str, Any]) -> Search:
    if space.size is None:
        continuous = next(d for d in space.dimensions if d.points is None)
        raise UserError(
            f"strategy: exhaustive needs an end; {continuous.key} {continuous} "
            f"in {space.source} has none"
        )
    return FixedSearch([space.point(index) for index in range(space.size)])


# by space, trials, seed, and the point of the row's own values, where the search starts
STRATEGIES: dict[str, Callable[[SearchSpace, int, int, dict[str, Any]], Search]] = {
    "random": _random,
    "exhaustive": _exhaustive,
    "optuna": OptunaSearch,
}


def check_strategy(name: str) -> str:
    """Return a strategy's name; a UserError for one that does not exist."""
    if name not in STRATEGIES:
        hint = nearest(name, STRATEGIES)
        raise UserError(f"strategy: found {name!r}, expected one of {list(STRATEGIES)}{hint}")
    return name
