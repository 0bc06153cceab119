"""A language model that repeats the titles it was shown, and a shop to ask it about."""

import time
from pathlib import Path

import numpy as np

from recbole_edt.llm.client import Reply


class FakeModel:
    """Answers `answer(prompt text)`, one prompt at a time.

    Attributes
    ----------
    asked : list of str
        The user text of each prompt, in the order in which they were asked.
    """

    exact_tokens = True
    free_to_try = True
    identity = {"client": "fake", "weights": "1"}  # noqa: RUF012
    source = {"llm": "fake", "revision": "1"}  # noqa: RUF012

    def __init__(self, answer=None, seconds=0.0):
        self.answer = answer or repeat_titles
        self.seconds = seconds
        self.asked = []

    def generate(self, prompts, settings, done=None):
        replies = []
        for number, prompt in enumerate(prompts):
            time.sleep(self.seconds)
            self.asked.append(prompt.user)
            print("asked", flush=True)  # noqa: T201 (read by the parent of a killed process)
            answer = self.answer(prompt.user)
            if not isinstance(answer, Reply):
                answer = Reply(answer, len(prompt.user.split()), len(answer.split()))
            replies.append(answer)
            if done:
                done([(number, answer)])
        return replies

    def score(self, prompts, continuations, done=None):
        raise NotImplementedError

    def count_tokens(self, prompts):
        return np.array([len(prompt.user.split()) for prompt in prompts], dtype=np.int64)


def repeat_titles(text):
    """Return the titles in a prompt, in one line."""
    return "likes " + " and ".join(line[3:-1] for line in shown(text))


def shown(text):
    """Return the list items of a prompt."""
    return [line for line in text.splitlines() if line.startswith("- ")]


def write_shop(folder: Path, rows: str, titles: dict[str, str]) -> Path:
    """Write ``toy.inter`` and ``toy.item`` and return their folder.

    `rows` holds the items of a user per line, oldest first, such as ``ann: a1 b2 a3``; an
    item's domain is its first letter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inter = ["user_id:token\titem_id:token\ttimestamp:float"]
    for line in rows.strip().splitlines():
        user, items = line.split(":")
        inter += [f"{user.strip()}\t{item}\t{n}" for n, item in enumerate(items.split())]
    (folder / "toy.inter").write_text("\n".join(inter) + "\n", encoding="utf-8")
    item_lines = [f"{item}\t{item[0]}\t{title}" for item, title in titles.items()]
    header = "item_id:token\tdomain:token\ttitle:token_seq"
    text = "\n".join([header, *item_lines]) + "\n"
    (folder / "toy.item").write_text(text, encoding="utf-8")
    return folder
