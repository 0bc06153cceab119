"""One dataset class for every model: rows gathered per batch, any number of domains."""

import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recbole_edt import fields
from recbole_edt.artefacts.catalogue import items_hash
from recbole_edt.artefacts.settings import SETTING_KEYS
from recbole_edt.artefacts.store import (
    ANCHOR,
    AUGMENT,
    EMBEDDINGS,
    PROFILES,
    ArtefactSet,
    ArtefactSettings,
    find_artefacts,
)
from recbole_edt.data.atomic_file import check_header, check_rows, why_unreadable
from recbole_edt.data.split import CONTEXT, TEST, TRAIN, VALID, load_or_make_split
from recbole_edt.errors import UserError
from recbole_edt.recbole_bridge import (
    Dataset,
    FeatureSource,
    Interaction,
    ModelType,
    SequentialDataset,
)

if TYPE_CHECKING:
    from recbole_edt.config.edt_config import EDTConfig


class CrossDomainDataset(SequentialDataset):
    """Interactions of several domains under one split that all models share.

    RecBole writes one padded row per prefix of every user's sequence; here a row is only the
    position of its target in one flat table sorted by user and time, and `__getitem__`
    gathers the history of the rows of one batch. The tensors that come out are RecBole's, the
    memory is linear in the number of interactions. For general recommenders the rows are the
    plain interactions.

    Attributes
    ----------
    split : Split
        Which rows are trained on, validated on and tested on.
    flat : Interaction
        All interactions, sorted by user and time, each field of shape [rows].
    codes : numpy.ndarray
        Split code of each flat row.
    user_starts : numpy.ndarray
        First flat row of each user id, shape [user_num + 1].
    domains : list of str
        Domain names in alphabetical order; domain k is the k-th.
    item_domain : torch.Tensor
        Domain of each item id, shape [item_num], -1 for the padding item.
    items_hash : str
        Hex digest over the items and their domains.
    artefacts_read : set of str
        Which parts of the artefacts anybody asked this dataset, or a part of it, for.
    """

    inter_feat: Any

    def __init__(self, config: "EDTConfig"):
        self.is_sequential = config["MODEL_TYPE"] == ModelType.SEQUENTIAL
        self.artefacts_read: set[str] = set()
        self._proposed: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._with_augmented: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        try:
            super().__init__(config)
        except (ValueError, KeyError) as error:
            path = config.dataset_dir / config["dataset"]
            raise UserError(f"{path}.inter or .item cannot be read ({error})") from None
        self.domains, self.item_domain = self._read_domains()
        names = np.array(self.domains, dtype=object)[self.item_domain[1:].numpy()]
        self.items_hash = items_hash(self.field2id_token[self.iid_field][1:], names)
        self.split = load_or_make_split(config.dataset_dir, config["dataset"], config["split"])

    def _load_data(self, token: str, dataset_path: str) -> None:
        domain = self.config["DOMAIN_FIELD"]
        needed = {
            "inter": (fields.USER, fields.ITEM, fields.TIME),
            "item": (fields.ITEM, domain),
        }
        for suffix, names in needed.items():
            check_header(Path(dataset_path, f"{token}.{suffix}"), names)
        super()._load_data(token, dataset_path)
        for suffix, names in needed.items():
            feat = getattr(self, f"{suffix}_feat")
            unread = [name for name in names if feat is None or name not in feat]
            if unread:
                raise UserError(f"load_col: {suffix}: lacks {unread[0]!r}")
        missing = self.item_feat[self.item_feat[domain].isna()]
        if len(missing):
            raise UserError(
                f"{dataset_path}/{token}.item: item {missing[fields.ITEM].iloc[0]!r} has no domain"
            )
        unknown = self.inter_feat.index[
            ~self.inter_feat[fields.ITEM].isin(self.item_feat[fields.ITEM])
        ]
        if len(unknown):
            raise UserError(
                f"{dataset_path}/{token}.inter: line {unknown[0] + 2}: item "
                f"{self.inter_feat[fields.ITEM][unknown[0]]!r} is not in {token}.item"
            )

    def _load_feat(self, filepath: str, source: Any) -> Any:
        load, unload = self._get_load_and_unload_col(source)
        if load != set():
            check_rows(
                Path(filepath),
                lambda name: name in load if load is not None else name not in (unload or ()),
            )
        try:
            feat = super()._load_feat(filepath, source)
        except ValueError as error:
            raise UserError(why_unreadable(Path(filepath), error)) from None
        if source == FeatureSource.ITEM and feat is not None and fields.ITEM in feat:
            repeated = feat.index[feat[fields.ITEM].duplicated()]
            if len(repeated):  # RecBole would keep the first one and say nothing
                raise UserError(
                    f"{filepath}: line {repeated[0] + 2} repeats item "
                    f"{feat[fields.ITEM][repeated[0]]!r}"
                )
        return feat

    def _read_domains(self) -> tuple[list[str], torch.Tensor]:
        field = self.config["DOMAIN_FIELD"]
        names = self.field2id_token[field][1:].tolist()
        if len(names) < 2:
            raise UserError(
                f"{self.dataset_path}/{self.dataset_name}.item: one domain only "
                f"({', '.join(names)}); expected at least two in column {field!r}"
            )
        domains = sorted(names)
        number = {name: k for k, name in enumerate(domains)}
        of_token = torch.tensor([-1] + [number[name] for name in names])
        item_domain = torch.full((self.item_num,), -1)
        ids, tokens = (self.item_feat[f].to_numpy(np.int64) for f in (self.iid_field, field))
        item_domain[torch.from_numpy(ids)] = of_token[torch.from_numpy(tokens)]
        item_domain[0] = -1
        sizes = np.bincount(item_domain[1:].numpy(), minlength=len(domains))
        if sizes.min() < 2:  # its only item would always be ranked first
            raise UserError(
                f"{self.dataset_path}/{self.dataset_name}.item: domain "
                f"{domains[sizes.argmin()]!r} has one item only; expected at least two"
            )
        return domains, item_domain

    def _fill_nan(self) -> None:
        with warnings.catch_warnings():
            # RecBole assigns in place, which pandas 2 announces to stop working in pandas 3;
            # compat refuses pandas 3
            warnings.simplefilter("ignore", FutureWarning)
            super()._fill_nan()

    def _change_feat_format(self) -> None:
        """Sort by user and exact time, then convert to tensors (RecBole's are float32)."""
        users = self.inter_feat[self.uid_field].to_numpy()
        times = self.inter_feat[self.time_field].to_numpy(dtype=np.float64)
        if len(users) != len(self.split.codes):
            raise UserError(
                f"{self.dataset_path}: {len(users)} interactions are loaded, but the split has "
                f"{len(self.split.codes)}"
            )
        order = np.lexsort((times, users))
        self.inter_feat = self.inter_feat.iloc[order].reset_index(drop=True)
        self.codes = self.split.codes[order]
        self.user_starts = np.searchsorted(users[order], np.arange(self.user_num + 1))
        Dataset._change_feat_format(self)
        self.flat = self.inter_feat
        if self.is_sequential:
            self._aug_presets()

    def build(self) -> list["CrossDomainDataset"]:
        """Return the training, validation and test part.

        A sequential part has one row per target that has a history, a general part one row per
        interaction. Targets without any history are left out of validation and test for every
        model, so that all models are measured on the same users.
        """
        self._change_feat_format()
        starts = self.user_starts[self.flat[self.uid_field].numpy()]
        has_history = np.arange(len(self.codes)) > starts
        in_order = self._in_recboles_order()
        parts = []
        for code in (TRAIN, VALID, TEST):
            chosen = self.codes == code
            if code != TRAIN or self.is_sequential:
                chosen &= has_history
            lost = int(((self.codes == code) & ~has_history).sum()) if code != TRAIN else 0
            if lost:
                self.logger.info(f"{lost} targets have no history before them and are left out")
            rows = in_order[chosen[in_order]]
            if not len(rows):
                names = {TRAIN: "training", VALID: "validation", TEST: "test"}
                raise UserError(
                    f"{self.dataset_path}: no {names[code]} target in split {self.split.kind!r}; "
                    "expected users with at least three interactions"
                )
            part = self.copy(self.flat[rows])
            part.rows = rows
            parts.append(part)
        if self.is_sequential:
            # samplers read the targets of this object, as they do in RecBole
            rows = np.flatnonzero((self.codes != CONTEXT) & has_history)
            self.inter_feat, self.rows = self.flat[rows], rows
        return parts

    def _in_recboles_order(self) -> np.ndarray:
        """Return all flat rows, users ordered by the (float32) time of their first row.

        The order decides what a seeded shuffle makes of the rows, so that a model ends with
        RecBole's weights only on RecBole's order.
        """
        users = self.flat[self.uid_field].numpy()
        first = self.user_starts + self.is_sequential  # a first interaction is no row there
        times = self.flat[self.time_field].numpy()[first.clip(max=len(users) - 1)]
        return np.lexsort((users, times[users]))

    def __getitem__(self, index: np.ndarray, join: bool = True) -> Interaction:
        """Return rows with their histories, right-padded to MAX_ITEM_LIST_LENGTH."""
        batch = self.inter_feat[index]
        if self.is_sequential:
            rows = np.atleast_1d(self.rows[index])
            batch.update(self.histories(self.flat[self.uid_field][rows].numpy(), rows))
        return self.join(batch) if join else batch

    def histories(self, users: np.ndarray, ends: np.ndarray) -> Interaction:
        """Gather what some users had before some flat rows.

        Parameters
        ----------
        users : numpy.ndarray
            User ids, shape [B].
        ends : numpy.ndarray
            The row after the last one to gather, shape [B]: that of a target, or
            ``user_starts[users + 1]`` for all that a user has.

        Returns
        -------
        Interaction
            Every ``*_list`` field, shape [B, MAX_ITEM_LIST_LENGTH] (with ``trim_batches``, up to
            the longest history), and the item list length.
        """
        lengths = np.minimum(ends - self.user_starts[users], self.max_item_list_len)
        trimmed = self.config["trim_batches"]
        steps = np.arange(lengths.max() if trimmed else self.max_item_list_len)
        inside = torch.from_numpy(steps < lengths[:, None])
        position = torch.from_numpy(
            np.minimum((ends - lengths)[:, None] + steps, ends[:, None] - 1)
        )
        gathered = {self.item_list_length_field: torch.from_numpy(lengths)}
        for field in self.flat.columns:
            if field != self.uid_field:
                values = self.flat[field][position]
                shape = inside.shape + (1,) * (values.dim() - 2)
                gathered[getattr(self, f"{field}_list_field")] = values * inside.view(shape)
        return Interaction(gathered)

    def scored_histories(self, users: np.ndarray, ends: np.ndarray) -> Interaction:
        """Gather what a model reads to score users, augmented with ``augment_inference``.

        Parameters
        ----------
        users, ends : numpy.ndarray
            As for `histories`.

        Returns
        -------
        Interaction
            As `histories`; with ``augment_inference`` the item list and its length only.
        """
        if not (self.config["augment"] and self.config["augment_inference"]):
            return self.histories(users, ends)
        if self._with_augmented is None:
            self._with_augmented = self._weave_in(np.arange(len(self.codes)))
        owners, items, place = self._with_augmented
        ends = np.append(place, len(owners))[ends]
        lengths = np.minimum(ends - np.searchsorted(owners, users), self.max_item_list_len)
        at = (ends - lengths)[:, None] + np.arange(lengths.max())
        inside = at < ends[:, None]
        gathered = torch.from_numpy(items[np.where(inside, at, 0)] * inside)
        return Interaction(
            {
                self.item_list_length_field: torch.from_numpy(lengths),
                getattr(self, f"{self.iid_field}_list_field"): gathered,
            }
        )

    def inter_matrix(self, form: str = "coo", value_field: str | None = None):  # type: ignore[no-untyped-def]
        """Return the user-item matrix of this part, first items of the histories included."""
        inter = self.flat[np.flatnonzero(self.codes == TRAIN)]
        if not self.is_sequential:
            inter = self.inter_feat
        return self._create_sparse_matrix(inter, self.uid_field, self.iid_field, form, value_field)

    def training_rows(self) -> np.ndarray:
        """Return the flat rows that are trained on, in order, shape [training rows]."""
        return np.flatnonzero(self.codes == TRAIN)

    def training_sequences(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all users' training sequences, augmented ones if ``augment`` is set.

        Augmented interactions stand right after their anchor. They exist here and, if the key
        ``augment_inference`` asks for it, in the histories of `scored_histories`: held-out rows,
        counts and RecBole's own models never see them.

        Returns
        -------
        tuple
            User [n], item [n] and whether it is to be predicted, bool [n], users one by one.
        """
        rows = self.training_rows()
        if not self.config["augment"]:
            users, items = (self.flat[f][rows].numpy() for f in (self.uid_field, self.iid_field))
            return users, items, np.ones(len(rows), dtype=bool)
        users, items, place = self._weave_in(rows)
        is_target = np.full(len(users), self.config["augment_as"] == "targets")
        is_target[place] = True
        return users, items, is_target

    def _weave_in(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return users and items of some flat rows with the augmented ones among them.

        The third array tells where each of the flat rows has come to stand.
        """
        if self._proposed is None:
            self._proposed = self._augmented()
        more_users, more_items, after = self._proposed
        order = np.argsort(np.r_[rows, after + 0.5], kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        users, items = (self.flat[f][rows].numpy() for f in (self.uid_field, self.iid_field))
        return (
            np.r_[users, more_users][order],
            np.r_[items, more_items][order],
            place[: len(rows)],
        )

    def _augmented(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return user, item and the anchor's flat row of each augmented interaction, each [n]."""
        found = self.artefacts()
        tokens = self.field2id_token[self.iid_field]
        domain_of = {tokens[i]: self.domains[self.item_domain[i]] for i in range(1, self.item_num)}
        users_known, items_known = (
            self.field2token_id[f] for f in (self.uid_field, self.iid_field)
        )
        frame = None if found is None else found.augmented(users_known, domain_of)
        if frame is None:
            raise UserError(
                f"{self.dataset_path}/artefacts: no augmented interactions of these settings; "
                f"make them with {self._how_to_make(AUGMENT)}, or set augment: False"
            )
        users = frame[fields.USER].map(users_known).to_numpy(np.int64)
        items = frame[fields.ITEM].map(items_known).to_numpy(np.int64)
        anchors = frame[ANCHOR].map(items_known).to_numpy(np.int64)
        rows = self.training_rows()
        pair = self.flat[self.uid_field][rows].numpy() * self.item_num
        pair += self.flat[self.iid_field][rows].numpy()
        order = np.argsort(pair, kind="stable")
        wanted = users * self.item_num + anchors
        # the last of a user's interactions with the anchor
        place = np.searchsorted(pair[order], wanted, side="right") - 1
        after = rows[order[place.clip(min=0)]]
        lost = np.flatnonzero((place < 0) | (pair[order[place.clip(min=0)]] != wanted))
        if len(lost):
            row = frame.iloc[lost[0]]
            raise UserError(
                f"augmented.inter: user {row[fields.USER]!r} has no training interaction with "
                f"anchor {row[ANCHOR]!r}; the rows were made from other data"
            )
        self.artefacts_read.add(AUGMENT)
        return users, items, after

    def history_counts(self, users: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Count what users had per domain before flat rows of theirs, held-out targets aside.

        Parameters
        ----------
        users, ends : numpy.ndarray
            User ids, and the flat row before which their history ends, each [n].

        Returns
        -------
        numpy.ndarray
            Training and context rows, int64 [n, K].
        """
        known = np.isin(self.codes, (TRAIN, CONTEXT))
        domains = self.item_domain[self.flat[self.iid_field]].numpy()
        starts = self.user_starts[users]
        counts = []
        for k in range(len(self.domains)):
            until = np.concatenate(([0], np.cumsum(known & (domains == k))))
            counts.append(until[ends] - until[starts])
        return np.stack(counts, axis=1)

    def item_counts(self) -> np.ndarray:
        """Count each item's training interactions, shape [item_num]."""
        items = self.flat[self.iid_field][self.training_rows()].numpy()
        return np.bincount(items, minlength=self.item_num)

    def seen_items(self) -> np.ndarray:
        """Tell which items stand in a training sequence, augmented ones included, [item_num]."""
        return np.bincount(self.training_sequences()[1], minlength=self.item_num) > 0

    def item_vectors(self) -> np.ndarray:
        """Return the LLM vector of each item, float32 [item_num, m]; row 0 (padding) is zero.

        Raises
        ------
        UserError
            When the dataset has no vectors of the configured encoder, or damaged ones.
        """
        found = self.artefacts()
        if found is None:
            raise UserError(
                f"{self.dataset_path}/artefacts: no item vectors of encoder "
                f"{self.config['encoder']!r}; make them with {self._how_to_make(EMBEDDINGS)}"
            )
        vectors = found.item_vectors(self.field2id_token[self.iid_field][1:])
        self.artefacts_read.add(EMBEDDINGS)
        return np.concatenate([np.zeros((1, vectors.shape[1]), np.float32), vectors])

    def profile_vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the encoded profile of each user in each domain, and where there is one.

        Returns
        -------
        tuple
            float32 [user_num, K, m], zero where there is none, and bool [user_num, K]; row 0
            (padding) has none.

        Raises
        ------
        UserError
            When the profiles have not been made, or are of other users or domains.
        """
        found = self.artefacts()
        if found is None or not found.has(PROFILES):
            raise UserError(
                f"{self.dataset_path}/artefacts: no profiles of these settings; make them with "
                f"{self._how_to_make(PROFILES)}"
            )
        vectors, present = found.profiles(self.field2id_token[self.uid_field][1:], self.domains)
        self.artefacts_read.add(PROFILES)
        return np.pad(vectors, ((1, 0), (0, 0), (0, 0))), np.pad(present, ((1, 0), (0, 0)))

    def artefacts(self) -> ArtefactSet | None:
        """Return the artefacts that the configuration asks for, None when there are none."""
        config = self.config
        settings = ArtefactSettings.from_config(config)
        return find_artefacts(config.dataset_dir, self.dataset_name, settings, self.split)

    def hashes(self) -> dict[str, str]:
        """Return what tells this dataset from another of its name, as ``metrics.json`` has it."""
        return {"split_hash": self.split.hash, "items_hash": self.items_hash}

    def _how_to_make(self, part: str) -> str:
        """Return the command that makes a part of the set that the configuration asks for."""
        given, defaults = self.config.external_config_dict, self.config.internal_config_dict
        keys = ("data_path", "split", *SETTING_KEYS)
        own = [f"--{k}={given[k]}" for k in keys if k in given and given[k] != defaults.get(k)]
        line = ["recbole-edt", "artefacts", f"--dataset={self.dataset_name}", "--only", part, *own]
        return f"`{shlex.join(line)}`"
