"""Titles that a text quotes, replaced by a mark: for data whose titles may not be passed on."""

import re
from collections.abc import Iterable
from functools import lru_cache

MARK = "[title]"

_NOTE = re.compile(r"^(?P<title>.*\S)\s*\([^()]*\)$")
_PARTS = re.compile(r":\s+|\s+-\s+")
_MOVED = re.compile(r"^(?P<rest>.*\S),\s*(?P<article>[^\W\d_]{1,3}'?)$")
_FIRST = re.compile(r"^(?P<article>the|a|an)\s+(?P<rest>\S.*)$", re.IGNORECASE)
_WORD = re.compile(r"\w+(?:['’]\w+)*")


_KEPT = 1 << 15
_CUT_WORD = 3
"""Letters of a word that was cut in the middle from which on it counts as its beginning."""


def hide_titles(text: str, titles: Iterable[str], cut: bool = False) -> tuple[str, int]:
    """Replace every title that a text quotes by `MARK`.

    A title is matched as whole words, also without notes in parentheses at its end, with its
    article in front, behind a comma or left out ("Godfather, The", "The Godfather"), and either
    side of a colon or dash in it. Titles of one word count only as they are written, since
    "heat" is a word and "Heat" is a title.

    Parameters
    ----------
    text : str
        What was written about the titles.
    titles : iterable of str
        What may be quoted.
    cut : bool
        Whether the text ends where its writer was cut off: then two words or more at its end
        that begin a title count as this title.

    Returns
    -------
    str
        The text.
    int
        Titles that were replaced.
    """
    forms = {form for title in titles for form in _forms(title) if _WORD.search(form)}
    replaced = 0
    # The longest first: a title may hold another one.
    for form in sorted(forms, key=lambda form: (-len(form), form)):
        text, count = _pattern(form).subn(MARK, text)
        replaced += count
    start = _begun_title(text, forms) if cut else None
    if start is None:
        return text, replaced
    return text[:start] + MARK, replaced + 1


def _begun_title(text: str, forms: Iterable[str]) -> int | None:
    """Return where a title begins that the end of the text breaks off, None without one."""
    words = [(word.start(), word.group().casefold()) for word in _WORD.finditer(text)]
    starts = []
    for form in forms:
        title = [word.casefold() for word in _WORD.findall(form)]
        for count in range(2, min(len(title), len(words)) + 1):
            *whole, last = (word for _, word in words[-count:])
            begun = title[count - 1]
            is_last = last == begun or (len(last) >= _CUT_WORD and begun.startswith(last))
            if whole == title[: count - 1] and is_last:
                starts.append(words[-count][0])
    return min(starts, default=None)


@lru_cache(_KEPT)
def _forms(title: str) -> frozenset[str]:
    forms = {title}
    while noted := _NOTE.match(title):
        title = noted["title"]
        forms.add(title)
    # The parts before and after a colon or dash count as titles too.
    forms |= {part for part in _PARTS.split(title) if len(_WORD.findall(part)) > 1}
    for form in [*forms]:
        if moved := _MOVED.match(form):
            rest, article = moved["rest"], moved["article"]
            gap = "" if article.endswith("'") else " "
            forms |= {f"{article}{gap}{rest}", rest}
        elif first := _FIRST.match(form):
            forms |= {f"{first['rest']}, {first['article']}", first["rest"]}
    return frozenset(forms)


@lru_cache(_KEPT)
def _pattern(form: str) -> re.Pattern[str]:
    words = [re.escape(word) for word in form.split()]
    body = r"\s+".join(words).replace("'", "['’]")
    # Only ends that are letters or digits need something else beside them.
    before = r"(?<!\w)" if re.match(r"\w", form) else ""
    after = r"(?!\w)" if re.search(r"\w$", form) else ""
    one_word = len(_WORD.findall(form)) == 1
    return re.compile(before + body + after, re.NOFLAG if one_word else re.IGNORECASE)
