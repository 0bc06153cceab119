"""Recommendations for all users as a file."""

import csv
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.files import replacing
from recbole_edt.recommend.scoring import TopK, batches, best, next_scores
from recbole_edt.runs.finished import FinishedRun

COLUMNS = (fields.USER, fields.ITEM, "rank", "score", fields.DOMAIN)
_PARQUET = ".parquet"

Write = Callable[[dict[str, Any]], None]


def export(run: FinishedRun, path: Path, k: int, per_domain: bool, show_progress: bool) -> str:
    """Write the best items of every user; return what was written.

    Parameters
    ----------
    run : FinishedRun
        Who is asked.
    path : pathlib.Path
        ``.parquet``, where pyarrow is installed, or any other name for CSV.
    k : int
        Items per user.
    per_domain : bool
        `k` items per user and domain, ranked within the domain, instead of `k` in all.
    show_progress : bool
        A progress bar, where the error stream is a terminal.

    Raises
    ------
    UserError
        For Parquet without pyarrow, or a place that cannot be written to.
    """
    part = run.part
    users = np.arange(1, part.user_num)
    scopes = [part.item_domain == k for k in range(len(part.domains))] if per_domain else [None]
    rows = 0
    opened = _parquet if path.suffix == _PARQUET else _csv
    try:
        with (
            opened(path) as write,
            tqdm(
                total=len(users),
                desc="recommend",
                unit="user",
                disable=None if show_progress else True,
            ) as bar,
        ):
            for some in batches(run, users):
                scores = next_scores(run, some)
                top = _by_user([best(scores, k, scope) for scope in scopes])
                write(_columns(run, some, top))
                rows += len(top.items)
                bar.update(len(some))
    except OSError as error:
        raise UserError(f"out: {path} cannot be written ({error.strerror or error})") from None
    return f"{rows:,} recommendations for {len(users):,} users written to {path}"


def _by_user(tops: list[TopK]) -> TopK:
    """Put the lists of several domains in the order of the users."""
    place = np.concatenate([top.place for top in tops])
    order = np.argsort(place, kind="stable")
    joined = (
        np.concatenate(parts)[order]
        for parts in zip(*((top.items, top.ranks, top.scores) for top in tops), strict=True)
    )
    return TopK(place[order], *joined)


def _columns(run: FinishedRun, users: np.ndarray, top: TopK) -> dict[str, Any]:
    part = run.part
    domains = np.asarray(part.domains, dtype=object)
    values = (
        part.field2id_token[part.uid_field][users[top.place]],
        part.field2id_token[part.iid_field][top.items],
        top.ranks,
        top.scores,
        domains[part.item_domain[torch.from_numpy(top.items)].numpy()],
    )
    return {name: value.tolist() for name, value in zip(COLUMNS, values, strict=True)}


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)

        def write(columns: dict[str, Any]) -> None:
            # The shortest digits that give the same float32.
            columns["score"] = [str(np.float32(score)) for score in columns["score"]]
            writer.writerows(zip(*columns.values(), strict=True))

        yield write


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError(
            f"out: {path}: writing Parquet needs pyarrow; install it, or name a .csv file"
        ) from None
    text, kinds = arrow.string(), {"rank": arrow.int32(), "score": arrow.float32()}
    schema = arrow.schema([(name, kinds.get(name, text)) for name in COLUMNS])
    with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        yield lambda columns: writer.write_table(arrow.table(columns, schema=schema))
