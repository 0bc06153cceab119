"""What a batch of questions would take: calls, tokens, time and cost, before anything is spent."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_edt.llm.client import GenerateRequests, ModelClient, Requests

_SAMPLE = 16


@dataclass(frozen=True)
class Prices:
    """Cost of a million tokens, in any one currency."""

    read: float = 0.0
    written: float = 0.0

    def of(self, prompt_tokens: float, output_tokens: float, writes: bool) -> float:
        """Return the cost of so many tokens; output that is only scored is read, not written."""
        price = self.written if writes else self.read
        return (prompt_tokens * self.read + output_tokens * price) / 1e6


@dataclass(frozen=True)
class Estimate:
    """A forecast.

    Attributes
    ----------
    calls, stored : int
        Questions to ask, and those (repetitions included) that cost nothing any more.
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


def estimate(
    client: ModelClient,
    requests: Requests,
    stored: int,
    prices: Prices,
    tokens_per_second: float,
) -> Estimate:
    """Forecast the answers to questions that are not stored.

    A model in this process runs a few of the prompts to see how long its replies are and how
    long they take. For a server every reply counts as one of full length, an upper bound.

    Parameters
    ----------
    client : ModelClient
        What would be asked.
    requests : Requests
        The questions to ask.
    stored : int
        Further questions whose answers are stored; reported only.
    prices : Prices
        Cost of tokens.
    tokens_per_second : float
        What a server writes, over all requests in flight.
    """
    sizes = client.count_tokens(requests.prompts)
    calls, read = len(sizes), int(sizes.sum())
    writes = isinstance(requests, GenerateRequests)
    if not calls:
        return Estimate(0, stored, 0, 0, 0.0, 0.0, "all is stored")
    if client.free_to_try:
        sample = _spread(sizes)
        requests.part(sample[:1]).put_to(client)  # the first call pays for warming up
        start = time.perf_counter()
        answers = requests.part(sample).put_to(client)
        took = time.perf_counter() - start
        sampled = sum(answer.output_tokens for answer in answers)
        output = round(sampled * calls / len(sample))
        seconds = took * (read + output) / (int(sizes[sample].sum()) + sampled)
        basis = f"counted tokens, a timed sample of {len(sample)}"
    else:
        output = requests.most_tokens()
        seconds = (output if writes else read + output) / tokens_per_second
        basis = f"characters / 4, replies of full length, {tokens_per_second:g} tokens/s"
    cost = prices.of(read, output, writes)
    return Estimate(calls, stored, read, output, seconds, cost, basis)


def _spread(sizes: np.ndarray) -> Sequence[int]:
    """Return the indices of a few prompts, from the shortest to the longest."""
    order = np.argsort(sizes, kind="stable")
    picked = np.linspace(0, len(order) - 1, min(_SAMPLE, len(order))).round().astype(int)
    return [int(index) for index in order[picked]]
