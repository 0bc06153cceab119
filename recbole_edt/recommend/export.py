"""Recommendations for all users or many histories, into a CSV or Parquet file or onto a stream."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_edt import fields
from recbole_edt.progress import progress_of
from recbole_edt.recommend.given_histories import NamedHistories
from recbole_edt.recommend.recommender import Recommender
from recbole_edt.recommend.scoring import TopItems, best_items, next_scores, user_batches
from recbole_edt.recommend.table_file import Columns, csv_rows, table_file
from recbole_edt.runs import LoadedRun

_ROWS = 1 << 17  # turned into text at a time
_OF_ALL_USERS = (fields.USER, fields.ITEM, "rank", "score", fields.DOMAIN)


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
    with (
        table_file(path, _OF_ALL_USERS) as write,
        progress_of(len(users), "recommend", "user", show_progress) as bar,
    ):
        for batch in user_batches(run, users):
            scores = next_scores(run, batch)
            top = _by_user([best_items(scores, k, scope) for scope in scopes])
            write(_columns(run, batch, top))
            rows += len(top.items)
            bar.update(len(batch))
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
    return dict(zip(_OF_ALL_USERS, values, strict=True))


def write_recommendations(
    recommender: Recommender, named: NamedHistories, path: Path | None, k: int, **options: Any
) -> int:
    """Write the best items after each history and return the number of rows.

    Parameters
    ----------
    recommender : Recommender
        What scores.
    named : NamedHistories
        The histories.
    path : pathlib.Path or None
        ``.parquet``, or any other name for CSV; None writes CSV to the standard output.
    k : int
        Items per history.
    **options
        ``domain``, ``exclude``, ``repeats`` and ``reasons`` of `Recommender.recommend`.

    Raises
    ------
    UserError
        As `Recommender.recommend`, and for a path that cannot be written to; nothing is written.
    """
    reasons = options.pop("reasons", False)
    shown = bool(recommender.run.config["show_progress"])
    with progress_of(len(named.names), "recommend", "user", shown) as bar:
        names, top = recommender.best(named, k, **options, report=bar.update)
    columns = recommender.columns(reasons)
    with table_file(path, columns) if path else nullcontext(csv_rows(sys.stdout, columns)) as write:
        for part in _parts(top):
            frame = recommender.frame(names, part)
            if reasons:
                frame = recommender.with_reasons(frame, named, part)
            frame["user"] = frame["user"].astype(str)
            write({name: frame[name].to_numpy() for name in frame})
    return len(top.items)


def _parts(top: TopItems) -> Iterator[TopItems]:
    for start in range(0, len(top.items), _ROWS):
        some = slice(start, start + _ROWS)
        yield TopItems(top.user_index[some], top.items[some], top.ranks[some], top.scores[some])
