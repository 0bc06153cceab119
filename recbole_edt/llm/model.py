"""The language model as the rest of the package sees it: a client behind the store of replies."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from recbole_edt.errors import UserError
from recbole_edt.files import digest
from recbole_edt.llm.client import GenerateRequests, ModelClient, Requests, ScoreRequests
from recbole_edt.llm.estimate import Estimate, Prices, estimate
from recbole_edt.llm.messages import Answer, Generation, Prompt, Reply, Scores
from recbole_edt.llm.settings import LLMSettings
from recbole_edt.llm.store import Record, ReplyStore, Usage

Progress = Callable[[int], object]
"""Called with the number of questions that were just answered, stored ones included."""


def open_language_model(settings: LLMSettings, folder: Path) -> "LanguageModel":
    """Load the configured model, or prepare to ask its server, behind the replies in `folder`.

    Parameters
    ----------
    settings : LLMSettings
        Which model, and how it is run or reached.
    folder : pathlib.Path
        Holds ``replies/``.

    Raises
    ------
    UserError
        When the model cannot be loaded, the URL is wrong, or stored replies are damaged.
    """
    store, prices = ReplyStore(folder), Prices(settings.llm_price_in, settings.llm_price_out)
    return LanguageModel(
        open_client(settings),
        store,
        prices,
        settings.llm_tokens_per_second,
        settings.llm_thinking_tokens,
    )


class LanguageModel:
    """A language model that is asked each question once, over all calls, runs and processes.

    A question is the model's identity, the prompt, and the parameters (or the continuations).
    Failures are not kept: the next call asks them again.

    Parameters
    ----------
    client : ModelClient
        What answers new questions.
    store : ReplyStore
        The answers so far.
    prices : Prices
        Cost of new answers.
    tokens_per_second : float
        What a server writes, over all requests in flight; for estimates only.
    thinking_tokens : int
        Tokens that a reasoning model may write before its answer. No part of a question: when
        it is raised, only the replies that were cut are asked again.
    """

    def __init__(
        self,
        client: ModelClient,
        store: ReplyStore,
        prices: Prices | None = None,
        tokens_per_second: float = 0.0,
        thinking_tokens: int = 0,
    ):
        self._client = client
        self._store = store
        self._prices = prices or Prices()
        self._tokens_per_second = tokens_per_second
        self.thinking_tokens = thinking_tokens
        self._model = digest(dict(client.identity))

    @property
    def identity(self) -> Mapping[str, object]:
        """All of the model that determines its answers; JSON values."""
        return self._client.identity

    @property
    def thinks(self) -> bool:
        """Whether the model is known to think aloud before it answers."""
        return self.thinking_tokens > 0

    @property
    def source(self) -> Mapping[str, object]:
        """Where the model came from and runs, for manifests; JSON values."""
        return self._client.source

    def generate(
        self, prompts: Sequence[Prompt], settings: Generation, progress: Progress | None = None
    ) -> list[Reply]:
        """Return the reply to each prompt.

        Raises
        ------
        UserError
            When the model cannot answer at all, or an answer cannot be written to the disk.
        """
        replies = self.answer(GenerateRequests(prompts, settings), progress)
        return cast(list[Reply], replies)

    def score(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[Scores]:
        """Return the log-likelihood of each prompt's continuations.

        Raises
        ------
        UserError
            As `generate`, and when the model cannot score.
        """
        scores = self.answer(ScoreRequests(prompts, continuations), progress)
        return cast(list[Scores], scores)

    def answer(self, requests: Requests, progress: Progress | None = None) -> list[Answer]:
        """Return one answer per question, from the store where it has one."""
        keys = requests.keys(self._model)
        waiting = self._not_stored(keys)
        failed: dict[str, Answer] = {}
        if progress and len(keys) > len(waiting):
            progress(len(keys) - len(waiting))
        since = time.monotonic()

        def keep(answers: Sequence[tuple[int, Answer]]) -> None:
            nonlocal since
            now = time.monotonic()
            share, since = (now - since) / len(answers), now
            records = [
                Record(keys[waiting[index]], self._marked(answer), self._usage(answer, share))
                for index, answer in answers
            ]
            self._store.add(records)
            failed.update((r.key, r.answer) for r in records if r.answer.failure is not None)
            if progress:
                progress(len(records))

        if waiting:
            self._with_thinking(requests.part(waiting)).put_to(self._client, keep)
        return [failed.get(key) or self._store.answer(key) for key in keys]

    def estimate(self, requests: Requests) -> Estimate:
        """Forecast what `answer` would take; nothing is stored, and no server is asked."""
        waiting = self._not_stored(requests.keys(self._model))
        stored = len(requests.prompts) - len(waiting)
        todo = self._with_thinking(requests.part(waiting))
        return estimate(self._client, todo, stored, self._prices, self._tokens_per_second)

    def stored(self, requests: Requests) -> list[Answer | None]:
        """Return the stored answer to each question, None where there is none yet."""
        keys = requests.keys(self._model)
        return [self._store.answer(key) if key in self._store else None for key in keys]

    def spent_on(self, requests: Requests) -> Usage:
        """Return what these questions took, each counted once, in all runs and processes."""
        return self._store.spent_on(requests.keys(self._model))

    def _not_stored(self, keys: Sequence[str]) -> list[int]:
        first: dict[str, int] = {}
        for index, key in enumerate(keys):
            if key not in self._store or self._was_cut_short(self._store.answer(key)):
                first.setdefault(key, index)
        return list(first.values())

    def _was_cut_short(self, answer: Answer) -> bool:
        """Whether a stored reply was cut with fewer tokens to think than there are now."""
        return (
            isinstance(answer, Reply)
            and answer.finish == "length"
            and answer.thinking_tokens < self.thinking_tokens
        )

    def _with_thinking(self, requests: Requests) -> Requests:
        if not self.thinking_tokens or isinstance(requests, ScoreRequests):
            return requests
        length = requests.settings.max_new_tokens + self.thinking_tokens
        return replace(requests, settings=replace(requests.settings, max_new_tokens=length))

    def _marked(self, answer: Answer) -> Answer:
        if not self.thinking_tokens or not isinstance(answer, Reply):
            return answer
        return replace(answer, thinking_tokens=self.thinking_tokens)

    def _usage(self, answer: Answer, seconds: float) -> Usage:
        failed = answer.failure is not None
        read, written = (0, 0) if failed else (answer.prompt_tokens, answer.output_tokens)
        return Usage(
            calls=1,
            prompt_tokens=read,
            generated_tokens=written,
            seconds=round(seconds, 6),
            retries=answer.retries,
            failures=int(failed),
            cost=self._prices.of(read, written, writes=isinstance(answer, Reply)),
        )


def open_client(settings: LLMSettings) -> ModelClient:
    """Load the model, or prepare to ask the server.

    Raises
    ------
    UserError
        When the model cannot be found or loaded, or the URL or the model's name is wrong.
    """
    # Each client imports what the other does not need: httpx, or torch and transformers.
    if settings.is_server:
        from recbole_edt.llm.openai_client import OpenAIClient

        return OpenAIClient(settings)
    for key in ("llm_sampling", "llm_structured"):
        if value := getattr(settings, key):
            raise UserError(
                f"{key}: found {value!r}, but llm is no server's URL; no other is sent it"
            )
    if settings.llm_model:
        raise UserError(
            f"llm_model: {settings.llm_model!r}, but llm is no server's URL; name the model in llm"
        )
    from recbole_edt.llm.transformers_client import TransformersClient

    return TransformersClient(settings)
