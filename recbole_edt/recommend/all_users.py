"""Recommendations for all users as CSV or Parquet."""

import csv
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.files import replacing
from recbole_edt.recommend.scoring import TopItems, best_items, next_scores, user_batches
from recbole_edt.runs import LoadedRun

COLUMNS = (fields.USER, fields.ITEM, "rank", "score", fields.DOMAIN)
_PARQUET = ".parquet"

Columns = dict[str, np.ndarray]
WriteColumns = Callable[[Columns], None]


def write_all_users(
    run: LoadedRun, path: Path, k: int, per_domain: bool, show_progress: bool
) -> str:
    """Write the best items of every user and return a line that reports it.

    Parameters
    ----------
    run : LoadedRun
        Model and dataset.
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
        For Parquet without pyarrow, or a path that cannot be written to.
    """
    dataset, rows = run.dataset, 0
    users = np.arange(1, dataset.user_num)
    domains = range(len(dataset.domains))
    scopes = [dataset.item_domain == number for number in domains] if per_domain else [None]
    opened = _parquet if path.suffix == _PARQUET else _csv
    disable = None if show_progress else True  # None: shown on a terminal only
    try:
        with (
            opened(path) as write,
            tqdm(total=len(users), desc="recommend", unit="user", disable=disable) as bar,
        ):
            for batch in user_batches(run, users):
                scores = next_scores(run, batch)
                top = _by_user([best_items(scores, k, scope) for scope in scopes])
                write(_columns(run, batch, top))
                rows += len(top.items)
                bar.update(len(batch))
    except OSError as error:
        raise UserError(f"out: {path} cannot be written ({error.strerror or error})") from None
    return f"{rows:,} recommendations for {len(users):,} users written to {path}"


def _by_user(of_domains: list[TopItems]) -> TopItems:
    """Merge the lists of several domains, ordered by user."""
    user_index = np.concatenate([top.user_index for top in of_domains])
    order = np.argsort(user_index, kind="stable")
    merged = (
        np.concatenate(arrays)[order]
        for arrays in zip(*((t.items, t.ranks, t.scores) for t in of_domains), strict=True)
    )
    return TopItems(user_index[order], *merged)


def _columns(run: LoadedRun, users: np.ndarray, top: TopItems) -> Columns:
    dataset = run.dataset
    domains = np.asarray(dataset.domains, dtype=object)
    values = (
        dataset.field2id_token[dataset.uid_field][users[top.user_index]],
        dataset.field2id_token[dataset.iid_field][top.items],
        top.ranks,
        top.scores,
        domains[dataset.item_domain[torch.from_numpy(top.items)].numpy()],
    )
    return dict(zip(COLUMNS, values, strict=True))


@contextmanager
def _csv(path: Path) -> Iterator[WriteColumns]:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)

        def write(columns: Columns) -> None:
            # str() of a float32 has the shortest digits that read back as the same float32
            texts = {**columns, "score": np.array([str(score) for score in columns["score"]])}
            writer.writerows(zip(*(column.tolist() for column in texts.values()), strict=True))

        yield write


@contextmanager
def _parquet(path: Path) -> Iterator[WriteColumns]:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError(
            f"out: {path}: writing Parquet needs pyarrow; install it, or name a .csv file"
        ) from None
    text, types = arrow.string(), {"rank": arrow.int32(), "score": arrow.float32()}
    schema = arrow.schema([(name, types.get(name, text)) for name in COLUMNS])

    def write(columns: Columns) -> None:
        lists = {name: column.tolist() for name, column in columns.items()}
        writer.write_table(arrow.table(lists, schema=schema))

    with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        yield write
