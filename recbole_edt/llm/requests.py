"""A batch of questions of one kind, so that asking, storing and estimating share one code path."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from recbole_edt.files import digest
from recbole_edt.llm.client import ModelClient, OnAnswers
from recbole_edt.llm.messages import Generation, Prompt, Reply, Scores


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
