"""Any server that speaks OpenAI's protocol: vLLM, Ollama, llama.cpp, a cloud."""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from recbole_edt.errors import UserError
from recbole_edt.llm.client import OnAnswers
from recbole_edt.llm.messages import PROMPT_TOO_LONG, Generation, Prompt, Reply, Scores
from recbole_edt.llm.prompts import plain_text
from recbole_edt.llm.settings import LLMSettings
from recbole_edt.llm.structured import TEXT, as_text, response_format, with_json
from recbole_edt.llm.transport import (
    LOOPBACK,
    RejectedError,
    RequestResult,
    Transport,
    UnsupportedError,
)

_A = TypeVar("_A", Reply, Scores)

KEY_VARIABLES = ("RECBOLE_EDT_API_KEY", "OPENAI_API_KEY")
_MENDED_BY = {
    "temperature": "llm_sampling: {temperature: null} leaves it to the server",
    "seed": "llm_sampling: {seed: null} leaves it out",
    "response_format": "llm_structured: False asks for text",
}
"""What a server refuses, and the key that leaves it out."""
_NO_SCORES = (
    "this server cannot score (no prompt log-probabilities in {url}); use select or generate"
)


def key_for(base_url: str) -> str | None:
    """Return the key from the environment: ``RECBOLE_EDT_API_KEY``, else ``OPENAI_API_KEY``.

    The latter is often set for other programs, so it goes only over https or to this machine.
    """
    ours, general = (os.environ.get(name, "").strip() for name in KEY_VARIABLES)
    parts = urlsplit(base_url)
    trusted = parts.scheme == "https" or parts.hostname in LOOPBACK
    key = ours or (general if trusted else "")
    if any(ord(character) < 33 or ord(character) > 126 for character in key):
        raise UserError(f"{KEY_VARIABLES[0]}: the key holds a character that no key can hold")
    return key or None


class OpenAIClient:
    """A model on a server; see `client.ModelClient` for the calls.

    Parameters
    ----------
    settings : LLMSettings
        URL, name of the model on the server, and how requests are made. `llm_revision`
        distinguishes models of the same name: it is part of the key of every stored reply, and
        of nothing else. A prompt above `llm_max_prompt_tokens` (as estimated) is answered by the
        failure ``prompt_too_long``.
    sleep : callable, optional
        For tests: what waits between attempts.

    Raises
    ------
    UserError
        When the URL is not one, holds credentials, or no model is named.
    """

    free_to_try = False

    def __init__(self, settings: LLMSettings, sleep: Callable[[float], Any] | None = None):
        url, model = _checked_url(settings.llm), settings.llm_model
        if not model:
            raise UserError("llm_model: missing; a server needs the name of a model")
        self._model = model
        self._settings = settings
        self._length_field = "max_tokens"
        self._url = url
        self._transport = Transport(
            url, key_for(url), settings.llm_timeout, settings.llm_retries, sleep
        )
        named: dict[str, object] = {"model": model, "revision": settings.llm_revision}
        how = {"sampling": dict(settings.llm_sampling), "structured": settings.llm_structured}
        named |= {name: value for name, value in how.items() if value}  # younger than the store
        self.identity: Mapping[str, object] = {"client": "openai", "url": url, **named}
        self.source: Mapping[str, object] = {"llm": url, **named}

    def generate(
        self, prompts: Sequence[Prompt], settings: Generation, on_answers: OnAnswers | None = None
    ) -> list[Reply]:
        """See `client.ModelClient.generate`; replies are passed to `on_answers` as they come."""

        def ask(index: int) -> RequestResult[Reply]:
            return self._chat(prompts[index], settings)

        failed = Reply("", finish="failed")
        return self._run(prompts, "/chat/completions", ask, failed, on_answers)

    def score(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Sequence[str]],
        on_answers: OnAnswers | None = None,
    ) -> list[Scores]:
        """See `client.ModelClient.score`.

        Through ``/completions`` with ``echo`` and ``logprobs``, which vLLM offers and most
        others do not. No chat template there: the prompt is sent as plain text.
        """

        def ask(index: int) -> RequestResult[Scores]:
            result = self._completions(plain_text(prompts[index]), continuations[index])
            unknown = result.status in (404, 405, 501)
            return replace(result, failure="cannot_score") if unknown else result

        return self._run(prompts, "/completions", ask, Scores((), ()), on_answers)

    def count_tokens(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Return characters / 4, a common rule of thumb: the server's tokenizer is unknown."""
        sizes = (len(prompt.system) + len(prompt.user) for prompt in prompts)
        return -(-np.fromiter(sizes, dtype=np.int64, count=len(prompts)) // 4)

    def _chat(self, prompt: Prompt, settings: Generation) -> RequestResult[Reply]:
        turns = [{"role": "user", "content": prompt.user}]
        if prompt.system:
            turns.insert(0, {"role": "system", "content": prompt.system})
        body: dict[str, Any] = {"model": self._model, "messages": turns}
        body |= self._sampling(settings)
        most, form = settings.max_new_tokens, TEXT
        if self._settings.llm_structured and (schema := response_format(settings.form)):
            body["response_format"] = schema
            most, form = with_json(most), settings.form

        def parse(answer: Any) -> Reply:
            choice = _first_choice(answer)
            message = choice.get("message")
            text = message.get("content") if isinstance(message, dict) else None
            finish = "length" if choice.get("finish_reason") == "length" else "stop"
            if not text and finish == "length" and _has_reasoning(message):
                text = "<think>"  # the server keeps thoughts apart, and the answer never began
            if not isinstance(text, str):
                raise RejectedError("missing_content")
            text = as_text(_valid(text), form)
            read = _usage(answer, "prompt_tokens", int(self.count_tokens([prompt])[0]))
            written = _usage(answer, "completion_tokens", -(-len(text) // 4))
            return Reply(text, read, written, finish)

        def post() -> RequestResult[Reply]:
            length = {self._length_field: most}
            return self._transport.post("/chat/completions", body | length, parse)

        result = post()
        if result.status == 400 and "max_completion_tokens" in result.message:
            # OpenAI's newer models know the same bound under this name only.
            self._length_field = "max_completion_tokens"
            result = post()
        return result

    def _sampling(self, settings: Generation) -> dict[str, Any]:
        """Return the keys of a request that say how tokens are drawn."""
        given = dict(self._settings.llm_sampling)
        keys = {"temperature": settings.temperature, **given}
        if keys["temperature"] is not None and keys["temperature"] > 0:
            keys = {"seed": settings.seed, **keys}
        return {name: value for name, value in keys.items() if value is not None}

    def _completions(self, text: str, continuations: Sequence[str]) -> RequestResult[Scores]:
        wanted = [index for index, one in enumerate(continuations) if one]
        if not wanted:
            return RequestResult(Scores((0.0,) * len(continuations), (0,) * len(continuations)))
        body = {
            "model": self._model,
            "prompt": [text + continuations[index] for index in wanted],
            # Some servers refuse 0; the token that is written too many is not counted.
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
        }

        def parse(answer: Any) -> Scores:
            choices = answer.get("choices") if isinstance(answer, dict) else None
            if not isinstance(choices, list) or len(choices) != len(wanted):
                raise RejectedError("empty_choices")
            positions = [
                choice["index"]
                for choice in choices
                if isinstance(choice, dict) and isinstance(choice.get("index"), int)
            ]
            if sorted(positions) != list(range(len(wanted))):
                raise RejectedError("bad_choices")
            sums, counts = [0.0] * len(continuations), [0] * len(continuations)
            for position, choice in zip(positions, choices, strict=True):
                index = wanted[position]
                sums[index], counts[index] = _tail(choice, len(text), len(continuations[index]))
            read = _usage(answer, "prompt_tokens", -(-len(text) // 4) * len(wanted))
            return Scores(tuple(sums), tuple(counts), read)

        return self._transport.post("/completions", body, parse)

    def _run(
        self,
        prompts: Sequence[Prompt],
        path: str,
        ask: Callable[[int], RequestResult[_A]],
        failed: _A,
        on_answers: OnAnswers | None,
    ) -> list[_A]:
        """Ask all prompts at the configured concurrency.

        A failed prompt stays a failure among answers as long as the server answers others; when
        it answers none, or a whole row of failures has come, the run ends: somebody has to look.
        """
        too_long = replace(failed, failure=PROMPT_TOO_LONG)
        answers = [too_long] * len(prompts)
        fits = self.count_tokens(prompts) <= self._settings.llm_max_prompt_tokens
        if on_answers and not fits.all():
            on_answers([(int(index), too_long) for index in np.flatnonzero(~fits)])
        in_a_row, answered = 0, False
        # Closing ends the requests in flight before an error leaves this method.
        with closing(self._completed(ask, np.flatnonzero(fits).tolist())) as completed:
            for index, result in completed:
                answer = result.value or replace(failed, failure=result.failure)
                answers[index] = answer = replace(answer, retries=result.retries)
                if result.failure is None:
                    in_a_row, answered = 0, True
                else:
                    in_a_row += 1
                if on_answers:
                    on_answers([(index, answer)])
                if result.failure == "cannot_score":
                    raise UserError(f"llm: {_NO_SCORES.format(url=self._url + path)}")
                useless = _is_down(result) and not answered
                if useless or in_a_row >= max(8, 2 * self._settings.llm_concurrency):
                    row = f", {in_a_row} failures in a row" if in_a_row > 1 else ""
                    raise UserError(
                        f"llm: {self._url + path} gives no usable answer after "
                        f"{result.retries + 1} attempts{row}; the last: {result.message}"
                        f"{_way_out(result)}"
                    )
        return answers

    def _completed(
        self, ask: Callable[[int], RequestResult[_A]], indices: list[int]
    ) -> Generator[tuple[int, RequestResult[_A]], None, None]:
        """Yield results as they come, with a bounded number of requests waiting."""
        running: dict[Future[RequestResult[_A]], int] = {}
        left = iter(indices)
        concurrency = self._settings.llm_concurrency
        with self._transport:
            pool = ThreadPoolExecutor(concurrency, thread_name_prefix="llm")
            try:
                while True:
                    for index in islice(left, 2 * concurrency - len(running)):
                        running[pool.submit(ask, index)] = index
                    if not running:
                        return
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in sorted(finished, key=running.__getitem__):
                        yield running.pop(future), future.result()
            finally:
                self._transport.stop()
                pool.shutdown(wait=True, cancel_futures=True)


def _way_out(result: RequestResult[Any]) -> str:
    """Return the key that a refused request is mended by, as far as the refusal names its cause."""
    if result.status not in (400, 422):
        return ""
    for word, key in _MENDED_BY.items():
        if word in result.message:
            return f"; {key}"
    return ""


def _is_down(result: RequestResult[Any]) -> bool:
    """Whether the failure is one of the server, not of its answer to this prompt."""
    return result.failure in ("connection", "timeout") or (
        result.status is not None and result.status != 200
    )


def _first_choice(body: Any) -> dict[str, Any]:
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise RejectedError("empty_choices")
    return choices[0]


def _has_reasoning(message: Any) -> bool:
    """Whether a message holds thoughts apart from its text, as vLLM, DeepSeek and Ollama do."""
    return isinstance(message, dict) and any(
        message.get(name) for name in ("reasoning_content", "reasoning")
    )


def _tail(choice: Any, start: int, length: int) -> tuple[float, int]:
    """Return sum and number of the log-likelihoods of the tokens in [start, start + length)."""
    logprobs = choice.get("logprobs") if isinstance(choice, dict) else None
    if not isinstance(logprobs, dict):
        raise UnsupportedError("cannot_score")
    values, offsets = logprobs.get("token_logprobs"), logprobs.get("text_offset")
    if not isinstance(values, list) or not isinstance(offsets, list) or not values:
        raise UnsupportedError("cannot_score")
    pairs = list(zip(offsets, values, strict=False))
    if min((offset for offset, _ in pairs), default=0) >= start:
        raise UnsupportedError("cannot_score")  # no echo: only new text was scored
    tail = [value for offset, value in pairs if start <= offset < start + length]
    # A token across the border belongs to neither side.
    if start not in offsets or not all(isinstance(value, (int, float)) for value in tail):
        raise RejectedError("bad_logprobs")
    return float(sum(tail)), len(tail)


def _usage(body: Any, name: str, otherwise: int) -> int:
    usage = body.get("usage")
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value >= 0 else otherwise


def _valid(text: str) -> str:
    """Replace the halves of characters that JSON lets through and UTF-8 does not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _checked_url(url: str) -> str:
    """Return the URL without a slash or fragment at its end."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
        parts = urlsplit("")
    if not good:
        raise UserError("llm: not a URL of a server; expected such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise UserError(
            "llm: the URL holds credentials or a query; "
            f"keys are read from the environment ({' or '.join(KEY_VARIABLES)}) only"
        )
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
