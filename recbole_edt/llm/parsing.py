"""Reading a model's reply: what is usable, and what was rejected for which reason.

A reply is data from an untrusted source: its length is bounded before it is read, and nothing
in it is executed, looked up or repaired.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from recbole_edt.llm.messages import Reply

# reasons to reject a reply, or a part of it
EMPTY = "empty_reply"
INVALID = "invalid_number"
OUT_OF_RANGE = "out_of_range"
OTHER_TITLE = "other_title"
DUPLICATE = "duplicate"
OVER_LIMIT = "over_limit"
TOO_LONG = "too_long"
NOT_A_TITLE = "not_a_title"
CUT_THOUGHT = "cut_thought"

_LONGEST_REPLY, _LONGEST_LIST, _SAME_START = 20_000, 300, 16
_THOUGHT = re.compile(r"<(?P<end>/?)think(?:ing)?>", re.IGNORECASE)
_NONE = re.compile(r"\W*none\b[\w\s]{0,40}\W*", re.IGNORECASE)
_LIST = re.compile(
    r"\W*(?:(?:the\s+)?(?:answers?|numbers?|choices?|candidates?)\b)?(?:\s+(?:is|are))?[\s:*\[(#]*"
    r"(?P<numbers>[0-9]+(?:(?:\s*[,;&/]\s*(?:and\s+)?|\s+and\s+|\s+)#?[0-9]+)*)[\s\])*.,;]*",
    re.IGNORECASE,
)
_ITEM = re.compile(r"[\s\-*•#(\[]*(?P<number>[0-9]+)\s*[.):\]]\s*(?P<title>\D.*)")
_BULLET = re.compile(r"^(?:[\s\-*•·–—#>]+|\(?[0-9]{1,3}[.):]\s+|\(?[0-9]{1,3}[.):]$)+")
_QUOTES = "\"'“”„«»‘’`*_ "


@dataclass(frozen=True)
class Choices:
    """Numbers chosen from a list.

    Attributes
    ----------
    numbers : tuple of int
        Valid ones from 1, in the order of the reply, each once.
    rejects : collections.Counter
        How much was rejected, by reason.
    none : bool
        The model said that nothing fits.
    """

    numbers: tuple[int, ...] = ()
    rejects: Counter[str] = field(default_factory=Counter)
    none: bool = False


@dataclass(frozen=True)
class Titles:
    """Titles in free text; the fields are those of `Choices`."""

    titles: tuple[str, ...] = ()
    rejects: Counter[str] = field(default_factory=Counter)
    none: bool = False


@dataclass(frozen=True)
class Summary:
    """Running text.

    Attributes
    ----------
    text : str
        One line; empty when there is none.
    rejects : collections.Counter
        `EMPTY`, or nothing.
    cut : bool
        Whether it was longer than allowed.
    """

    text: str = ""
    rejects: Counter[str] = field(default_factory=Counter)
    cut: bool = False


def thoughts_without_answer(replies: Sequence[Reply], thinks: bool = False) -> list[bool]:
    """Return of each reply whether it is a reasoning model's thought that was cut.

    The chat templates of some models (DeepSeek-R1, QwQ) open the thought in the prompt, so a
    reply that was cut holds no tag at all. Such a reply is a thought when its model closes a
    thought in any other reply, or is known to think.

    Parameters
    ----------
    replies : sequence of Reply
        All replies to one kind of question.
    thinks : bool
        Whether the model is known to think aloud (``llm_thinking_tokens`` above 0).
    """
    tags = [_thought_tags(reply.text) for reply in replies]
    thinks = thinks or any("/" in of_reply for of_reply in tags)
    return [
        not of_reply[-1] if of_reply else thinks and reply.finish == "length"
        for reply, of_reply in zip(replies, tags, strict=True)
    ]


def parse_choices(
    reply: str,
    candidates: int | Sequence[str],
    limit: int | None = None,
) -> Choices:
    """Read a choice among numbered candidates.

    Lines that are a list of numbers count (``3, 7``, ``Answer: [3] and 7``), and lines that
    start with a number like a list item (``3. "some title"``); numbers inside other text never
    do, since titles are full of them. Of a line the first 300 characters are read.

    Parameters
    ----------
    reply : str
        The model's text.
    candidates : int or sequence of str
        How many were offered, or their titles. With titles, a list item counts only when the
        text after its number starts like the title of that number: models like to number
        the titles of the history anew, which is no choice at all. Without them it counts.
    limit : int, optional
        How many may be chosen; the rest is rejected.
    """
    lines = _clean_lines(reply)
    if unusable := _unusable(reply, lines):
        return Choices(rejects=unusable)
    if _NONE.fullmatch(lines[0]):
        return Choices(none=True)
    titles = None if isinstance(candidates, int) else [_letters(title) for title in candidates]
    count = candidates if isinstance(candidates, int) else len(candidates)
    listed: list[tuple[str, str]] = []
    for line in map(_head, lines):
        if match := _LIST.fullmatch(line):
            listed += [(digits, "") for digits in re.findall("[0-9]+", match["numbers"])]
        elif match := _ITEM.match(line):
            listed.append((match["number"], _letters(_unquoted(match["title"]))))
    if not listed:
        return Choices(rejects=Counter({INVALID: 1}))
    numbers: list[int] = []
    rejects: Counter[str] = Counter()
    for digits, title in listed:
        # Beyond nine digits nothing is in range, and int() of thousands of digits raises.
        number = int(digits) if len(digits) < 10 else 0
        if not 1 <= number <= count:
            rejects[OUT_OF_RANGE] += 1
        elif title and titles is not None and not _alike(title, titles[number - 1]):
            rejects[OTHER_TITLE] += 1
        elif number in numbers:
            rejects[DUPLICATE] += 1
        elif limit is not None and len(numbers) >= limit:
            rejects[OVER_LIMIT] += 1
        else:
            numbers.append(number)
    return Choices(tuple(numbers), rejects)


def parse_titles(reply: str, limit: int, max_characters: int = 200) -> Titles:
    """Read titles, one per line; bullets, numbering and quotes are stripped.

    Parameters
    ----------
    reply : str
        The model's text.
    limit : int
        How many may be named; the rest is rejected.
    max_characters : int
        A longer line is no title.
    """
    lines = _clean_lines(reply)
    if unusable := _unusable(reply, lines):
        return Titles(rejects=unusable)
    if _NONE.fullmatch(lines[0]):
        return Titles(none=True)
    titles: list[str] = []
    rejects: Counter[str] = Counter()
    seen: set[str] = set()
    for line in lines:
        title = _BULLET.sub("", line).strip(_QUOTES)
        if not any(character.isalnum() for character in title) or title.endswith(":"):
            rejects[NOT_A_TITLE] += 1
        elif len(title) > max_characters:
            rejects[TOO_LONG] += 1
        elif title.casefold() in seen:
            rejects[DUPLICATE] += 1
        elif len(titles) >= limit:
            rejects[OVER_LIMIT] += 1
        else:
            seen.add(title.casefold())
            titles.append(title)
    return Titles(tuple(titles), rejects)


def parse_summary(reply: str, max_characters: int = 600) -> Summary:
    """Read running text as one line, cut after a sentence or a word where it is too long."""
    text = " ".join(_clean_lines(reply))
    if unusable := _unusable(reply, [c for c in text if c.isalnum()]):
        return Summary(rejects=unusable)
    if len(text) <= max_characters:
        return Summary(text)
    head = text[: max_characters + 1]
    end = max(head.rfind(mark) + 1 for mark in (". ", "! ", "? ", "。", "！", "？"))
    if end < max_characters // 2:
        end = head.rfind(" ")
    return Summary(head[: end if end > 0 else max_characters].rstrip(), cut=True)


def _thought_tags(reply: str) -> list[str]:
    """Return of each ``<think>`` or ``</think>`` whether it is a closing one: ``/`` or empty."""
    return [match["end"] for match in _THOUGHT.finditer(reply)]


def _unusable(reply: str, content: Sequence[str]) -> Counter[str]:
    """Return why there is nothing to read in a reply; empty where it has content."""
    if _thought_tags(reply)[-1:] == [""]:  # it ends inside a thought
        return Counter({CUT_THOUGHT: 1})
    return Counter() if content else Counter({EMPTY: 1})


def _head(line: str) -> str:
    """Return what is read of a line; a number that the cut goes through would be another one."""
    return line if len(line) <= _LONGEST_LIST else line[:_LONGEST_LIST].rstrip("0123456789")


def _unquoted(text: str) -> str:
    """Return the text between the first quotes, where it starts with one."""
    text = text.lstrip("*_ ")
    return text.split('"')[1] if text.startswith('"') else text


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _alike(written: str, title: str) -> bool:
    """Whether two titles start alike: replies are cut, and models add or leave out the end."""
    length = min(len(written), len(title), _SAME_START)
    return written[:length] == title[:length]


def _clean_lines(reply: str) -> list[str]:
    """Return the non-empty lines without control characters and with single spaces.

    What a reasoning model thinks aloud before its answer is no part of the answer.
    """
    lines = []
    # the thought goes first: a long one would push the answer past the bound
    for raw in _THOUGHT.split(reply)[-1][:_LONGEST_REPLY].splitlines():
        line = "".join(
            " " if unicodedata.category(character) in ("Cc", "Cs") else character
            for character in raw
        )
        if line := " ".join(line.split()):
            lines.append(line)
    return lines
