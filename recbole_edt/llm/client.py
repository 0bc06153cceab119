"""The protocol of a client: what answers prompts, in this process or on a server."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

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
