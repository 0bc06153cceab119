"""A finished run as a recommender: items that come next after any histories."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from recbole_edt.data.histories import extended, with_histories
from recbole_edt.errors import UserError, nearest
from recbole_edt.recommend.given_histories import (
    GivenHistories,
    NamedHistories,
    read_histories,
)
from recbole_edt.recommend.item_index import ItemIndex
from recbole_edt.recommend.lists import Candidates, Pairs, batches_by_length, top_items
from recbole_edt.recommend.scoring import NextTargets, TopItems, score_next
from recbole_edt.runs import LoadedRun, RunFolder, load_run

RUN_KEYS = ("data_path", "eval_batch_size", "show_progress", "use_gpu", "gpu_id")
"""Keys that may differ from the run's: they change where files are and how fast, not what."""

COLUMNS = ("user", "rank", "item_id", "title", "domain", "score")
"""Columns of a table of recommendations."""

Excluded = Iterable[Any] | Mapping[Any, Iterable[Any]]
"""Items that are recommended to nobody, or the items of each user."""


def load(run_dir: str | Path, **keys: Any) -> "Recommender":
    """Load a finished run to recommend with it; nothing is trained.

    Parameters
    ----------
    run_dir : str or pathlib.Path
        Folder of the run, as ``run`` names it in its last line.
    **keys
        Keys that decide where and how to compute: ``data_path``, ``eval_batch_size``,
        ``show_progress``, ``use_gpu``, ``gpu_id``.

    Raises
    ------
    UserError
        When the run is not finished, its dataset has changed, or a key is the run's own.
    """
    for key in keys:
        if key not in RUN_KEYS:
            raise UserError(f"{key}: a finished run has its own{nearest(key, RUN_KEYS)}")
    return Recommender(load_run(RunFolder(Path(run_dir)), keys))


class Recommender:
    """Scores items after histories, whether training saw them or not.

    A history is all that the model reads of a user: it may be of a new user, or go on where a
    known one's ended. Scores are those of evaluation, the content expert's part included.

    Parameters
    ----------
    run : LoadedRun
        Model and dataset.

    Attributes
    ----------
    run : LoadedRun
        As given.
    items : ItemIndex
        The items that are scored.
    """

    def __init__(self, run: LoadedRun):
        self.run, self.items = run, ItemIndex(run)

    def recommend(
        self,
        histories: GivenHistories,
        k: int = 10,
        domain: str | None = None,
        exclude: Excluded = (),
        repeats: bool | None = None,
        extend: bool = False,
    ) -> pd.DataFrame:
        """Return the best items after each history.

        Parameters
        ----------
        histories : mapping, list of lists, or pandas.DataFrame
            User -> item ids, oldest first; or lists of item ids, whose users are then called 0,
            1, ...; or a table with the columns ``user``, ``item`` and ``time``.
        k : int
            Items per history; fewer where fewer are left.
        domain : str, optional
            Recommend items of this domain only.
        exclude : iterable or mapping, optional
            Item ids that are not recommended, or a mapping of user to such item ids.
        repeats : bool, optional
            Whether items of the history may be recommended. By default the run's key
            ``repeatable`` decides, as it does in evaluation.
        extend : bool
            Put what the dataset has of a known user before what is given. Otherwise a history is
            what is given, and the dataset's interactions of that user are not read.

        Returns
        -------
        pandas.DataFrame
            ``user``, ``rank`` (from 1), ``item_id``, ``title``, ``domain``, ``score``; users in
            the order in which they are given.

        Raises
        ------
        UserError
            For an unknown item, an empty history, and a model that does not read histories, or
            reads more of them than items and times.
        """
        return self.frame(*self.best(self.named(histories, extend)[0], k, domain, exclude, repeats))

    def score(
        self, histories: GivenHistories, items: Iterable[Any], extend: bool = False
    ) -> pd.DataFrame:
        """Return the score of some items after each history; items of the history have one too.

        Parameters
        ----------
        histories, extend
            As for `recommend`.
        items : iterable
            Item ids.

        Returns
        -------
        pandas.DataFrame
            float32, one row per user and one column per item.

        Raises
        ------
        UserError
            As `recommend`.
        """
        items = list(items)
        columns = torch.from_numpy(self.items.known_numbers(items, "items"))
        named, _ = self.named(histories, extend)
        targets = self._targets(named)
        scores = np.empty((len(named.names), len(items)), dtype=np.float32)
        for at in batches_by_length(self.run, targets):
            batch = score_next(self.run, targets, at)
            scores[at] = batch[:, columns.to(batch.device)].cpu().numpy()
        return pd.DataFrame(scores, index=pd.Index(named.names, name="user"), columns=items)

    def named(self, histories: GivenHistories, extend: bool) -> tuple[NamedHistories, int]:
        """Return histories as numbers, and how many of their rows the dataset has; see `extend`."""
        self.refuse_without_histories()
        named = (
            histories
            if isinstance(histories, NamedHistories)
            else read_histories(histories, self.items, self.run.dataset)
        )
        if not extend:
            return named, 0
        both, repeated = extended(self.run.dataset, named.histories)
        return NamedHistories(named.names, both), repeated

    def best(
        self,
        named: NamedHistories,
        k: int,
        domain: str | None = None,
        exclude: Excluded = (),
        repeats: bool | None = None,
        report: Callable[[int], object] = lambda count: None,
    ) -> tuple[np.ndarray, TopItems]:
        """Return the names of some histories and their best items; see `recommend`."""
        if type(k) is not int or k < 1:
            raise UserError(f"k: found {k!r}, expected a whole number above 0")
        number = None if domain is None else self.items.domain_number(domain)
        candidates = Candidates(number, repeats, self._excluded(exclude, named.names))
        targets = self._targets(named)
        return named.names, top_items(self.run, targets, k, candidates, report)

    def frame(self, names: np.ndarray, top: TopItems) -> pd.DataFrame:
        """Return recommendations as a table of `COLUMNS`.

        Parameters
        ----------
        names : numpy.ndarray
            Of the users, object [N].
        top : TopItems
            Indices of users and numbers of items.
        """
        domains = np.array(self.items.domain_names, dtype=object)
        values = (
            pd.Series(names[top.user_index]).infer_objects(),
            top.ranks,
            self.items.ids[top.items],
            self.items.titles[top.items],
            domains[self.items.domains[top.items]],
            top.scores,
        )
        return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))

    def refuse_without_histories(self) -> None:
        """Refuse a model that knows users by number alone; `UserError`."""
        if not self.run.dataset.is_sequential:
            raise UserError(
                f"run: {self.run.folder.path}: {self.run.record.model} does not read histories, it "
                "knows the users of training only; expected a sequential model"
            )

    def _targets(self, named: NamedHistories) -> NextTargets:
        part = with_histories(self.run.dataset, named.histories)
        return NextTargets(part, np.arange(len(named.names)), named.histories.users)

    def _excluded(self, exclude: Excluded, names: np.ndarray) -> Pairs:
        """Return excluded items as pairs of history and item."""
        if isinstance(exclude, (str, bytes)):
            raise UserError(f"exclude: found {exclude!r}; expected a list of item ids")
        if not isinstance(exclude, Mapping):
            items = np.unique(self.items.known_numbers(exclude, "exclude"))
            return np.repeat(np.arange(len(names)), len(items)), np.tile(items, len(names))
        index = {name: n for n, name in enumerate(names.tolist())}
        other = [name for name in exclude if name not in index]
        if other:
            raise UserError(f"exclude: {other[0]!r} has no history here")
        lists = {index[name]: list(items) for name, items in exclude.items()}
        numbers = self.items.known_numbers([i for one in lists.values() for i in one], "exclude")
        return np.repeat([*lists], [len(one) for one in lists.values()]).astype(np.int64), numbers
