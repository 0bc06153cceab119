"""The text of each profile: read from a language model's reply, or the titles themselves."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from recbole_edt.artefacts.profiles.hidden_titles import MARK, hide_titles
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

EMPTY_REPLY = "empty_reply"
ONLY_TITLES = "only_titles"
"""Reason to drop a reply: without the titles that it quotes nothing is left."""


@dataclass
class ReplyTexts:
    """What was read of the replies to questions of one kind.

    Attributes
    ----------
    texts : list of str
        Text of each reply, ``""`` where it is not usable.
    masked : collections.Counter
        Questions without a usable reply, by reason.
    failed : set of int
        Questions whose failures are worth asking again.
    hidden : int
        Titles that were replaced.
    cut, unfinished : int
        Texts that were longer than a profile, and replies that end at their limit of tokens.
    """

    texts: list[str] = field(default_factory=list)
    masked: Counter[str] = field(default_factory=Counter)
    failed: set[int] = field(default_factory=set)
    hidden: int = 0
    cut: int = 0
    unfinished: int = 0

    @property
    def cut_thoughts(self) -> int:
        """Replies that ended inside a thought."""
        return self.masked[CUT_THOUGHT]

    def refuse_if_empty(self, model: str, replies: str) -> None:
        """Raise `UserError` when no reply is usable; `replies` names them in words."""
        if any(self.texts):
            return
        hint = "; raise llm_thinking_tokens" if self.cut_thoughts else ""
        raise UserError(
            f"llm: {model}: none of {len(self.texts)} {replies} is usable "
            f"({by_reason(+self.masked)}){hint}"
        )


def read_texts(
    replies: Sequence[Reply],
    titles: Iterable[Sequence[str]],
    hide: bool,
    thinks: bool,
    empty: str = EMPTY_REPLY,
    quotes: str = "",
) -> ReplyTexts:
    """Read the replies to questions of one kind.

    Parameters
    ----------
    replies : sequence of Reply
        What came back.
    titles : iterable of sequence of str
        Titles that each reply may quote.
    hide : bool
        Replace them by a mark.
    thinks : bool
        Whether the model is known to think aloud before it answers.
    empty : str
        Reason to drop a reply without a text.
    quotes : str
        Characters that are taken off both ends of a text.
    """
    result = ReplyTexts()
    only_thoughts = thoughts_without_answer(replies, thinks)
    for number, (reply, quoted, only_thought) in enumerate(
        zip(replies, titles, only_thoughts, strict=True)
    ):
        text, is_unfinished = "", reply.finish == "length"
        result.unfinished += is_unfinished
        if reply.failure is not None:
            result.masked[reply.failure] += 1
            if reply.failure != PROMPT_TOO_LONG:
                result.failed.add(number)
        elif only_thought:
            result.masked[CUT_THOUGHT] += 1
        else:
            summary = parse_summary(reply.text)
            result.cut += summary.cut
            text = summary.text.strip(quotes)
            if not text:
                result.masked[empty] += 1
            elif hide:
                text, count = _without_titles(text, quoted, summary.cut or is_unfinished)
                result.hidden += count
                if not text:
                    result.masked[ONLY_TITLES] += 1
        result.texts.append(text)
    return result


def joined_titles(titles: Sequence[str]) -> str:
    """Return titles as one text, the latest first: an encoder cuts a long text at its end."""
    return "; ".join(reversed(titles))


def _without_titles(text: str, titles: Sequence[str], cut: bool) -> tuple[str, int]:
    """Return a text without the titles that it quotes, and their number; ``""`` if none is left."""
    text, count = hide_titles(text, titles, cut=cut)
    is_empty = count and not any(map(str.isalnum, text.replace(MARK, "")))
    return "" if is_empty else text, count


def normal_form(text: str) -> str:
    """Return a text by which two texts are the same word by word."""
    words = ("".join(c for c in word if c.isalnum()) for word in text.casefold().split())
    return " ".join(filter(None, words))


def repetition(texts: Sequence[str]) -> Entry:
    """Count distinct texts, texts that are not the only one of their kind, and the most frequent.

    Parameters
    ----------
    texts : sequence of str
        Texts of the profiles; empty ones do not count.

    Examples
    --------
    Of "tea", "Tea." and "mugs" two differ; two share a text, which is there twice::

        {"texts": 3, "distinct": 2, "repeated": 2, "most_frequent": 2}
    """
    counts = Counter(normal_form(text) for text in texts if text)
    return {
        "texts": counts.total(),
        "distinct": len(counts),
        "repeated": sum(count for count in counts.values() if count > 1),
        "most_frequent": max(counts.values(), default=0),
    }


def leave_out_shared(texts: Sequence[str], most: int) -> tuple[list[str], int]:
    """Return the texts, ``""`` for those that more than `most` have, and how many these are."""
    counts = Counter(normal_form(text) for text in texts if text)
    kept = [text if counts[normal_form(text)] <= most else "" for text in texts]
    return kept, sum(map(bool, texts)) - sum(map(bool, kept))
