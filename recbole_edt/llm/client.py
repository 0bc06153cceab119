"""The protocol of a client, and the batches of questions that are put to one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from recbole_edt.files import digest
from recbole_edt.llm.messages import Answer, Generation, Prompt, Reply, Scores

OnAnswers = Callable[[Sequence[tuple[int, Answer]]], None]
"""Called in the caller's thread whenever answers arrive: (index of the prompt, answer)."""


class ModelClient(Protocol):
    """What answers prompts. Text embedding is not part of it: `artefacts.embeddings` has that.

    Every call returns one answer per prompt, in the order of the prompts. A prompt without an
    answer gets one with `failure` set, so that a bad one does not cost the others.

    Attributes
    ----------
    identity : mapping
        All of the model that determines its answers (kind of client, weights or name, chat
        template); JSON values, no secrets. Part of every key in the store.
    source : mapping
        Where the model came from and runs, for manifests; JSON values, no secrets.
    free_to_try : bool
        Whether a sample may be run to time it: a model in this process, not a paid server.
    """

    identity: Mapping[str, object]
    source: Mapping[str, object]
    free_to_try: bool

    def generate(
        self, prompts: Sequence[Prompt], settings: Generation, on_answers: OnAnswers | None = None
    ) -> list[Reply]:
        """Return the reply to each prompt.

        Raises
        ------
        UserError
            When the model cannot answer at all: out of memory, server down, key refused.
        """
        ...

    def score(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Sequence[str]],
        on_answers: OnAnswers | None = None,
    ) -> list[Scores]:
        """Return the log-likelihood of each prompt's continuations as the model's next words.

        Raises
        ------
        UserError
            As `generate`, and when the model cannot score.
        """
        ...

    def count_tokens(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Return the tokens that each prompt takes, int64 [len(prompts)]."""
        ...


@dataclass(frozen=True)
class GenerateRequests:
    """Prompts to be answered with text."""

    prompts: Sequence[Prompt]
    settings: Generation

    def keys(self, model: str) -> list[str]:
        """Return the key of each question in the store; `model` is the digest of its identity."""
        how = self.settings.key()
        return [digest([model, "generate", asdict(prompt), how]) for prompt in self.prompts]

    def part(self, indices: Sequence[int]) -> "GenerateRequests":
        """Return the questions at these positions."""
        return GenerateRequests([self.prompts[index] for index in indices], self.settings)

    def put_to(self, client: ModelClient, on_answers: OnAnswers | None = None) -> list[Reply]:
        """Ask a client all questions."""
        return client.generate(self.prompts, self.settings, on_answers)

    def most_tokens(self) -> int:
        """Return an upper bound on the tokens that a model writes."""
        return self.settings.max_new_tokens * len(self.prompts)


@dataclass(frozen=True)
class ScoreRequests:
    """Prompts with continuations, whose log-likelihood is wanted; as `GenerateRequests`."""

    prompts: Sequence[Prompt]
    continuations: Sequence[Sequence[str]]

    def keys(self, model: str) -> list[str]:
        """Return the key of each question in the store; `model` is the digest of its identity."""
        pairs = zip(self.prompts, self.continuations, strict=True)
        return [digest([model, "score", asdict(prompt), list(texts)]) for prompt, texts in pairs]

    def part(self, indices: Sequence[int]) -> "ScoreRequests":
        """Return the questions at these positions."""
        texts = [self.continuations[index] for index in indices]
        return ScoreRequests([self.prompts[index] for index in indices], texts)

    def put_to(self, client: ModelClient, on_answers: OnAnswers | None = None) -> list[Scores]:
        """Ask a client all questions."""
        return client.score(self.prompts, self.continuations, on_answers)

    def most_tokens(self) -> int:
        """Return the tokens that are scored, at four characters each."""
        return -(-sum(len(text) for texts in self.continuations for text in texts) // 4)


Requests = GenerateRequests | ScoreRequests
