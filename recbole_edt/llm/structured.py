"""Replies as JSON of a schema, for servers that decode under one, and back into lines of text.

The schema follows from what a prompt asks for, and holds the answer alone. What the parsers read
stays text, so that a server which ignores the schema is understood all the same.
"""

import json
from collections.abc import Mapping
from typing import Any

TEXT, NUMBERS, TITLES = "text", "numbers", "titles"
"""Forms of a reply: running text, numbers of candidates, titles."""

_ITEMS: Mapping[str, str] = {NUMBERS: "integer", TITLES: "string"}
_MORE_TOKENS = 32  # braces, the name, line breaks


def response_format(form: str) -> dict[str, Any] | None:
    """Return the value of ``response_format`` for a form of reply; None for running text."""
    if form not in _ITEMS:
        return None
    schema = {
        "type": "object",
        "properties": {form: {"type": "array", "items": {"type": _ITEMS[form]}}},
        "required": [form],
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": form, "strict": True, "schema": schema},
    }


def with_json(max_new_tokens: int) -> int:
    """Return a limit that a reply of so many tokens needs as JSON: quotes, commas and braces."""
    return 2 * max_new_tokens + _MORE_TOKENS


def as_text(reply: str, form: str) -> str:
    r"""Return a reply as the text that its parser reads; unchanged if it is no JSON of the form.

    Examples
    --------
    >>> as_text('{"numbers": [3, 7]}', NUMBERS), as_text('{"titles": ["A\\nB", "C"]}', TITLES)
    ('3, 7', 'A B\nC')
    >>> as_text('{"numbers": []}', NUMBERS), as_text("3, 7", NUMBERS)
    ('none', '3, 7')
    """
    if form not in _ITEMS:
        return reply
    try:
        content = json.loads(reply)
    except (ValueError, RecursionError):
        return reply
    items = content.get(form) if isinstance(content, dict) else None
    if not isinstance(items, list):
        return reply
    if not items:
        return "none"
    texts = [" ".join(str(item).split()) for item in items]
    return (", " if form == NUMBERS else "\n").join(texts)
