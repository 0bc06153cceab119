"""What every part of a set of artefacts is made from: settings, items, training rows, model."""

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.artefacts import store
from recbole_edt.artefacts.catalogue import Catalogue
from recbole_edt.data.split import TRAIN, Split
from recbole_edt.errors import UserError
from recbole_edt.llm.cached import CachedClient
from recbole_edt.llm.settings import LLMSettings
from recbole_edt.llm.sharding import Shard
from recbole_edt.llm.store import ReplyStore


@dataclass(frozen=True)
class Training:
    """The rows that may be learnt from, and nothing of any other row.

    R rows of U users, sorted by user and time, equal times in file order; N items of the
    catalogue and K domains.

    Attributes
    ----------
    users : numpy.ndarray
        int64 [R], index into `user_tokens`, not decreasing.
    items : numpy.ndarray
        int64 [R], row of the catalogue.
    times : numpy.ndarray
        float64 [R].
    domains : numpy.ndarray
        int64 [R], index into `domain_names`.
    starts : numpy.ndarray
        int64 [U + 1]; the rows of user u are ``starts[u]:starts[u + 1]``.
    user_tokens : list of str
        Users with a training row, in the order in which the file names them.
    domain_names : list of str
        All domains of the catalogue in alphabetical order.
    item_domains : numpy.ndarray
        int64 [N], domain of each catalogue row.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    domains: np.ndarray
    starts: np.ndarray
    user_tokens: list[str]
    domain_names: list[str]
    item_domains: np.ndarray


@dataclass(frozen=True)
class Task:
    """The set that is to be made.

    Attributes
    ----------
    config : mapping
        The configuration.
    dataset_dir : pathlib.Path
        The folder that holds ``NAME.inter`` and ``NAME.item``.
    name : str
        The dataset's name.
    settings : ArtefactSettings
        Of the set.
    catalogue : Catalogue
        The items.
    split : Split
        Which rows are trained on.
    identity : dict
        What the hash of the set covers.
    folder : pathlib.Path
        Where the set is made.
    shard : Shard
        The share of the questions to a language model that this process asks, by user id.
    """

    config: Mapping[str, Any]
    dataset_dir: Path
    name: str
    settings: store.ArtefactSettings
    catalogue: Catalogue
    split: Split
    identity: dict[str, Any]
    folder: Path
    shard: Shard = field(default_factory=Shard)

    def training(self) -> Training:
        """Return the training rows, read once.

        Raises
        ------
        UserError
            When ``NAME.inter`` is malformed, or names an item that ``NAME.item`` lacks.
        """
        return self._training

    def titles(self) -> list[str]:
        """Return the title of each catalogue row, ``""`` where there is none.

        Raises
        ------
        UserError
            When there is no title at all, so that a language model has nothing to read.
        """
        path = self.catalogue.path
        if fields.TITLE not in self.catalogue.columns:
            raise UserError(f"{path}: has no field '{fields.TITLE}', which prompts are made of")
        titles = [title.strip() for title in self.catalogue.column(fields.TITLE)]
        if not any(titles):
            raise UserError(
                f"{path}: no item has a title, so there is nothing to ask a model about"
            )
        return titles

    def item_vectors(self) -> np.ndarray:
        """Return the vector of each catalogue row, float32 [N, m]; zeros without text.

        Raises
        ------
        UserError
            When they have not been made, or are damaged.
        """
        found = self._set()
        if found is None:
            raise UserError(
                f"{self.dataset_dir / 'artefacts'}: no item vectors of encoder "
                f"{self.settings.encoder!r}; make them with "
                f"'recbole-edt artefacts --dataset={self.name} --only {store.EMBEDDINGS}'"
            )
        return found.item_vectors(self.catalogue.ids)

    def has_item_vectors(self) -> bool:
        """Whether the vectors have been made, for this set or for another that lends them."""
        return self._set() is not None

    def _set(self) -> store.ArtefactSet | None:
        found = store.find_set(self.dataset_dir, self.name, self.identity)
        return found if found is not None and found.has(store.EMBEDDINGS) else None

    def llm_settings(self) -> LLMSettings:
        """Return the settings of the language model."""
        return LLMSettings.from_config(self.config)

    def client(self) -> CachedClient:
        """Return the language model behind the dataset's store of replies, opened once.

        Raises
        ------
        UserError
            When the model cannot be loaded, or a key is wrong.
        """
        return self._client

    @cached_property
    def _client(self) -> CachedClient:
        settings = self.llm_settings()
        replies = ReplyStore(self.dataset_dir / "artefacts")
        return CachedClient(settings.open(), replies, settings.prices)

    @cached_property
    def _training(self) -> Training:
        path = self.dataset_dir / f"{self.name}.inter"
        frame = _read_interactions(path)
        if len(frame) != len(self.split.codes):
            raise UserError(
                f"{path}: has {len(frame)} rows, the split of it {len(self.split.codes)}"
            )
        frame = frame[self.split.codes == TRAIN]
        rows = pd.Index(self.catalogue.ids, dtype=object)
        items = rows.get_indexer(frame[fields.ITEM])
        unknown = np.flatnonzero(items < 0)
        if len(unknown):
            raise UserError(
                f"{path}: line {frame.index[unknown[0]] + 2}: item "
                f"{frame[fields.ITEM].iloc[unknown[0]]!r} is not in {self.catalogue.path.name}"
            )
        users, user_tokens = pd.factorize(frame[fields.USER])
        times = frame[fields.TIME].to_numpy()
        order = np.lexsort((times, users))
        users, items = users[order].astype(np.int64), items[order].astype(np.int64)
        column = self.catalogue.column(self.settings.domain_field)
        if "" in column:
            item = self.catalogue.ids[column.index("")]
            raise UserError(f"{self.catalogue.path}: item {item!r} has no domain")
        domain_names, item_domains = np.unique(
            np.asarray(column, dtype=object), return_inverse=True
        )
        return Training(
            users=users,
            items=items,
            times=times[order],
            domains=item_domains[items],
            starts=np.searchsorted(users, np.arange(len(user_tokens) + 1)),
            user_tokens=user_tokens.tolist(),
            domain_names=domain_names.tolist(),
            item_domains=item_domains.astype(np.int64),
        )


def _read_interactions(path: Path) -> pd.DataFrame:
    """Read user, item and time of every row; tokens literally, times as float64."""
    kinds = {fields.USER: "token", fields.ITEM: "token", fields.TIME: "float"}
    names = {f"{field}:{kind}": field for field, kind in kinds.items()}
    try:
        frame = pd.read_csv(
            path,
            sep="\t",
            usecols=list(names),
            dtype={
                name: np.float64 if field == fields.TIME else str for name, field in names.items()
            },
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            encoding="utf-8",
        )
    except (ValueError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: expected the columns {list(names)} ({reason})") from None
    return frame.rename(columns=names)


def take_over(
    task: Task,
    lender: store.ArtefactSet,
    part: str,
    describe: Callable[[store.ArtefactSet], str],
    what: str,
    spared: str,
    dry_run: bool,
) -> str:
    """Use a part that is there already, the set's own or another set's, and report it.

    Parameters
    ----------
    task : Task
        The set that wants the part.
    lender : ArtefactSet
        The set that has it; see `store.find_lender`.
    part : str
        Its name.
    describe : callable
        Describes the part of a set.
    what, spared : str
        What is shared, and the verb for the work that need not be done.
    dry_run : bool
        Write nothing.

    Raises
    ------
    UserError
        When the part is not as it was made.
    """
    lender.check(part)
    if lender.hash == task.folder.name:
        return f"{part}: complete already\n{describe(lender)}"
    if dry_run:
        return f"{part}: would share {what} of {lender.path}; nothing to {spared}"
    store.share_part(lender, task.folder, part)
    made = lender.manifest[part] | {"shared_with": lender.hash}
    shared = store.record_part(task.folder, task.name, task.identity, part, made)
    return f"{part}: shared with the set {lender.hash}\n{describe(shared)}"


@contextmanager
def alone(task: Task, work: Path, what: str) -> Iterator[None]:
    """Keep a second process from asking, and paying for, the same questions."""
    work.mkdir(parents=True, exist_ok=True)
    name = f"{task.shard.index}-of-{task.shard.count}.lock"
    try:
        with filelock.FileLock(work / name).acquire(timeout=0):
            yield
    except filelock.Timeout:
        raise UserError(
            f"{task.folder}: another process is making its {what}; --shard shares the work"
        ) from None
