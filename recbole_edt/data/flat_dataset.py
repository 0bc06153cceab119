"""Interactions as one flat table sorted by user and time; histories are gathered per batch."""

from copy import copy
from functools import partial
from typing import TypeVar

import numpy as np
import pandas as pd
import torch

from recbole_edt.data.checked_dataset import CheckedDataset
from recbole_edt.data.flat_table import Column, FlatTable, PartTable, Rows
from recbole_edt.data.indexing import history_rows, joined_ranges
from recbole_edt.data.split import CONTEXT, TEST, TRAIN, VALID
from recbole_edt.errors import UserError
from recbole_edt.recbole_bridge import Interaction

_PARTS = {TRAIN: "training", VALID: "validation", TEST: "test"}
_Part = TypeVar("_Part", bound="FlatDataset")


class FlatDataset(CheckedDataset):
    """Rows of a dataset without the history that RecBole stores beside each.

    RecBole writes one padded row per prefix of every user's sequence; here a row is only the
    index of its target in one flat table, and `__getitem__` gathers the histories of one batch.
    The tensors that come out are RecBole's, the memory is linear in the number of interactions.
    For general recommenders the rows are the plain interactions.

    Attributes
    ----------
    flat : FlatTable
        All interactions, sorted by user and time, each field of shape [R]; users, items and
        times are the store's columns, which become tensors where they are indexed.
    codes : numpy.ndarray
        Split code of each flat row, uint8 [R].
    user_starts : numpy.ndarray
        First flat row of each user id, int [user_num + 1].
    """

    flat: FlatTable
    codes: np.ndarray
    user_starts: np.ndarray
    _rows: Rows

    def build(self: _Part) -> list[_Part]:
        """Return the training, validation and test part.

        A sequential part has one row per target that has a history, a general part one row per
        interaction. Targets without any history are left out of validation and test for every
        model, so that all models are measured on the same users.
        """
        self._open_flat()
        has_history = self._has_history()
        for code in (VALID, TEST):
            lost = int(((self.codes == code) & ~has_history).sum())
            if lost:
                self.logger.info(f"{lost} targets have no history before them and are left out")
        parts = self._parts(has_history)
        for part, name in zip(parts, _PARTS.values(), strict=True):
            if not len(part):
                raise UserError(
                    f"{self.dataset_path}: no {name} target in split {self.split.kind!r}; "
                    "expected users with at least three interactions"
                )
        return parts

    def build_final(self: _Part) -> tuple[_Part, list[_Part]]:
        """Return the dataset of the final fit and its parts: validation rows are training rows.

        Call it after `build`. Everything that is computed from training rows, counts and
        negatives among it, is then computed from both; the validation part is empty. Test rows,
        the split and its hash are as they were.
        """
        final = copy(self)
        final.codes = np.where(self.codes == VALID, np.uint8(TRAIN), self.codes)
        return final, final._parts(final._has_history())

    def _parts(self: _Part, has_history: np.ndarray) -> list[_Part]:
        """Return the part of each code of `_PARTS`, and set what samplers read of this object."""
        parts: list[_Part] = []
        for code in _PARTS:
            count = np.count_nonzero(self._is_row(code, has_history))
            rows = Rows(int(count), partial(self._rows_of, code))
            part = self.copy(PartTable(self.flat, rows))
            part._rows = rows
            parts.append(part)
        self.inter_feat = PartTable(self.flat)
        if self.is_sequential:
            # samplers read the targets of this object, as they do in RecBole
            count = np.count_nonzero((self.codes < CONTEXT) & has_history)
            self._rows = Rows(int(count), self._all_targets)
            self.inter_feat = PartTable(self.flat, self._rows)
        return parts

    @property
    def rows(self) -> np.ndarray:
        """Of a part: the flat row of each of its rows, int [len(part)]."""
        return self._rows.indices

    def _is_row(self, code: int, has_history: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = self.codes == code
        if code != TRAIN or self.is_sequential:
            chosen &= has_history
        return chosen

    def _rows_of(self, code: int) -> np.ndarray:
        in_order = self._in_recboles_order()
        return in_order[self._is_row(code, self._has_history())[in_order]]

    def _all_targets(self) -> np.ndarray:
        rows = np.flatnonzero((self.codes < CONTEXT) & self._has_history())
        return rows.astype(np.int32 if len(self.codes) < 2**31 else np.int64)

    def _has_history(self) -> np.ndarray:
        """Mark the flat rows that something is known before, bool [R]."""
        if self.split.is_random:  # known are the user's training rows, whenever they were
            trained = np.zeros(self.user_num, dtype=bool)
            trained[self.store.users[self.codes == TRAIN]] = True
            return trained[self.store.users]
        has_history = np.ones(len(self.codes), dtype=bool)
        has_history[self.user_starts[:-1][np.diff(self.user_starts) > 0]] = False
        return has_history

    def _open_flat(self) -> None:
        """Take the store's order by user and exact time (RecBole's times are float32)."""
        store = self.store
        if len(store) != len(self.split.codes):
            raise UserError(
                f"{self.dataset_path}: {len(store)} interactions are loaded, but the split has "
                f"{len(self.split.codes)}"
            )
        self.codes = store.from_file_order(self.split.codes)
        without_rows = self.user_num + 1 - len(store.starts)  # users of NAME.user only
        self.user_starts = np.append(store.starts, np.full(without_rows, len(store)))
        self.tables_to_tensors()
        self.flat = self.inter_feat
        if self.is_sequential:
            self.declare_list_fields()

    def inter_to_tensors(self, table: pd.DataFrame) -> FlatTable:
        """Return the store's columns as they are, and further fields as tensors."""
        stored = {
            self.uid_field: Column(self.store.users, torch.int64),
            self.iid_field: Column(self.store.items, torch.int64),
            self.time_field: Column(self.store.times, torch.float32),
        }
        # RecBole replaces a column that its settings change, such as normalize_field
        kept = [
            field
            for field, column in stored.items()
            if field in table and np.may_share_memory(table[field].to_numpy(), column.values)
        ]
        further = super().inter_to_tensors(table.drop(columns=kept))
        return FlatTable({f: stored[f] if f in kept else further[f] for f in table})

    def _in_recboles_order(self) -> np.ndarray:
        """Return all flat rows, users ordered by the (float32) time of their first row.

        The order decides what a seeded shuffle makes of the rows, so that a model ends with
        RecBole's weights only on RecBole's order.
        """
        starts, rows = self.user_starts[:-1], len(self.codes)
        first = (starts + self.is_sequential).clip(max=rows - 1)  # a first one is no row there
        order = np.argsort(self.flat[self.time_field][first].numpy(), kind="stable")
        return joined_ranges(starts[order], np.diff(self.user_starts)[order])

    def __getitem__(self, index: np.ndarray, join: bool = True) -> Interaction:
        """Return rows with their histories, right-padded to MAX_ITEM_LIST_LENGTH."""
        batch = self.inter_feat[index]
        if self.is_sequential:
            rows = np.atleast_1d(self.rows[index])
            batch.update(self.histories(self.flat[self.uid_field][rows].numpy(), rows))
        return self.join(batch) if join else batch

    def histories(self, users: np.ndarray, ends: np.ndarray) -> Interaction:
        """Gather the interactions of some users before some flat rows.

        Parameters
        ----------
        users : numpy.ndarray
            User ids, int [B].
        ends : numpy.ndarray
            The row after the last one to gather, int [B]: that of a target, or
            ``user_starts[users + 1]`` for all that a user has.

        Returns
        -------
        Interaction
            Every ``*_list`` field, shape [B, MAX_ITEM_LIST_LENGTH] (with ``trim_batches``, up to
            the longest history), and the item list length.
        """
        longest = self.max_item_list_len
        width = None if self.config["trim_batches"] else longest
        rows, inside, lengths = history_rows(self.user_starts[users], ends, longest, width)
        index, mask = torch.from_numpy(rows), torch.from_numpy(inside)
        gathered = {self.item_list_length_field: torch.from_numpy(lengths)}
        for field in self.flat.columns:
            if field != self.uid_field:
                values = self.flat[field][index]
                shape = mask.shape + (1,) * (values.dim() - 2)
                gathered[self.list_field(field)] = values * mask.view(shape)
        return Interaction(gathered)

    def inter_matrix(self, form: str = "coo", value_field: str | None = None):  # type: ignore[no-untyped-def]
        """Return the user-item matrix of this part, first items of the histories included."""
        rows = self.flat[self.training_rows()] if self.is_sequential else self.inter_feat
        return self.user_item_matrix(rows, form, value_field)

    def training_rows(self) -> np.ndarray:
        """Return the flat rows that are trained on, in order, int [training rows]."""
        return np.flatnonzero(self.codes == TRAIN)

    def _users_and_items(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return those of some rows, given by indices or by a mask."""
        return self.store.users[rows], self.store.items[rows]
