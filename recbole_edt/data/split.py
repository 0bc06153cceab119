"""Which interactions are trained on, validated on and tested on: one file, shared by all.

A split gives every row of ``NAME.inter`` one code and is stored beside it as
``split/KIND.npy`` (uint8 codes in the file's row order) and ``split/KIND.json`` (what it was
made from, and its hash). Artefacts and every model read the same file.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole_edt.data.ratio_split import RANDOM, RATIO, RatioSplit, ratio_split
from recbole_edt.data.rolling_split import ROLLING, RollingSplit, rolling_split
from recbole_edt.data.split_codes import (
    CONTEXT,
    LATER,
    TEST,
    TRAIN,
    VALID,
    codes_of_windows,
    order_in_time,
)
from recbole_edt.data.store import Interactions, open_interactions
from recbole_edt.errors import UserError, nearest
from recbole_edt.files import load_array, read_json, replacing, write_json

if TYPE_CHECKING:
    from recbole_edt.config import EDTConfig

FILES = "files"
KINDS = ("leave_one_out", "time", FILES)
"""Kinds of split but for `DescribedSplit`, each of which has a name of its own."""
DescribedSplit = RatioSplit | RollingSplit
"""Splits that numbers describe."""
_SCHEMA = 1
_TIME_RATIOS = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class Split:
    """One split of one dataset.

    Attributes
    ----------
    kind : str
        One of `KINDS`, or the ``kind`` of a `DescribedSplit`.
    codes : numpy.ndarray
        uint8, shape [rows of ``NAME.inter``], in the file's order; read-only.
    hash : str
        Hex digest over the interaction file and the codes.
    """

    kind: str
    codes: np.ndarray
    hash: str

    @property
    def is_random(self) -> bool:
        """Whether held-out rows may be earlier than training rows of the same user."""
        return self.kind.startswith(RATIO) and RANDOM in self.kind


def leave_one_out(users: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Code each user's last interaction as test and the one before as validation.

    Equal timestamps keep their file order. A user with two interactions has no validation
    row, a user with one has neither: at least one row always stays for training.

    Parameters
    ----------
    users, times : numpy.ndarray
        User code (int) and timestamp (float64) of each row, shape [rows].

    Returns
    -------
    numpy.ndarray
        uint8 codes, shape [rows].

    Examples
    --------
    Users 0 and 1, with rows at times 3, 1, 2 and 5, 4; 0 is training, 1 validation, 2 test:

    >>> users, times = np.array([0, 0, 0, 1, 1]), np.array([3.0, 1, 2, 5, 4])
    >>> leave_one_out(users, times).tolist()
    [2, 0, 1, 2, 0]
    """
    order = order_in_time(users, times)
    sorted_users = users[order]
    ends = np.flatnonzero(np.r_[sorted_users[1:] != sorted_users[:-1], True]) + 1
    lengths = np.diff(ends, prepend=0)
    codes = np.full(len(users), TRAIN, dtype=np.uint8)
    codes[order[ends[lengths >= 2] - 1]] = TEST
    codes[order[ends[lengths >= 3] - 2]] = VALID
    return codes


def by_time(users: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Cut all users at two common moments; the last row of a user in a window is the target.

    Rows before the first moment (80 % of all rows) are trained on. Of each user's rows in the
    next 10 % the last is the validation target, and of those in the final 10 % the last is
    the test target; the other rows of both windows are context. No training row is later
    than any target, which leave-one-out does not give (Ji et al., arXiv 2010.11060).

    Parameters and return value are those of `leave_one_out`.

    Examples
    --------
    Ten rows of one user, one a day; 0 is training, 1 validation, 2 test:

    >>> by_time(np.zeros(10, dtype=int), np.arange(10.0)).tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 2]
    """
    first, second = np.quantile(times, np.cumsum(_TIME_RATIOS)[:2], method="higher")
    window = (times >= first).astype(np.int8) + (times >= second)
    return codes_of_windows(users, window, order_in_time(users, times))


def rows_after_later_parts(users: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Mark rows that come after a row of a later part of the same user; context rows aside.

    Parameters
    ----------
    users, codes : numpy.ndarray
        User and code of each row, users one by one in rising order and in order of time, [rows].

    Returns
    -------
    numpy.ndarray
        bool [rows].

    Examples
    --------
    >>> users, codes = np.array([0, 0, 0, 1, 1]), np.array([0, 2, 1, 0, 0])
    >>> rows_after_later_parts(users, codes).tolist()
    [False, False, True, False, False]
    """
    parts = np.where(codes == CONTEXT, TRAIN, codes).astype(np.int64)
    keys = users.astype(np.int64) * CONTEXT + parts
    late: np.ndarray = (keys < np.maximum.accumulate(keys)) & (codes != CONTEXT)
    return late


def configured_split(keys: Mapping[str, Any]) -> str | DescribedSplit:
    """Return the split that a configuration asks for, as `load_or_make_split` takes it."""
    if keys["split"] == ROLLING:
        return rolling_split(keys)
    return ratio_split(keys) if keys["split"] == RATIO else str(keys["split"])


def split_of(config: "EDTConfig") -> Split:
    """Return the split of a configuration; it is made where it is missing, and refused likewise."""
    return load_or_make_split(config.dataset_dir, config["dataset"], configured_split(config))


def load_or_make_split(
    dataset_dir: Path,
    name: str,
    wanted: str | DescribedSplit,
    store: Interactions | None = None,
) -> Split:
    """Return the split of a dataset, making its files first when they are missing.

    Parameters
    ----------
    dataset_dir : pathlib.Path
        The folder that holds ``NAME.inter``.
    name : str
        The dataset's name.
    wanted : str, RatioSplit or RollingSplit
        One of `KINDS`; see `configured_split`.
    store : Interactions, optional
        That of ``NAME.inter``, where it is open already.

    Raises
    ------
    UserError
        Unknown kind, a missing or malformed file, a split of another ``NAME.inter``, or a fold
        without rows of a part.
    """
    kind = wanted if isinstance(wanted, str) else wanted.kind
    if isinstance(wanted, str):
        check_kind(kind)
    store = store or open_interactions(dataset_dir, name)
    codes_path = dataset_dir / "split" / f"{kind}.npy"
    info_path = dataset_dir / "split" / f"{kind}.json"
    if not info_path.exists():
        if kind == FILES:
            raise UserError(
                f"split: {info_path} does not exist; expected a dataset made from files that are "
                "split already ('recbole-edt prepare csv --train=FILE --valid=FILE --test=FILE')"
            )
        if not isinstance(wanted, str):
            codes = wanted.codes(store.users, store.times)
        else:
            make = leave_one_out if kind == "leave_one_out" else by_time
            codes = make(store.users, store.times)
        return _save(store.to_file_order(codes), store.sha256, codes_path, kind)
    info = read_json(info_path)
    try:
        codes = np.asarray(load_array(codes_path, mapped=True))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{codes_path}: not a readable array ({error}); "
            f"delete {codes_path.parent} to split again"
        ) from None
    if info.get("inter_sha256") != store.sha256:
        raise UserError(
            f"{info_path}: was made from another {name}.inter; "
            f"delete {codes_path.parent} to split the present file"
        )
    split = Split(kind, codes, _hash(store.sha256, codes))
    if info.get("hash") != split.hash:
        raise UserError(f"{codes_path}: its hash is not the one in {info_path.name}")
    return split


def check_kind(kind: str) -> None:
    """Refuse a kind of split that is none of `KINDS`."""
    if kind not in KINDS:
        raise UserError(
            f"split: {kind!r} is unknown; expected one of {KINDS}{nearest(kind, KINDS)}"
        )


def save_split(
    dataset_dir: Path, name: str, kind: str, codes: np.ndarray, store: Interactions | None = None
) -> Split:
    """Store a split made elsewhere instead of the one that `kind` would make.

    Draws of sampled candidates that belong to an earlier split are removed.

    Parameters
    ----------
    dataset_dir, name, kind, store
        As in `load_or_make_split`.
    codes : numpy.ndarray
        Code of each row of ``NAME.inter``, in its order: `TRAIN`, `VALID`, `TEST` or `CONTEXT`;
        at most one `VALID` and one `TEST` row per user, but for the kind `FILES`.

    Raises
    ------
    UserError
        Unknown kind, a missing file, codes of another number of rows or other values, or two
        targets of one kind for one user.
    """
    check_kind(kind)
    store = store or open_interactions(dataset_dir, name)
    if codes.shape != store.users.shape:
        raise UserError(
            f"split: codes {codes.shape}, expected {store.users.shape} as "
            f"{dataset_dir / name}.inter has"
        )
    if not np.isin(codes, (TRAIN, VALID, TEST, CONTEXT)).all():
        raise UserError(f"split: found codes {np.unique(codes).tolist()}, expected 0 to 3")
    for code, what in ((VALID, "validation"), (TEST, "test")):
        targets = np.bincount(store.users[store.from_file_order(codes) == code], minlength=1)
        if targets.max() > 1 and kind != FILES:
            raise UserError(f"split: a user has {targets.max()} {what} rows, expected at most one")
    codes_path = dataset_dir / "split" / f"{kind}.npy"
    for draw in codes_path.parent.glob(f"{kind}.*.npy"):
        draw.unlink()
    return _save(codes.astype(np.uint8), store.sha256, codes_path, kind)


def _save(codes: np.ndarray, inter_hash: str, codes_path: Path, kind: str) -> Split:
    split = Split(kind, codes, _hash(inter_hash, codes))
    parts = ["train", "valid", "test", "context"] + ["later"] * bool((codes == LATER).any())
    counts = np.bincount(codes, minlength=len(parts)).tolist()
    try:
        with replacing(codes_path) as temporary, open(temporary, "wb") as handle:
            np.save(handle, codes, allow_pickle=False)
    except OSError as error:
        raise UserError(f"{codes_path}: cannot be written ({error.strerror or error})") from None
    write_json(
        codes_path.with_suffix(".json"),
        {
            "schema": _SCHEMA,
            "kind": kind,
            "hash": split.hash,
            "inter_sha256": inter_hash,
            "counts": dict(zip(parts, counts, strict=True)),
        },
    )
    return split


def _hash(inter_hash: str, codes: np.ndarray) -> str:
    hasher = hashlib.sha256(inter_hash.encode())
    hasher.update(np.ascontiguousarray(codes).data)
    return hasher.hexdigest()
