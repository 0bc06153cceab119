"""What a piece of work would take: calls, tokens, time and cost, before anything is spent."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recbole_edt.llm.cached import CachedClient
from recbole_edt.llm.client import Generation, Prompt

_SAMPLE = 16


@dataclass(frozen=True)
class Estimate:
    """A forecast.

    Attributes
    ----------
    calls, stored : int
        Questions still to ask, and those (repetitions included) that cost nothing any more.
    prompt_tokens, generated_tokens : int
        To be read, and to be written (or scored).
    seconds : float
        Time of the calls in this process.
    cost : float
        At the configured prices.
    basis : str
        How tokens and time were arrived at, in words.
    """

    calls: int
    stored: int
    prompt_tokens: int
    generated_tokens: int
    seconds: float
    cost: float
    basis: str

    def __str__(self) -> str:
        return (
            f"{self.calls:,} calls ({self.stored:,} more are stored), "
            f"{self.prompt_tokens:,} tokens read, {self.generated_tokens:,} written, "
            f"about {self.seconds:,.0f} s, cost {self.cost:,.2f} ({self.basis})"
        )


def estimate_generate(
    client: CachedClient,
    prompts: Sequence[Prompt],
    settings: Generation,
    tokens_per_second: float,
) -> Estimate:
    """Forecast `CachedClient.generate`; nothing is stored.

    A model in this process runs a few of the prompts to see how long its replies are and how
    long they take. For a server every reply counts as one of full length, an upper bound.

    Parameters
    ----------
    client : CachedClient
        Who would be asked.
    prompts, settings : sequence of Prompt, Generation
        What would be asked.
    tokens_per_second : float
        What a server writes, over all requests in flight.
    """
    keys = [client.generation_key(prompt, settings) for prompt in prompts]
    todo = client.open_questions(keys)
    sizes = client.count_tokens([prompts[index] for index in todo])

    def run(places: list[int]) -> int:
        sample = client.client.generate([prompts[todo[place]] for place in places], settings)
        return sum(reply.generated_tokens for reply in sample)

    most = settings.max_new_tokens * len(todo)
    return _estimate(client, len(keys), sizes, most, run, tokens_per_second, written=True)


def estimate_score(
    client: CachedClient,
    prompts: Sequence[Prompt],
    continuations: Sequence[Sequence[str]],
    tokens_per_second: float,
) -> Estimate:
    """Forecast `CachedClient.score`; as `estimate_generate`."""
    keys = [client.scoring_key(*pair) for pair in zip(prompts, continuations, strict=True)]
    todo = client.open_questions(keys)
    sizes = client.count_tokens([prompts[index] for index in todo])

    def run(places: list[int]) -> int:
        indices = [todo[place] for place in places]
        sample = client.client.score(
            [prompts[index] for index in indices], [continuations[index] for index in indices]
        )
        return sum(sum(scores.counts) for scores in sample)

    characters = sum(len(text) for index in todo for text in continuations[index])
    return _estimate(
        client, len(keys), sizes, -(-characters // 4), run, tokens_per_second, written=False
    )


def _estimate(
    client: CachedClient,
    questions: int,
    sizes: np.ndarray,
    most: int,
    run: Callable[[list[int]], int],
    tokens_per_second: float,
    written: bool,
) -> Estimate:
    calls, read = len(sizes), int(sizes.sum())
    model = client.client
    if not calls:
        return Estimate(0, questions, 0, 0, 0.0, 0.0, "all is stored")
    if model.free_to_try:
        places = _spread(sizes)
        run(places[:1])  # the first call pays for warming up
        start = time.perf_counter()
        sampled = run(places)
        took = time.perf_counter() - start
        more = round(sampled * calls / len(places))
        seconds = took * (read + more) / (int(sizes[places].sum()) + sampled)
        basis = f"counted tokens, a timed sample of {len(places)}"
    else:
        more, seconds = most, (most if written else read + most) / tokens_per_second
        basis = f"characters / 4, replies of full length, {tokens_per_second:g} tokens/s"
    cost = client.prices.of(read, more) if written else client.prices.of(read + more, 0)
    return Estimate(calls, questions - calls, read, more, seconds, cost, basis)


def _spread(sizes: np.ndarray) -> list[int]:
    """Return a few places from the shortest to the longest prompt."""
    order = np.argsort(sizes, kind="stable")
    at = np.linspace(0, len(order) - 1, min(_SAMPLE, len(order))).round().astype(int)
    return [int(place) for place in order[at]]
