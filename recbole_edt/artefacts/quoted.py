"""Titles that a text quotes, replaced by a mark: for data whose titles may not be passed on."""

import re
from collections.abc import Iterable

MARK = "[title]"

_NOTE = re.compile(r"^(?P<title>.*\S)\s*\([^()]*\)$")
_MOVED = re.compile(r"^(?P<rest>.*\S),\s*(?P<article>[^\W\d_]{1,3}'?)$")
_FIRST = re.compile(r"^(?P<article>the|a|an)\s+(?P<rest>\S.*)$", re.IGNORECASE)
_WORD = re.compile(r"\w+(?:['’]\w+)*")


def hide_titles(text: str, titles: Iterable[str]) -> tuple[str, int]:
    """Replace every title that a text quotes by `MARK`.

    A title is found as whole words, also without a note in parentheses at its end, and with its
    article in front, behind a comma or left out ("Godfather, The", "The Godfather"). Titles of
    one word count only as they are written, since "heat" is a word and "Heat" is a title.

    Parameters
    ----------
    text : str
        What was written about the titles.
    titles : iterable of str
        What may be quoted.

    Returns
    -------
    str
        The text.
    int
        Titles that were replaced.
    """
    forms = {form for title in titles for form in _forms(title) if _WORD.search(form)}
    found = 0
    # The longest first: a title may hold another one.
    for form in sorted(forms, key=lambda form: (-len(form), form)):
        text, count = _pattern(form).subn(MARK, text)
        found += count
    return text, found


def _forms(title: str) -> set[str]:
    forms = {title}
    if noted := _NOTE.match(title):
        forms.add(noted["title"])
    for form in [*forms]:
        if moved := _MOVED.match(form):
            rest, article = moved["rest"], moved["article"]
            gap = "" if article.endswith("'") else " "
            forms |= {f"{article}{gap}{rest}", rest}
        elif first := _FIRST.match(form):
            forms |= {f"{first['rest']}, {first['article']}", first["rest"]}
    return forms


def _pattern(form: str) -> re.Pattern[str]:
    words = [re.escape(word) for word in form.split()]
    body = r"\s+".join(words).replace("'", "['’]")
    # Only ends that are letters or digits need something else beside them.
    before = r"(?<!\w)" if re.match(r"\w", form) else ""
    after = r"(?!\w)" if re.search(r"\w$", form) else ""
    one_word = len(_WORD.findall(form)) == 1
    return re.compile(before + body + after, re.NOFLAG if one_word else re.IGNORECASE)
