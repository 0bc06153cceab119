"""Tokens and their numbers, memory-mapped; no Python string exists before it is asked for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_edt.data.indexing import joined_ranges
from recbole_edt.data.store.columns import map_bytes, map_column, new_file, write_column

PADDING = "[PAD]"
"""The token of number 0, as RecBole has it."""

_DECODED = 1 << 16  # tokens at a time, which bounds the memory beside the result
_BISECTED = 64  # tokens that are looked up one by one; more of them through one table


class Vocabulary:
    """The distinct tokens of a column; token n has the number n + 1, and 0 is `PADDING`.

    Parameters
    ----------
    text : numpy.ndarray
        UTF-8 bytes of all tokens one after the other, uint8.
    ends : numpy.ndarray
        Where each token ends in `text`, int64 [n].
    ascending : numpy.ndarray
        The tokens' indices in the order of their bytes, int32 [n].
    """

    def __init__(self, text: np.ndarray, ends: np.ndarray, ascending: np.ndarray):
        self._text, self._ends, self._ascending = text, ends, ascending

    @classmethod
    def open(cls, stem: Path, count: int, size: int) -> "Vocabulary":
        """Map the files that `write_vocabulary` wrote; `DamagedStoreError` for others."""
        text = map_bytes(stem.with_suffix(".txt"), size)
        ends = map_column(stem.with_suffix(".ends.npy"), np.int64, count)
        return cls(text, ends, map_column(stem.with_suffix(".ascending.npy"), np.int32, count))

    def __len__(self) -> int:
        return len(self._ends)

    def bytes_of(self, index: int) -> bytes:
        """Return one token as UTF-8."""
        start = self._ends[index - 1] if index else 0
        return self._text[start : self._ends[index]].tobytes()

    def tokens(self, indices: Iterable[int]) -> list[str]:
        """Return the tokens with some indices (numbers less 1)."""
        wanted = np.fromiter(indices, np.int64)
        decoded: list[str] = []
        for first in range(0, len(wanted), _DECODED):
            decoded += self._decode(wanted[first : first + _DECODED])
        return decoded

    def _decode(self, indices: np.ndarray) -> list[str]:
        """Decode the bytes of some tokens as one text, and cut that."""
        ends = self._ends[indices]
        lengths = ends - np.where(indices > 0, self._ends[indices - 1], 0)
        text = self._text[joined_ranges(ends - lengths, lengths)]
        # of UTF-8, a byte 10xxxxxx goes on with a character
        characters = np.cumsum((text & 0xC0) != 0x80, dtype=np.int64)
        cuts = np.r_[0, characters][np.r_[0, np.cumsum(lengths)]].tolist()
        whole = text.tobytes().decode()
        return [whole[start:end] for start, end in pairwise(cuts)]

    def number(self, token: str) -> int:
        """Return the number of a token, 0 when there is no such token."""
        wanted, low, high = token.encode(errors="surrogatepass"), 0, len(self)
        while low < high:
            middle = (low + high) // 2
            index = int(self._ascending[middle])
            here = self.bytes_of(index)
            if here == wanted:
                return index + 1
            low, high = (middle + 1, high) if here < wanted else (low, middle)
        return 0

    def numbers(self, tokens: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return the number of each token, int64, 0 for unknown ones."""
        if len(tokens) <= _BISECTED:
            return np.array([self.number(token) for token in tokens], dtype=np.int64)
        return self._table.get_indexer(pd.Index(tokens, dtype=object)) + 1

    @property
    def _table(self) -> pd.Index:
        # not kept: a hash table of millions of strings is gigabytes
        return pd.Index(self.tokens(range(len(self))), dtype=object)


def write_vocabulary(
    stem: Path, count: int, pieces: Iterable[Iterable[str]], ascending: np.ndarray
) -> int:
    """Write the files of a vocabulary and return the bytes of its text.

    Parameters
    ----------
    stem : pathlib.Path
        Path of the files without their suffixes.
    count : int
        Number of tokens.
    pieces : iterable of iterable of str
        The tokens in the order of their numbers.
    ascending : numpy.ndarray
        Their indices in the order of their bytes.
    """
    ends, done, size = np.empty(count, np.int64), 0, 0
    with new_file(stem.with_suffix(".txt")) as file:
        for piece in pieces:
            tokens = list(piece)
            encoded = "".join(tokens).encode()
            lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
            if lengths.sum() != len(encoded):  # not all are ASCII: characters are not bytes
                sizes = (len(token.encode()) for token in tokens)
                lengths = np.fromiter(sizes, np.int64, len(tokens))
            ends[done : done + len(tokens)] = size + np.cumsum(lengths)
            done, size = done + len(tokens), size + len(encoded)
            file.write(encoded)
    write_column(stem.with_suffix(".ends.npy"), ends)
    write_column(stem.with_suffix(".ascending.npy"), ascending.astype(np.int32))
    return size


class Tokens(Sequence[Any]):
    """RecBole's ``field2id_token`` of one field: tokens by their numbers, `PADDING` first.

    Indexing with a number gives a str, with a slice, list or array a string array; nothing is
    decoded before.

    Parameters
    ----------
    vocabulary : Vocabulary
        The tokens of the store.
    more : sequence of str
        Tokens that further files add, numbered after them.
    """

    def __init__(self, vocabulary: Vocabulary, more: Sequence[str] = ()):
        self.vocabulary, self.more = vocabulary, list(more)

    def __len__(self) -> int:
        return 1 + len(self.vocabulary) + len(self.more)

    @property
    def shape(self) -> tuple[int]:
        """The shape that the whole would have as an array."""
        return (len(self),)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)):
            number = range(len(self))[index]  # IndexError beyond the end, as of an array
            return np.str_(self._token(number))
        numbers = np.arange(len(self))[index]
        if numbers.ndim == 0:
            return self[int(numbers)]
        return np.array(self._tokens(numbers.ravel()), dtype=str).reshape(numbers.shape)

    def _token(self, number: int) -> str:
        if number == 0:
            return PADDING
        if number <= len(self.vocabulary):
            return self.vocabulary.bytes_of(number - 1).decode()
        return self.more[number - 1 - len(self.vocabulary)]

    def _tokens(self, numbers: np.ndarray) -> list[str]:
        known = (numbers > 0) & (numbers <= len(self.vocabulary))
        if known.all():
            return self.vocabulary.tokens(numbers - 1)
        decoded = iter(self.vocabulary.tokens(numbers[known] - 1))
        pairs = zip(numbers.tolist(), known.tolist(), strict=True)
        return [next(decoded) if is_known else self._token(n) for n, is_known in pairs]

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _DECODED):
            yield from self._tokens(np.arange(first, min(first + _DECODED, len(self))))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.tolist(), dtype=dtype or str)

    def tolist(self) -> list[str]:
        """Return all tokens."""
        return list(self)

    def __contains__(self, token: object) -> bool:
        return token in TokenIds(self)

    def __eq__(self, other: object) -> Any:
        """Compare token by token, as the array does that RecBole has here."""
        return np.asarray(self) == other

    __hash__ = None  # type: ignore[assignment]


class TokenIds(Mapping[str, int]):
    """RecBole's ``field2token_id`` of one field: numbers by tokens, found by bisection.

    Parameters
    ----------
    tokens : Tokens
        The same in the other direction.
    """

    def __init__(self, tokens: Tokens):
        self._tokens = tokens

    @cached_property
    def _more(self) -> dict[str, int]:
        first = 1 + len(self._tokens.vocabulary)
        return {token: first + n for n, token in enumerate(self._tokens.more)} | {PADDING: 0}

    def __getitem__(self, token: str) -> int:
        if token in self._more:
            return self._more[token]
        number = self._tokens.vocabulary.number(token) if isinstance(token, str) else 0
        if not number:
            raise KeyError(token)
        return number

    def __iter__(self) -> Iterator[str]:
        return iter(self._tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def numbers(self, tokens: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return the number of each of many tokens, int64 [n], -1 for unknown ones."""
        numbers = self._tokens.vocabulary.numbers(tokens)
        for index in np.flatnonzero(numbers == 0).tolist():
            numbers[index] = self._more.get(tokens[index], -1)
        return numbers
