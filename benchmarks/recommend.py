"""What recommending after histories that nobody has seen costs beside evaluation.

    python benchmarks/recommend.py --run=DIR [--histories=10000] [--k=10] [--repetitions=3]

The histories are as long as those of the run's test targets, with random items in their place.
Evaluation ranks each target among its own domain, or as the run's ``candidates`` has it; `lists`
scores all items and takes the best, `of a domain` those of the largest one, `table` makes the
DataFrame from ids as well. All are timed in turn; each figure is the median over repetitions.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import recbole_edt
from recbole_edt.cli.arguments import ArgumentParser
from recbole_edt.evaluation.ranking import rank_targets
from recbole_edt.evaluation.targets import Targets
from recbole_edt.recommend import Recommender


def unseen(recommender: Recommender, count: int) -> list[list[str]]:
    """Return histories of random items, as long as those of test targets."""
    targets = Targets(recommender.run.dataset, "test")
    lengths = targets.rows - targets.part.user_starts[targets.users]
    rng = np.random.default_rng(0)
    drawn = rng.choice(lengths, count)
    items = recommender.items.ids[rng.integers(1, len(recommender.items.ids), drawn.sum())]
    return [part.tolist() for part in np.split(items, np.cumsum(drawn)[:-1])]


def seconds(work: Callable[[], Any]) -> float:
    """Return the wall time of a call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser(prog="recommend.py", description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--data_path")
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--repetitions", type=int, default=3)
    given = parser.parse_args()
    keys = {} if given.data_path is None else {"data_path": given.data_path}
    recommender = recbole_edt.load(given.run, **keys)
    run, histories = recommender.run, unseen(recommender, given.histories)
    targets = Targets(run.dataset, "test")
    named, _ = recommender.named(histories, extend=False)
    sizes = np.bincount(recommender.items.domains[1:])
    domain = recommender.items.domain_names[int(sizes.argmax())]
    count = len(histories)
    works: dict[str, tuple[int, Callable[[], Any]]] = {
        "evaluation": (
            len(targets),
            lambda: rank_targets(run.model, targets, run.config["candidates"], expert=run.expert),
        ),
        "lists": (count, lambda: recommender.best(named, given.k)),
        "lists of a domain": (count, lambda: recommender.best(named, given.k, domain)),
        "table": (count, lambda: recommender.recommend(histories, given.k)),
    }
    for _, work in works.values():
        work()
    times = [[seconds(work) for _, work in works.values()] for _ in range(given.repetitions)]
    print(f"{run.record.model} on {run.record.dataset}, {len(recommender.items.ids) - 1:,} items")
    print(f"{'':20}{'histories':>10}{'seconds':>9}{'a second':>10}")
    for (name, (users, _)), column in zip(works.items(), zip(*times, strict=True), strict=True):
        took = statistics.median(column)
        print(f"{name:20}{users:10,}{took:9.2f}{users / took:10,.0f}")


if __name__ == "__main__":
    main()
