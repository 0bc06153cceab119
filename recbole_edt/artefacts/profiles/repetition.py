"""How often profiles repeat each other: a text that many users share word by word is no profile."""

from collections import Counter
from collections.abc import Sequence

from recbole_edt.artefacts.store import Entry


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
