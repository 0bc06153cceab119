"""Any server that speaks OpenAI's protocol: vLLM, Ollama, llama.cpp, a cloud."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from recbole_edt.errors import UserError
from recbole_edt.llm.client import Done, Generation, Prompt, Reply, Scores
from recbole_edt.llm.prompts import plain_text
from recbole_edt.llm.transport import LOOPBACK, Outcome, RejectedError, Transport, UnsupportedError

KEY_VARIABLES = ("RECBOLE_EDT_API_KEY", "OPENAI_API_KEY")
_NO_SCORES = (
    "this server cannot score (no prompt log-probabilities in {url}); use select or generate"
)


def key_for(base_url: str) -> str | None:
    """Return the key from the environment: ``RECBOLE_EDT_API_KEY``, else ``OPENAI_API_KEY``.

    The latter is often set for other programs, so it goes only over https or to this machine.
    """
    own, general = (os.environ.get(name, "").strip() for name in KEY_VARIABLES)
    parts = urlsplit(base_url)
    trusted = parts.scheme == "https" or parts.hostname in LOOPBACK
    key = own or (general if trusted else "")
    if any(ord(character) < 33 or ord(character) > 126 for character in key):
        raise UserError(f"{KEY_VARIABLES[0]}: the key holds a character that no key can hold")
    return key or None


class OpenAIClient:
    """A model behind a server; see `client.LanguageModel` for the calls.

    Parameters
    ----------
    base_url : str
        Such as ``http://localhost:8000/v1``.
    model : str
        The model's name on the server.
    revision : str or None
        What the user says distinguishes this model from others of the same name; part of the
        key of every stored reply, and of nothing else.
    concurrency : int
        Requests in flight at a time.
    timeout : float
        Seconds for one attempt.
    retries : int
        Attempts after the first.
    max_prompt_tokens : int
        A longer prompt (as estimated) is answered by the failure ``prompt_too_long``.
    sleep : callable, optional
        For tests: what waits between attempts.

    Raises
    ------
    UserError
        When the URL is not one, holds credentials, or no model is named.
    """

    exact_tokens = False
    free_to_try = False

    def __init__(
        self,
        base_url: str,
        model: str | None,
        revision: str | None = None,
        *,
        concurrency: int = 8,
        timeout: float = 120.0,
        retries: int = 6,
        max_prompt_tokens: int = 2048,
        sleep: Callable[[float], Any] | None = None,
    ):
        _check_url(base_url)
        if not model:
            raise UserError("llm_model: missing; a server needs the name of a model")
        self._model = model
        self._concurrency = concurrency
        self._max_prompt_tokens = max_prompt_tokens
        self._length_field = "max_tokens"
        self._transport = Transport(base_url, key_for(base_url), timeout, retries, sleep)
        address = self._transport.address("")
        self.identity: Mapping[str, Any] = {
            "client": "openai",
            "url": address,
            "model": model,
            "revision": revision,
        }
        self.source: Mapping[str, Any] = {"llm": address, "model": model, "revision": revision}

    def generate(
        self, prompts: Sequence[Prompt], settings: Generation, done: Done | None = None
    ) -> list[Reply]:
        """See `client.LanguageModel.generate`; replies are handed to `done` as they come."""

        def ask(index: int) -> tuple[Reply, Outcome]:
            outcome = self._chat(prompts[index], settings)
            reply = outcome.value or Reply("", finish="failed", failure=outcome.failure)
            return _with_retries(reply, outcome), outcome

        failed = Reply("", finish="failed", failure="prompt_too_long")
        return self._run(prompts, "/chat/completions", ask, failed, done)

    def score(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Sequence[str]],
        done: Done | None = None,
    ) -> list[Scores]:
        """See `client.LanguageModel.score`.

        Through ``/completions`` with ``echo`` and ``logprobs``, which vLLM offers and most
        others do not. No chat template there: the prompt is sent as plain text.
        """

        def ask(index: int) -> tuple[Scores, Outcome]:
            outcome = self._completions(plain_text(prompts[index]), continuations[index])
            if outcome.status in (404, 405, 501):
                outcome = replace(outcome, failure="cannot_score")
            scores = outcome.value or Scores((), (), failure=outcome.failure)
            return _with_retries(scores, outcome), outcome

        failed = Scores((), (), failure="prompt_too_long")
        return self._run(prompts, "/completions", ask, failed, done)

    def count_tokens(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Return characters / 4, a common rule of thumb: the server's tokenizer is unknown."""
        sizes = (len(prompt.system) + len(prompt.user) for prompt in prompts)
        return -(-np.fromiter(sizes, dtype=np.int64, count=len(prompts)) // 4)

    def _chat(self, prompt: Prompt, settings: Generation) -> Outcome:
        turns = [{"role": "user", "content": prompt.user}]
        if prompt.system:
            turns.insert(0, {"role": "system", "content": prompt.system})
        body: dict[str, Any] = {
            "model": self._model,
            "messages": turns,
            "temperature": settings.temperature,
        }
        if settings.temperature > 0:
            body["seed"] = settings.seed
        length = {self._length_field: settings.max_new_tokens}
        outcome = self._transport.post("/chat/completions", body | length, self._reply_of(prompt))
        if outcome.status == 400 and "max_completion_tokens" in outcome.message:
            # OpenAI's newer models know the same bound under this name only.
            self._length_field = "max_completion_tokens"
            length = {self._length_field: settings.max_new_tokens}
            outcome = self._transport.post(
                "/chat/completions", body | length, self._reply_of(prompt)
            )
        return outcome

    def _reply_of(self, prompt: Prompt) -> Callable[[Any], Reply]:
        def parse(body: Any) -> Reply:
            choice = _first_choice(body)
            message = choice.get("message")
            text = message.get("content") if isinstance(message, dict) else None
            if not isinstance(text, str):
                raise RejectedError("missing_content")
            text = _valid(text)
            finish = "length" if choice.get("finish_reason") == "length" else "stop"
            read = _usage(body, "prompt_tokens", int(self.count_tokens([prompt])[0]))
            return Reply(text, read, _usage(body, "completion_tokens", -(-len(text) // 4)), finish)

        return parse

    def _completions(self, text: str, continuations: Sequence[str]) -> Outcome:
        wanted = [index for index, one in enumerate(continuations) if one]
        if not wanted:
            return Outcome(Scores((0.0,) * len(continuations), (0,) * len(continuations)))
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
            places = [
                choice["index"]
                for choice in choices
                if isinstance(choice, dict) and isinstance(choice.get("index"), int)
            ]
            if sorted(places) != list(range(len(wanted))):
                raise RejectedError("bad_choices")
            sums, counts = [0.0] * len(continuations), [0] * len(continuations)
            for place, choice in zip(places, choices, strict=True):
                index = wanted[place]
                sums[index], counts[index] = _tail(choice, len(text), len(continuations[index]))
            read = _usage(answer, "prompt_tokens", -(-len(text) // 4) * len(wanted))
            return Scores(tuple(sums), tuple(counts), read)

        return self._transport.post("/completions", body, parse)

    def _run(
        self,
        prompts: Sequence[Prompt],
        path: str,
        ask: Callable[[int], tuple[Any, Outcome]],
        too_long: Any,
        done: Done | None,
    ) -> list[Any]:
        """Ask all prompts at the configured concurrency.

        A failed prompt stays a failure among answers as long as the server answers others; when
        it answers none, or a whole row of failures has come, the run ends: somebody has to look.
        """
        answers: list[Any] = [too_long] * len(prompts)
        fits = self.count_tokens(prompts) <= self._max_prompt_tokens
        if done and not fits.all():
            done([(int(index), too_long) for index in np.flatnonzero(~fits)])
        address = self._transport.address(path)
        in_a_row, answered = 0, False
        self._transport.restart()
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="llm")
        try:
            for index, (answer, outcome) in self._completed(
                pool, ask, np.flatnonzero(fits).tolist()
            ):
                answers[index] = answer
                if outcome.failure is None:
                    in_a_row, answered = 0, True
                else:
                    in_a_row += 1
                if done:
                    done([(index, answer)])
                if outcome.failure == "cannot_score":
                    raise UserError(f"llm: {_NO_SCORES.format(url=address)}")
                useless = _is_down(outcome) and not answered
                if useless or in_a_row >= max(8, 2 * self._concurrency):
                    row = f", {in_a_row} failures in a row" if in_a_row > 1 else ""
                    raise UserError(
                        f"llm: {address} gives no usable answer after {outcome.retries + 1} "
                        f"attempts{row}; the last: {outcome.message}"
                    )
        finally:
            self._transport.stop()
            pool.shutdown(wait=True, cancel_futures=True)
        return answers

    def _completed(
        self, pool: ThreadPoolExecutor, ask: Callable[[int], Any], indices: list[int]
    ) -> Iterator[tuple[int, Any]]:
        """Yield answers as they come, with a bounded number of requests waiting."""
        running: dict[Future[Any], int] = {}
        left = iter(indices)
        while True:
            for index in left:
                running[pool.submit(ask, index)] = index
                if len(running) >= 2 * self._concurrency:
                    break
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(finished, key=running.__getitem__):
                yield running.pop(future), future.result()


def _is_down(outcome: Outcome) -> bool:
    """Whether the failure speaks of the server, not of what it said to this prompt."""
    return outcome.failure in ("connection", "timeout") or (
        outcome.status is not None and outcome.status != 200
    )


def _with_retries(answer: Any, outcome: Outcome) -> Any:
    return replace(answer, retries=outcome.retries)


def _first_choice(body: Any) -> dict[str, Any]:
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise RejectedError("empty_choices")
    return choices[0]


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


def _check_url(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
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
