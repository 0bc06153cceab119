"""Every answer of a language model on disk, so that nothing is asked twice.

A store is a folder ``replies/`` of segments. Each process appends lines of JSON to a segment of
its own, named by its process id and a random suffix, and syncs it to the disk after each batch:
no two processes write one file, and a process that is killed loses the batch in hand. Reading
all segments merges the work of all processes.

A line is one answered or failed question::

    {"v": 1, "key": SHA-256, "kind": "generate" | "score" | "failure",
     "answer": {...}, "usage": {...}}
"""

import json
import os
import secrets
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from recbole_edt.errors import UserError
from recbole_edt.llm.messages import Answer, Reply, Scores

_VERSION = 1
_FAILURE = "failure"
_KINDS: dict[str, type[Reply] | type[Scores]] = {"generate": Reply, "score": Scores}


@dataclass
class Usage:
    """What was spent, failed attempts included; it adds up over runs and processes.

    Attributes
    ----------
    calls : int
        Questions put to the model, without those that the store answered.
    prompt_tokens, generated_tokens : int
        Tokens read and written.
    seconds : float
        Time at work, on the clock, summed over processes.
    retries, failures : int
        Attempts beyond the first, and questions left without an answer.
    cost : float
        In the currency of the configured prices.
    """

    calls: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    retries: int = 0
    failures: int = 0
    cost: float = 0.0

    def add(self, other: "Usage") -> None:
        """Add another count to this one."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def rounded(self) -> dict[str, float]:
        """Return the fields as JSON values, to six digits after the point."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Record:
    """One line of a store; `answer` has `failure` set when there is none."""

    key: str
    answer: Answer
    usage: Usage


class ReplyStore:
    """The answers in a folder, all in memory, and this process's own segment to add to.

    When two processes asked the same question at the same time, both answers are in the folder,
    and every reader takes the same one of them.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``replies/``; made at the first write.

    Attributes
    ----------
    usage : Usage
        Over all segments, and what was added since.
    torn_lines : int
        Unfinished last lines, left by killed processes, that were skipped.

    Raises
    ------
    UserError
        When a segment holds anything else that is not a record, with file and line.
    """

    def __init__(self, folder: Path):
        self._folder = folder / "replies"
        self._answers: dict[str, Answer] = {}
        self._spent: dict[str, Usage] = {}
        self._segment: IO[bytes] | None = None
        self.usage = Usage()
        self.torn_lines = 0
        for path in sorted(self._folder.glob("*.jsonl")):
            self._read(path)

    def __len__(self) -> int:
        return len(self._answers)

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def answer(self, key: str) -> Answer:
        """Return the answer to a question that the store holds."""
        return self._answers[key]

    def spent_on(self, keys: Iterable[str]) -> Usage:
        """Return what these questions took, each counted once, in all runs and processes."""
        total = Usage()
        for key in dict.fromkeys(keys):
            total.add(self._spent.get(key, Usage()))
        return total

    def add(self, records: Sequence[Record]) -> None:
        """Append a batch and sync it to the disk; a failure adds to the usage only.

        Raises
        ------
        UserError
            When it cannot be written; what was written before is kept.
        """
        lines = b"".join(_line(record) for record in records)
        try:
            self._append(lines)
        except OSError as error:
            raise UserError(
                f"{self._folder}: a batch of replies cannot be written ({error.strerror}); "
                "what was done before is kept"
            ) from error
        for record in records:
            self._index(record)

    def close(self) -> None:
        """Close this process's segment."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def __enter__(self) -> "ReplyStore":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _append(self, lines: bytes) -> None:
        if self._segment is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}.jsonl"
            self._segment = open(path, "xb", buffering=0)  # noqa: SIM115 (open for a whole run)
            weakref.finalize(self, self._segment.close)  # where nobody calls close()
        start = self._segment.tell()
        try:
            left = memoryview(lines)
            while left:
                left = left[self._segment.write(left) :]
            os.fsync(self._segment.fileno())
        except OSError:
            # Half a line on a full disk must not come before the next one.
            self._segment.truncate(start)
            self._segment.seek(start)
            raise

    def _index(self, record: Record) -> None:
        self.usage.add(record.usage)
        self._spent.setdefault(record.key, Usage()).add(record.usage)
        if record.answer.failure is not None:
            return
        known = self._answers.get(record.key)
        if known is None or _order(record.answer) < _order(known):
            self._answers[record.key] = record.answer

    def _read(self, path: Path) -> None:
        with open(path, "rb") as handle:
            for number, line in enumerate(handle, start=1):
                if not line.endswith(b"\n"):
                    self.torn_lines += 1
                    return
                try:
                    record = _parsed(json.loads(line))
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    raise UserError(
                        f"{path}: line {number} is not a stored reply "
                        f"({type(error).__name__}: {error}); delete the file to ask again"
                    ) from None
                self._index(record)


def _order(answer: Answer) -> tuple[int, str]:
    """Return what orders two answers to one question: the one with more tokens to think first."""
    return -getattr(answer, "thinking_tokens", 0), json.dumps(asdict(answer), sort_keys=True)


def _line(record: Record) -> bytes:
    failed = record.answer.failure is not None
    kind = next(name for name, type_ in _KINDS.items() if isinstance(record.answer, type_))
    value = {
        "v": _VERSION,
        "key": record.key,
        "kind": _FAILURE if failed else kind,
        "answer": {"failure": record.answer.failure} if failed else asdict(record.answer),
        "usage": {name: value for name, value in asdict(record.usage).items() if value},
    }
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def _parsed(value: Mapping[str, Any]) -> Record:
    if value["v"] != _VERSION:
        raise ValueError(f"version {value['v']!r}, expected {_VERSION}")
    key, answer, usage = value["key"], value["answer"], Usage(**value["usage"])
    if not isinstance(key, str) or not all(
        isinstance(spent, (int, float)) for spent in asdict(usage).values()
    ):
        raise TypeError("a field of another type")
    if value["kind"] == _FAILURE:
        return Record(key, Reply("", failure=str(answer["failure"]), finish="failed"), usage)
    if value["kind"] == "score":
        sums = tuple(float(one) for one in answer["sums"])
        answer = {**answer, "sums": sums, "counts": tuple(int(one) for one in answer["counts"])}
        if len(sums) != len(answer["counts"]):
            raise ValueError("as many sums as counts expected")
    elif not isinstance(answer["text"], str):
        raise TypeError("the text is no string")
    return Record(key, _KINDS[value["kind"]](**answer), usage)
