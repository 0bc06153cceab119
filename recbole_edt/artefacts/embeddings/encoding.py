"""Encoding every distinct text once, in an order that a restarted run can repeat.

Texts are sorted by their length in tokens, longest first, and cut into batches of a fixed
size; finished batches are appended to a work file in that order. The length of that file is
therefore the progress, and a restarted run encodes the very batches that an unbroken one would
have encoded.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from recbole_edt.artefacts.embeddings.encoder import TextEncoder
from recbole_edt.artefacts.store import exclusive_lock
from recbole_edt.errors import UserError
from recbole_edt.files import digest, write_json
from recbole_edt.progress import progress_of

_STORED = np.dtype(np.float16)
_SECONDS = np.dtype(np.float64)
_TOKENIZE_AT_ONCE = 4096
_VECTORS, _CLOCK, _PLAN = "vectors.f16", "seconds.f64", "plan.json"


@dataclass(frozen=True)
class EncodingPlan:
    """What is to be encoded, in which batches.

    Attributes
    ----------
    texts : list of str
        The U distinct texts, longest first.
    tokens : numpy.ndarray
        int64 [U], tokens of each text before any cut.
    rows : numpy.ndarray
        int64 [N], index into `texts` for each item; -1 for an item without text.
    batch_size : int
        Texts in a batch.

    Examples
    --------
    The items' texts ``["tea", "", "a big mug", "tea"]`` in batches of one::

        texts      ["a big mug", "tea"]
        tokens     [5, 3]
        rows       [1, -1, 0, 1]
        batches    ["a big mug"], ["tea"]
    """

    texts: list[str]
    tokens: np.ndarray
    rows: np.ndarray
    batch_size: int

    def batch(self, number: int) -> list[str]:
        """Return the texts of one batch."""
        return self.texts[number * self.batch_size : (number + 1) * self.batch_size]

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.texts) // self.batch_size)


def plan_encoding(texts: Sequence[str], encoder: TextEncoder, batch_size: int) -> EncodingPlan:
    """Plan the encoding of the items' texts [N]; an empty text is an item without text."""
    codes, distinct = pd.factorize(np.asarray(texts, dtype=object))
    tokens = np.concatenate(
        [
            encoder.count_tokens(distinct[start : start + _TOKENIZE_AT_ONCE])
            for start in range(0, len(distinct), _TOKENIZE_AT_ONCE)
        ]
    )
    # Longest first: a batch too big for the memory shows at once, and the ETA is not too rosy.
    order = np.argsort(-tokens, kind="stable")
    order = order[distinct[order] != ""]
    position = np.full(len(distinct), -1)
    position[order] = np.arange(len(order))
    return EncodingPlan(distinct[order].tolist(), tokens[order], position[codes], batch_size)


def encode_texts(
    plan: EncodingPlan,
    encoder: TextEncoder,
    work: Path,
    show_progress: bool,
    what: str = "item vectors",
) -> tuple[np.ndarray, float]:
    """Encode all texts of a plan, resuming an interrupted call with the same plan.

    An item without text gets a zero vector [ours]: no similarity to anything, instead of the
    spurious one to all other items without text.

    Parameters
    ----------
    plan : EncodingPlan
        What to encode.
    encoder : TextEncoder
        What to encode it with.
    work : pathlib.Path
        Folder for the unfinished vectors; the caller removes it when the result is safe.
    show_progress : bool
        Whether to show a progress bar where standard error is a terminal.
    what : str
        Name of the bar.

    Returns
    -------
    numpy.ndarray
        float16 [N, m], one row per item.
    float
        Seconds of encoding, those of earlier, interrupted calls included.

    Raises
    ------
    UserError
        When another process is doing the same work, or the encoder gives vectors that are not
        finite.
    """
    refusal = f"{work.parent}: another process is making this set"
    with exclusive_lock(work / "lock", refusal):
        return _encode(plan, encoder, work, show_progress, what)


def _encode(
    plan: EncodingPlan, encoder: TextEncoder, work: Path, show_progress: bool, what: str
) -> tuple[np.ndarray, float]:
    vectors, seconds = work / _VECTORS, work / _CLOCK
    row_bytes = encoder.dim * _STORED.itemsize
    finished = finished_batches(plan, encoder, work)
    done = min(finished * plan.batch_size, len(plan.texts))
    if finished:
        # Cut off what a kill left of the batch that was being written.
        os.truncate(vectors, done * row_bytes)
        os.truncate(seconds, finished * _SECONDS.itemsize)
    else:
        vectors.unlink(missing_ok=True)
        seconds.unlink(missing_ok=True)
        write_json(work / _PLAN, {"plan": _key(plan, encoder)})
    with (
        open(vectors, "ab") as file,
        open(seconds, "ab") as clock,
        progress_of(len(plan.texts), what, "text", show_progress, done=done) as bar,
    ):
        for number in range(finished, len(plan)):
            started = time.perf_counter()
            encoded = _encode_batch(encoder, plan.batch(number))
            file.write(encoded.astype(_STORED).tobytes())
            file.flush()
            os.fsync(file.fileno())
            clock.write(_SECONDS.type(time.perf_counter() - started).tobytes())
            clock.flush()
            bar.update(len(encoded))
    if vectors.stat().st_size != len(plan.texts) * row_bytes:
        raise RuntimeError(f"{vectors} has {vectors.stat().st_size} bytes after all batches")
    # A last row of zeros is what index -1, an item without text, picks.
    table = np.zeros((len(plan.texts) + 1, encoder.dim), dtype=_STORED)
    table[:-1] = np.fromfile(vectors, dtype=_STORED).reshape(-1, encoder.dim)
    return table[plan.rows], float(np.fromfile(seconds, dtype=_SECONDS).sum())


def _encode_batch(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    encoded = encoder.encode(texts)
    finite = np.isfinite(encoded).all(axis=1)
    if not finite.all():
        bad = texts[int(np.argmin(finite))]
        raise UserError(f"encoder: gives no finite vector for the text {bad[:80]!r}")
    return encoded


def finished_batches(plan: EncodingPlan, encoder: TextEncoder, work: Path) -> int:
    """Return how many batches of this very plan the work folder already holds."""
    try:
        begun = json.loads((work / _PLAN).read_text(encoding="utf-8"))
        size = (work / _VECTORS).stat().st_size
    except (OSError, ValueError):
        return 0
    if begun != {"plan": _key(plan, encoder)}:
        return 0
    row_bytes = encoder.dim * _STORED.itemsize
    whole = size // (row_bytes * plan.batch_size)
    return len(plan) if size == len(plan.texts) * row_bytes else min(whole, len(plan))


def _key(plan: EncodingPlan, encoder: TextEncoder) -> str:
    """Return a hash of all that decides the rows of the work file."""
    return digest(
        {
            "weights": encoder.weights_sha256,
            "max_length": encoder.max_length,
            "batch_size": plan.batch_size,
            "texts": plan.texts,
            "device": encoder.device.type,
            "torch": torch.__version__,
        }
    )


def estimate_seconds(plan: EncodingPlan, encoder: TextEncoder, finished: int) -> float:
    """Return about how long the batches after the first `finished` take here.

    A few of them are timed, and the time of the others is interpolated by their token counts.
    """
    left = range(finished, len(plan))
    if not left:
        return 0.0
    # Shortest first, as the interpolation wants it; a batch is padded to its first text.
    lengths = plan.tokens[:: plan.batch_size].clip(max=encoder.max_length)[left][::-1]
    sample = np.unique(np.linspace(0, len(left) - 1, num=8).round().astype(int))
    timed = []
    for position in sample:
        batch = plan.batch(left[-1 - position])
        # The better of two: the first call with a new shape pays for allocations.
        timed.append(min(_seconds(encoder, batch), _seconds(encoder, batch)))
    return float(np.interp(lengths, lengths[sample], timed).sum())


def _seconds(encoder: TextEncoder, batch: list[str]) -> float:
    started = time.perf_counter()
    encoder.encode(batch)
    return time.perf_counter() - started
