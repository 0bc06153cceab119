"""A batch of questions of one kind, so that asking, storing and estimating share one code path."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, TypeVar

from recbole_edt.files import digest
from recbole_edt.llm.client import ModelClient, OnAnswers
from recbole_edt.llm.messages import Generation, Prompt, Reply, Scores

AnswerT = TypeVar("AnswerT", Reply, Scores)
AnswerT_co = TypeVar("AnswerT_co", Reply, Scores, covariant=True)


class Requests(Protocol[AnswerT_co]):
    """Questions that are answered by one call of a client.

    Attributes
    ----------
    writes : bool
        Whether the model writes tokens; scored continuations are read, and paid for as such.
    """

    writes: bool

    @property
    def prompts(self) -> Sequence[Prompt]:
        """The prompt of each question."""
        ...

    def keys(self, model: str) -> list[str]:
        """Return the key of each question in the store; `model` is the digest of its identity."""
        ...

    def part(self, indices: Sequence[int]) -> "Requests[AnswerT_co]":
        """Return the questions at these positions."""
        ...

    def put_to(
        self, client: ModelClient, on_answers: OnAnswers | None = None
    ) -> Sequence[AnswerT_co]:
        """Ask a client all questions."""
        ...

    def most_tokens(self) -> int:
        """Return an upper bound on the tokens written, or an estimate of those scored."""
        ...


@dataclass(frozen=True)
class GenerateRequests:
    """Prompts to be answered with text."""

    prompts: Sequence[Prompt]
    settings: Generation
    writes = True

    def keys(self, model: str) -> list[str]:
        """See `Requests.keys`."""
        how = asdict(self.settings)
        return [digest([model, "generate", asdict(prompt), how]) for prompt in self.prompts]

    def part(self, indices: Sequence[int]) -> "GenerateRequests":
        """See `Requests.part`."""
        return GenerateRequests([self.prompts[index] for index in indices], self.settings)

    def put_to(self, client: ModelClient, on_answers: OnAnswers | None = None) -> list[Reply]:
        """See `Requests.put_to`."""
        return client.generate(self.prompts, self.settings, on_answers)

    def most_tokens(self) -> int:
        """See `Requests.most_tokens`."""
        return self.settings.max_new_tokens * len(self.prompts)


@dataclass(frozen=True)
class ScoreRequests:
    """Prompts with continuations, whose log-likelihood is wanted."""

    prompts: Sequence[Prompt]
    continuations: Sequence[Sequence[str]]
    writes = False

    def keys(self, model: str) -> list[str]:
        """See `Requests.keys`."""
        pairs = zip(self.prompts, self.continuations, strict=True)
        return [digest([model, "score", asdict(prompt), list(texts)]) for prompt, texts in pairs]

    def part(self, indices: Sequence[int]) -> "ScoreRequests":
        """See `Requests.part`."""
        texts = [self.continuations[index] for index in indices]
        return ScoreRequests([self.prompts[index] for index in indices], texts)

    def put_to(self, client: ModelClient, on_answers: OnAnswers | None = None) -> list[Scores]:
        """See `Requests.put_to`."""
        return client.score(self.prompts, self.continuations, on_answers)

    def most_tokens(self) -> int:
        """See `Requests.most_tokens`."""
        return -(-sum(len(text) for texts in self.continuations for text in texts) // 4)
