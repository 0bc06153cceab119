"""Reasoning models: no closed thought, no answer; only cut replies are asked again."""

import pytest

from recbole_edt.llm.messages import Generation, Prompt, Reply
from recbole_edt.llm.model import LanguageModel
from recbole_edt.llm.parsing import (
    CUT_THOUGHT,
    parse_choices,
    parse_summary,
    parse_titles,
    thoughts_without_answer,
)
from recbole_edt.llm.store import ReplyStore


@pytest.mark.parametrize(
    "reply", ["<think>The user likes tea. So", "<THINK>1, 2", "<think>a</think>b<thinking>1"]
)
def test_a_thought_that_is_not_closed_is_no_answer(reply):
    assert parse_summary(reply).rejects == {CUT_THOUGHT: 1}
    assert parse_titles(reply, 3).rejects == {CUT_THOUGHT: 1}
    assert parse_choices(reply, 3).rejects == {CUT_THOUGHT: 1}
    assert thoughts_without_answer([Reply(reply)]) == [True]


def test_a_long_closed_thought_leaves_the_answer():
    assert parse_summary("<think>" + "hm " * 9_000 + "</think>Likes tea.").text == "Likes tea."


def test_thoughts_without_an_opening_tag():
    cut, closed = Reply("They like", finish="length"), Reply("They</think>Tea.")
    assert thoughts_without_answer([cut, closed]) == [True, False]
    assert thoughts_without_answer([cut, Reply("Tea.")]) == [False, False]
    assert thoughts_without_answer([cut], thinks=True) == [True]


class Thinker:
    """Answers `b` at any length, and `a` with 50 tokens or more."""

    def __init__(self):
        self.identity = self.source = {"name": "thinker"}
        self.asked = []

    def generate(self, prompts, settings, on_answers=None):
        self.asked += [(prompt.user, settings.max_new_tokens) for prompt in prompts]
        short = settings.max_new_tokens < 50
        replies = [
            Reply("<think>hm", finish="length")
            if prompt.user == "a" and short
            else Reply("<think>hm</think>Tea.")
            for prompt in prompts
        ]
        on_answers(list(enumerate(replies)))
        return replies


def test_more_tokens_to_think_ask_only_cut_replies_again(tmp_path):
    client, prompts = Thinker(), [Prompt("", "a"), Prompt("", "b")]

    def texts(thinking_tokens):
        client.asked.clear()
        with ReplyStore(tmp_path) as store:
            model = LanguageModel(client, store, thinking_tokens=thinking_tokens)
            replies = model.generate(prompts, Generation(10))
        return [parse_summary(reply.text).text for reply in replies]

    assert texts(0) == ["", "Tea."]
    assert client.asked == [("a", 10), ("b", 10)]
    assert texts(0) == ["", "Tea."]
    assert not client.asked
    assert texts(90) == ["Tea.", "Tea."]
    assert client.asked == [("a", 100)]
    assert texts(90) == ["Tea.", "Tea."]
    assert not client.asked
