"""Recommendations after many histories, into a CSV or Parquet file or onto a stream."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recbole_edt.progress import progress_of
from recbole_edt.recommend.given_histories import NamedHistories
from recbole_edt.recommend.recommender import Recommender
from recbole_edt.recommend.scoring import TopItems
from recbole_edt.recommend.table_file import WriteColumns, csv_rows, table_file

_ROWS = 1 << 17  # turned into text at a time


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
    with _opened(path, recommender.columns(reasons)) as write:
        for part in _parts(top):
            frame = recommender.frame(names, part)
            if reasons:
                frame = recommender.with_reasons(frame, named, part)
            frame["user"] = frame["user"].astype(str)
            write({name: frame[name].to_numpy() for name in frame})
    return len(top.items)


@contextmanager
def _opened(path: Path | None, columns: tuple[str, ...]) -> Iterator[WriteColumns]:
    if path is None:
        yield csv_rows(sys.stdout, columns)
        return
    with table_file(path, columns) as write:
        yield write


def _parts(top: TopItems) -> Iterator[TopItems]:
    for start in range(0, len(top.items), _ROWS):
        some = slice(start, start + _ROWS)
        yield TopItems(top.user_index[some], top.items[some], top.ranks[some], top.scores[some])
