"""What goes into a language model and what comes out: prompts, replies, scores."""

from dataclasses import asdict, dataclass

import numpy as np

from recbole_edt.llm.structured import TEXT

PROMPT_TOO_LONG = "prompt_too_long"
"""The one failure that asking again cannot mend."""


@dataclass(frozen=True)
class Prompt:
    """One question to a chat model.

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
    """How a reply is generated; every field but `form` is part of the reply's key in the store.

    Attributes
    ----------
    max_new_tokens : int
        Tokens after which a reply is cut.
    temperature : float
        0 takes the most likely token each time.
    seed : int
        Seed of the draws; without effect at temperature 0.
    repetition_penalty : float
        Positive logits of tokens that are in the prompt or the reply already are divided by it,
        negative ones multiplied, as in Hugging Face's `generate`; 1 changes nothing. A server
        is not sent it: OpenAI's protocol does not know it.
    form : str
        What the reply is (`structured.TEXT`, ``NUMBERS`` or ``TITLES``), which follows from the
        prompt and so is no part of the key.
    """

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    repetition_penalty: float = 1.0
    form: str = TEXT

    def key(self) -> dict[str, float]:
        """Return the fields for a reply's key in the store."""
        fields = asdict(self)
        del fields["form"]
        if self.repetition_penalty == 1:  # younger than replies that are stored
            del fields["repetition_penalty"]
        return fields


@dataclass(frozen=True)
class Reply:
    """The text that a model generated for one prompt.

    Attributes
    ----------
    text : str
        The reply without special tokens; empty on failure. Data, never to be trusted.
    prompt_tokens, generated_tokens : int
        Tokens read and written; characters / 4 for a server that reports none.
    finish : str
        ``stop``: the model ended; ``length``: cut at `Generation.max_new_tokens`; ``failed``.
    failure : str or None
        Why there is no reply (``prompt_too_long``, ``timeout``, ``bad_json`` ...), else None.
    retries : int
        Attempts beyond the first.
    thinking_tokens : int
        ``llm_thinking_tokens`` when it was generated: a cut reply is asked again with a larger one.
    """

    text: str
    prompt_tokens: int = 0
    generated_tokens: int = 0
    finish: str = "stop"
    failure: str | None = None
    retries: int = 0
    thinking_tokens: int = 0

    @property
    def output_tokens(self) -> int:
        """Tokens written."""
        return self.generated_tokens


@dataclass(frozen=True)
class Scores:
    """Log-likelihoods of the continuations of one prompt.

    Attributes
    ----------
    sums : tuple of float
        Natural log-likelihood of each continuation, summed over its tokens.
    counts : tuple of int
        Tokens of each continuation.
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
    def output_tokens(self) -> int:
        """Tokens scored, over all continuations."""
        return sum(self.counts)

    @property
    def means(self) -> np.ndarray:
        """Mean log-likelihood per token, float64 [continuations]; -inf for an empty one."""
        counts = np.asarray(self.counts, dtype=np.float64)
        means = np.full(len(counts), -np.inf)
        np.divide(np.asarray(self.sums, dtype=np.float64), counts, out=means, where=counts > 0)
        return means


Answer = Reply | Scores
