"""The protocol that every language model is used through, and what goes in and comes out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Prompt:
    """One question to a chat model.

    What a call's prompts have in common at their start (the system text, the instructions) is
    found by the client itself, on tokens, so nobody has to mark it.

    Attributes
    ----------
    system : str
        Standing instructions; may be empty.
    user : str
        The question.
    """

    system: str
    user: str


@dataclass(frozen=True)
class Generation:
    """How a reply is generated; every field is part of the reply's key in the store.

    Attributes
    ----------
    max_new_tokens : int
        Tokens after which a reply is cut.
    temperature : float
        0 takes the most likely token each time.
    seed : int
        Of the draws; without effect at temperature 0.
    """

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Reply:
    """What a model answered to one prompt.

    Attributes
    ----------
    text : str
        The answer without special tokens; empty when there is none. Data, never to be trusted.
    prompt_tokens, generated_tokens : int
        Tokens read and written; for a server that does not tell, characters / 4.
    finish : str
        ``stop``: the model ended; ``length``: cut at `Generation.max_new_tokens`; ``failed``.
    failure : str or None
        Why there is no answer (``prompt_too_long``, ``timeout``, ``bad_json`` ...), else None.
    retries : int
        Attempts beyond the first.
    """

    text: str
    prompt_tokens: int = 0
    generated_tokens: int = 0
    finish: str = "stop"
    failure: str | None = None
    retries: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Scores:
    """Log-likelihoods of the continuations of one prompt.

    Attributes
    ----------
    sums : tuple of float
        Natural log-likelihood of each continuation, summed over its tokens.
    counts : tuple of int
        Number of its tokens.
    prompt_tokens : int
        Tokens of the prompt.
    failure : str or None
        Why there are no scores, else None.
    retries : int
        Attempts beyond the first.
    """

    sums: tuple[float, ...]
    counts: tuple[int, ...]
    prompt_tokens: int = 0
    failure: str | None = None
    retries: int = 0

    @property
    def means(self) -> np.ndarray:
        """Mean log-likelihood per token, float64 [continuations]; -inf for an empty one."""
        counts = np.asarray(self.counts, dtype=np.float64)
        means = np.full(len(counts), -np.inf)
        np.divide(np.asarray(self.sums, dtype=np.float64), counts, out=means, where=counts > 0)
        return means

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


Answer = Reply | Scores
Done = Callable[[Sequence[tuple[int, Any]]], None]
"""Called in the caller's thread whenever some answers are ready: (index of the prompt, answer)."""


class LanguageModel(Protocol):
    """What a client offers. Text embedding is not part of it: `artefacts.encoder` serves that.

    Every call returns one answer per prompt, in the order of the prompts. A prompt without an
    answer gets one with `failure` set, so that a bad one does not cost the others.

    Attributes
    ----------
    identity : mapping
        All of the model that determines its answers (kind of client, weights or name, chat
        template); JSON values, no secrets. Part of every key in the store.
    source : mapping
        Where the model came from and runs, for manifests; JSON values, no secrets.
    exact_tokens : bool
        Whether `count_tokens` counts; else it estimates.
    free_to_try : bool
        Whether a sample may be run to time it: a model in this process, not a paid server.
    """

    identity: Mapping[str, Any]
    source: Mapping[str, Any]
    exact_tokens: bool
    free_to_try: bool

    def generate(
        self, prompts: Sequence[Prompt], settings: Generation, done: Done | None = None
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
        done: Done | None = None,
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
