"""A finished run as a recommender: items that come next after any histories."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbole_edt.data.histories import Histories, extended, with_histories, with_items
from recbole_edt.errors import UserError, nearest
from recbole_edt.model.protocols import capabilities_of
from recbole_edt.recommend.given_histories import (
    GivenHistories,
    NamedHistories,
    read_histories,
    user_numbers,
)
from recbole_edt.recommend.item_index import ItemIndex, as_tokens
from recbole_edt.recommend.lists import Candidates, Pairs, batches_by_length, top_items
from recbole_edt.recommend.new_items import checked_vectors, read_new_items, vectors_of
from recbole_edt.recommend.reasons import (
    REASONS,
    SHARE,
    item_directions,
    nearest_of_history,
    thread_shares,
)
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
        self._directions: Tensor | None = None

    def recommend(
        self,
        histories: GivenHistories,
        k: int = 10,
        domain: str | None = None,
        exclude: Excluded = (),
        repeats: bool | None = None,
        extend: bool = False,
        reasons: bool = False,
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
        reasons : bool
            Add what is near in the history; see `with_reasons`.

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
        named, _ = self.named(histories, extend)
        return self._table(named, reasons, k, domain, exclude, repeats)

    def recommend_users(
        self,
        users: Iterable[Any],
        k: int = 10,
        domain: str | None = None,
        exclude: Excluded = (),
        repeats: bool | None = None,
        reasons: bool = False,
    ) -> pd.DataFrame:
        """Return the best items for users of the dataset, after all that it has of them.

        Parameters
        ----------
        users : iterable
            User ids.
        k, domain, exclude, repeats, reasons
            As for `recommend`.

        Raises
        ------
        UserError
            For an unknown user, and as `recommend`; but any model can do this.
        """
        return self._table(self.known_users(users), reasons, k, domain, exclude, repeats)

    def _table(self, named: NamedHistories, reasons: bool, *options: Any) -> pd.DataFrame:
        """Return the table of `best`, which is given the options."""
        names, top = self.best(named, *options)
        frame = self.frame(names, top)
        return self.with_reasons(frame, named, top) if reasons else frame

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

    def add_items(
        self, items: "pd.DataFrame | str | Path", vectors: np.ndarray | None = None
    ) -> None:
        """Let items newer than training be part of histories and lists, by their titles.

        They are scored as items of training that nobody had: by their LLM vectors, with the bias
        and id vector of their neighbours where the run has ``new_item_neighbours``.

        Parameters
        ----------
        items : pandas.DataFrame, or path of a CSV file
            ``item_id``, ``domain`` and ``title``, or what the run's ``text_template`` names.
        vectors : numpy.ndarray, optional
            Their LLM vectors [n, m]; made by the run's encoder from the titles by default.

        Raises
        ------
        UserError
            When the model does not read LLM vectors, the encoder is not to be had, or an item is
            known already, listed twice, of an unknown domain or without a text.
        """
        run = self.run
        if not capabilities_of(run.model).takes_new_items:
            raise UserError(
                f"run: {run.folder.path}: {run.record.model} knows items by number; items newer "
                "than training need a model of LLM vectors, such as LLMEDT, LLM4CDSR or Similarity"
            )
        template = run.config["text_template"]
        new = read_new_items(items, self.items, template, needs_text=vectors is None)
        if run.artefacts is None:
            made = np.zeros((len(new.ids), 0), dtype=np.float32)  # the model will refuse
        elif vectors is None:
            made = vectors_of(run, new.texts)
        else:
            made = checked_vectors(run, vectors, len(new.ids))
        table, domains = torch.from_numpy(made), torch.tensor(new.domains)
        run.model.add_items(table, domains, torch.from_numpy(run.dataset.seen_items()))
        if run.expert is not None:
            run.expert.add_items(table, domains)
        dataset = with_items(run.dataset, new.ids, new.domains)
        self.run, self._directions = replace(run, dataset=dataset), None
        self.items = self.items.extended(new.ids, new.titles, new.domains)

    def named(
        self, histories: GivenHistories | NamedHistories, extend: bool
    ) -> tuple[NamedHistories, int]:
        """Return histories as numbers, and how many of their rows the dataset has; see `extend`."""
        self.refuse_without_histories()
        if extend and not isinstance(histories, (Mapping, pd.DataFrame, NamedHistories)):
            raise UserError("extend: lists name no users; expected a mapping or a table")
        named, dataset = histories, self.run.dataset
        if not isinstance(named, NamedHistories):
            named = read_histories(named, self.items, dataset)
        if not extend:
            return named, 0
        both, repeated = extended(dataset, named.histories)
        return NamedHistories(named.names, both), repeated

    def known_users(self, users: Iterable[Any]) -> NamedHistories:
        """Return all that the dataset has of some users; `UserError` for an unknown one."""
        names, dataset = list(users), self.run.dataset
        tokens = as_tokens(names)
        numbers = user_numbers(dataset, tokens)
        if not numbers.all():
            token = tokens[int(np.argmin(numbers))]
            ids = dataset.field2id_token[dataset.uid_field][1:]
            raise UserError(
                f"users: {token!r} is not in {dataset.dataset_name}.inter{nearest(token, ids)}"
            )
        starts, none = np.zeros(len(names) + 1, dtype=np.int64), np.empty(0, dtype=np.int64)
        given = Histories(numbers, starts, none, none.astype(np.float64))
        both, _ = extended(dataset, given)
        empty = np.flatnonzero(np.diff(both.starts) == 0)
        if len(empty):
            raise UserError(f"users: {tokens[empty[0]]!r} has no interaction")
        return NamedHistories(tokens, both)

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

    def columns(self, reasons: bool) -> tuple[str, ...]:
        """Return the columns of a table of recommendations; see `with_reasons`."""
        if not reasons:
            return COLUMNS
        splits = capabilities_of(self.run.model).splits_scores
        return (*COLUMNS, *REASONS, *([SHARE] if splits else []))

    def with_reasons(
        self, frame: pd.DataFrame, named: NamedHistories, top: TopItems
    ) -> pd.DataFrame:
        """Return recommendations with what explains each.

        ``nearest_item`` and ``nearest_title``: the item of the history that is nearest to it, by
        the cosine of the model's item representations. ``thread_share``, of LLMEDT with its domain
        phase: the share of the domain's thread in the score (see `reasons.thread_shares`).

        Parameters
        ----------
        frame : pandas.DataFrame
            As `frame` returns it for `top`.
        named : NamedHistories
            The histories.
        top : TopItems
            The recommendations.
        """
        if self._directions is None:
            self._directions = item_directions(self.run)
        nearest = nearest_of_history(self._directions, named.histories, top)
        found = self.items.ids[nearest], self.items.titles[nearest]
        columns = dict(zip(REASONS, found, strict=True))
        if capabilities_of(self.run.model).splits_scores and len(top.items):
            columns[SHARE] = thread_shares(self.run, self._targets(named), top)
        return frame.assign(**columns)

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
