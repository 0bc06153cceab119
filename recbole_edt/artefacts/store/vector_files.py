"""Files of numbers in a set: tensors beside the list of what their rows belong to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recbole_edt.errors import UserError, one_line
from recbole_edt.files import digest, replacing, sha256_of, write_text

VECTORS, ITEMS = "item_vectors.safetensors", "items.txt"
NAMES = (VECTORS, ITEMS)
REQUIRED = {"items", "dim", "sha256"}
"""Keys of the manifest's entry without which the files cannot be read."""

_TENSOR = "item_vectors"
_AGAIN = "delete the folder to make it anew"


def save_item_vectors(folder: Path, ids: Sequence[str], vectors: np.ndarray) -> dict[str, str]:
    """Write item vectors, float16 [N, m], and their ids; return the hash of each file's content."""
    return {
        VECTORS: save_tensors(folder / VECTORS, {_TENSOR: vectors}),
        ITEMS: save_list(folder / ITEMS, ids),
    }


def read_item_vectors(
    folder: Path, entry: Mapping[str, Any], tokens: Sequence[str] | np.ndarray
) -> np.ndarray:
    """Return the vectors of some items; see `ArtefactSet.item_vectors`.

    Parameters
    ----------
    folder : pathlib.Path
        Of the set.
    entry : mapping
        The part's entry in the manifest.
    tokens : sequence of str
        Item ids.
    """
    path = folder / VECTORS
    vectors = read_tensors(path, (_TENSOR,))[_TENSOR]
    ids = read_list(folder / ITEMS)
    expect(path, vectors, np.float16, (entry["items"], entry["dim"]))
    if len(ids) != len(vectors):
        raise UserError(
            f"{folder / ITEMS}: has {len(ids)} items for {len(vectors)} item vectors; {_AGAIN}"
        )
    if not np.isfinite(vectors).all():
        bad = ids[np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0]]
        raise UserError(f"{path}: the vector of item {bad!r} is not finite")
    check_hashes(folder, entry, {VECTORS: sha256_of(path), ITEMS: digest(ids)})
    rows = pd.Index(ids, dtype=object).get_indexer(np.asarray(tokens, dtype=object))
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise UserError(
            f"{folder / ITEMS}: item vectors of another catalogue: {len(missing)} of "
            f"{len(tokens)} items are not in it, the first is {str(tokens[missing[0]])!r}"
        )
    return vectors[rows].astype(np.float32)


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> str:
    """Write tensors as one safetensors file and return the SHA-256 of its bytes."""
    with replacing(path) as temporary:
        try:
            save_file({name: np.ascontiguousarray(one) for name, one in tensors.items()}, temporary)
        except SafetensorError as error:
            # The system's message is inside a text; it is reported like any other failed write.
            raise OSError(None, one_line(error), str(path)) from None
        temporary.chmod(0o644)  # safetensors makes it readable by its owner alone
    return sha256_of(path)


def save_list(path: Path, tokens: Sequence[str]) -> str:
    """Write one token per line and return the hash of the list."""
    write_text(path, "".join(f"{token}\n" for token in tokens))
    # Tokens are hashed as a list: a checkout may change the line ends of a text file.
    return digest(list(tokens))


def read_tensors(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the named tensors of a safetensors file; `UserError` when it is not readable."""
    try:
        with safe_open(path, framework="numpy") as tensors:
            return {name: tensors.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        reason = one_line(error)
        raise UserError(f"{path}: not a readable tensor file ({reason}); {_AGAIN}") from None


def read_list(path: Path) -> list[str]:
    """Return the lines of a text file; `UserError` when it is not readable."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid UTF-8 ({error})") from None
    return text.removesuffix("\n").split("\n") if text else []


def expect(path: Path, tensor: np.ndarray, dtype: Any, shape: tuple[int, ...]) -> None:
    """Raise `UserError` unless a tensor is what the manifest says."""
    dtype = np.dtype(dtype)
    if tensor.shape != shape or tensor.dtype != dtype:
        raise UserError(
            f"{path}: is {tensor.dtype} {list(tensor.shape)}, the manifest "
            f"says {dtype} {list(shape)}; {_AGAIN}"
        )


def check_hashes(folder: Path, entry: Mapping[str, Any], actual: Mapping[str, str]) -> None:
    """Raise `UserError` when a file is not the one that the manifest describes."""
    for name, value in actual.items():
        if value != entry["sha256"].get(name):
            raise UserError(f"{folder / name}: has changed since it was made; {_AGAIN}")
