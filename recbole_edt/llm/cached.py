"""A client that looks into the store before it asks, and keeps what it was told."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recbole_edt.files import digest
from recbole_edt.llm.client import Answer, Generation, LanguageModel, Prompt, Reply, Scores
from recbole_edt.llm.store import Record, ReplyStore, Usage

Progress = Callable[[int], None]
"""Called with the number of questions that were just answered, stored ones included."""


@dataclass(frozen=True)
class Prices:
    """Cost of a million tokens, in any one currency."""

    read: float = 0.0
    written: float = 0.0

    def of(self, prompt_tokens: float, generated_tokens: float) -> float:
        """Return the cost of so many tokens."""
        return (prompt_tokens * self.read + generated_tokens * self.written) / 1e6


class CachedClient:
    """Wraps any client: every question is put to it once, over all calls, runs and processes.

    A question is the model's identity, the prompt, and the parameters (or the continuations).
    Failures are not kept: they are asked again by the next call.

    Parameters
    ----------
    client : LanguageModel
        Who is asked.
    store : ReplyStore
        Where the answers are.
    prices : Prices
        What new answers cost.
    """

    def __init__(self, client: LanguageModel, store: ReplyStore, prices: Prices | None = None):
        self.client = client
        self.store = store
        self.prices = prices or Prices()
        self.identity: Mapping[str, Any] = client.identity
        self._model = digest(dict(client.identity))

    def generate(
        self,
        prompts: Sequence[Prompt],
        settings: Generation,
        progress: Progress | None = None,
    ) -> list[Reply]:
        """Return the reply to each prompt; see `client.LanguageModel.generate`."""

        def ask(indices: list[int], done: Any) -> None:
            self.client.generate([prompts[index] for index in indices], settings, done)

        keys = [self.generation_key(prompt, settings) for prompt in prompts]
        return self._answered(keys, ask, progress)

    def score(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[Scores]:
        """Return the scores of each prompt's continuations; see `client.LanguageModel.score`."""

        def ask(indices: list[int], done: Any) -> None:
            self.client.score(
                [prompts[index] for index in indices],
                [continuations[index] for index in indices],
                done,
            )

        pairs = zip(prompts, continuations, strict=True)
        return self._answered([self.scoring_key(*pair) for pair in pairs], ask, progress)

    def count_tokens(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Return the tokens that each prompt takes, int64 [len(prompts)]."""
        return self.client.count_tokens(prompts)

    def generation_key(self, prompt: Prompt, settings: Generation) -> str:
        """Return the key under which a reply is stored."""
        return digest([self._model, "generate", asdict(prompt), asdict(settings)])

    def scoring_key(self, prompt: Prompt, continuations: Sequence[str]) -> str:
        """Return the key under which the scores of these continuations are stored."""
        return digest([self._model, "score", asdict(prompt), list(continuations)])

    def open_questions(self, keys: Sequence[str]) -> list[int]:
        """Return the index of each question that is not stored, repeated ones once."""
        first: dict[str, int] = {}
        for index, key in enumerate(keys):
            if key not in self.store:
                first.setdefault(key, index)
        return list(first.values())

    def _answered(
        self, keys: list[str], ask: Callable[[list[int], Any], None], progress: Progress | None
    ) -> list[Any]:
        waiting = self.open_questions(keys)
        failed: dict[str, Answer] = {}
        if progress and len(keys) > len(waiting):
            progress(len(keys) - len(waiting))
        since = time.monotonic()

        def keep(answers: Sequence[tuple[int, Answer]]) -> None:
            nonlocal since
            now = time.monotonic()
            share, since = (now - since) / len(answers), now
            records = [self._record(keys[waiting[i]], answer, share) for i, answer in answers]
            self.store.add(records)
            failed.update((r.key, r.answer) for r in records if r.answer.failure is not None)
            if progress:
                progress(len(records))

        if waiting:
            ask(waiting, keep)
        return [failed.get(key) or self.store.get(key) for key in keys]

    def _record(self, key: str, answer: Answer, seconds: float) -> Record:
        written = answer.generated_tokens if isinstance(answer, Reply) else sum(answer.counts)
        spent = (answer.prompt_tokens, written) if answer.failure is None else (0, 0)
        # Scored continuations are read, not written.
        paid = spent if isinstance(answer, Reply) else (sum(spent), 0)
        return Record(
            key,
            answer,
            Usage(
                calls=1,
                prompt_tokens=spent[0],
                generated_tokens=spent[1],
                seconds=round(seconds, 6),
                retries=answer.retries,
                failures=int(answer.failure is not None),
                cost=self.prices.of(*paid),
            ),
        )
