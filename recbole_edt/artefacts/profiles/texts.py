"""The text of each profile: read from a language model's reply, or the titles themselves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from recbole_edt.artefacts.profiles.hidden_titles import MARK, hide_titles
from recbole_edt.artefacts.profiles.questions import ProfileQuestions
from recbole_edt.artefacts.profiles.repetition import repetition
from recbole_edt.artefacts.profiles.report import by_reason
from recbole_edt.artefacts.store import Entry
from recbole_edt.errors import UserError
from recbole_edt.llm import (
    CUT_THOUGHT,
    PROMPT_TOO_LONG,
    Reply,
    parse_summary,
    thoughts_without_answer,
)

ONLY_TITLES = "only_titles"
"""Reason to drop a reply: without the titles that it quotes nothing is left."""


@dataclass(frozen=True)
class ProfileTexts:
    """The texts of Q pairs of user and domain.

    Attributes
    ----------
    texts : list of str
        Text of each pair, ``""`` where there is none.
    masked : collections.Counter
        Pairs without a usable reply, by reason.
    entry : dict
        What the manifest records of the replies.
    """

    texts: list[str]
    masked: Counter[str] = field(default_factory=Counter)
    entry: Entry = field(default_factory=dict)


def joined_titles(titles: Sequence[str]) -> str:
    """Return titles as one text, the latest first: an encoder cuts a long text at its end."""
    return "; ".join(reversed(titles))


def without_titles(text: str, titles: Sequence[str], cut: bool) -> tuple[str, int]:
    """Return a text without the titles that it quotes, and their number; ``""`` if none is left."""
    text, count = hide_titles(text, titles, cut=cut)
    is_empty = count and not any(map(str.isalnum, text.replace(MARK, "")))
    return "" if is_empty else text, count


def read_replies(
    questions: ProfileQuestions,
    replies: Sequence[Reply],
    hide: bool,
    model: str,
    thinks: bool = False,
) -> ProfileTexts:
    """Read the replies of a language model.

    Parameters
    ----------
    questions, replies : ProfileQuestions, sequence of Reply
        What was asked and what came back.
    hide : bool
        Replace quoted titles of the pair's items by a mark.
    model : str
        Name of the model, for the message.
    thinks : bool
        Whether the model is known to think aloud before it answers.

    Raises
    ------
    UserError
        When no reply is usable.
    """
    texts, masked = [], Counter[str]()
    cut = hidden = 0
    only_thoughts = thoughts_without_answer(replies, thinks)
    for reply, titles, only_thought in zip(
        replies, questions.all_titles, only_thoughts, strict=True
    ):
        if reply.failure is not None:
            masked[reply.failure] += 1
            texts.append("")
            continue
        summary = parse_summary(reply.text, only_thought=only_thought)
        masked += summary.rejects
        cut += summary.cut
        text = summary.text
        if hide and text:
            text, count = without_titles(text, titles, summary.cut or reply.finish == "length")
            hidden += count
            masked[ONLY_TITLES] += not text
        texts.append(text)
    masked = +masked
    if not any(texts):
        hint = "; raise llm_thinking_tokens" if masked[CUT_THOUGHT] else ""
        raise UserError(
            f"llm: {model}: none of {len(replies)} replies is usable ({by_reason(masked)}){hint}"
        )
    failures = [reply.failure for reply in replies if reply.failure is not None]
    entry = {
        # a part with failures is made again; with more tokens to think, a cut thought is answered
        "failed": sum(failure != PROMPT_TOO_LONG for failure in failures) + masked[CUT_THOUGHT],
        "cut_thoughts": masked[CUT_THOUGHT],
        "unfinished": sum(reply.finish == "length" for reply in replies),
        "cut_replies": cut,
        "hidden_titles": hidden,
        "repetition": repetition(texts),
    }
    return ProfileTexts(texts, masked, entry)
