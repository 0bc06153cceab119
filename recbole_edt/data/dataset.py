"""The one dataset class of every model: any number of domains, text inputs, training sequences."""

from functools import cached_property

import numpy as np
import torch

from recbole_edt.data.flat_dataset import FlatDataset
from recbole_edt.data.indexing import (
    history_rows,
    insert_after,
    joined_ranges,
    last_index_of,
    ranges,
)
from recbole_edt.data.inputs import TextInputs
from recbole_edt.data.split import CONTEXT, TRAIN
from recbole_edt.errors import UserError
from recbole_edt.recbole_bridge import Interaction

_USERS_COUNTED = 1 << 14  # users and rows that are counted at a time: a bound on memory
_ROWS_COUNTED = 1 << 24


class CrossDomainDataset(FlatDataset):
    """Interactions of several domains under one split that all models share.

    See `CheckedDataset` for domains and split, and `FlatDataset` for rows and histories.

    Attributes
    ----------
    text_inputs : TextInputs or None
        Where item vectors, profiles and augmented interactions come from. Set before `build`.
    """

    text_inputs: TextInputs | None = None

    def build_final(self) -> tuple["CrossDomainDataset", list["CrossDomainDataset"]]:
        """Return what `FlatDataset.build_final` does; augmented interactions stay where they are.

        Their anchors are training rows, also where the validation row has the same item.
        """
        if self.config["augment"]:
            _ = self._augmented  # which the copy then has too
        return super().build_final()

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
        all_users, items, new_index = self._all_augmented
        rows, inside, lengths = history_rows(
            np.searchsorted(all_users, users),
            np.append(new_index, len(all_users))[ends],
            self.max_item_list_len,
        )
        return Interaction(
            {
                self.item_list_length_field: torch.from_numpy(lengths),
                self.list_field(self.iid_field): torch.from_numpy(
                    items[rows].astype(np.int64) * inside
                ),
            }
        )

    def training_sequences(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all users' training sequences, augmented ones if ``augment`` is set.

        An augmented interaction comes right after its anchor. It is here and, if the key
        ``augment_inference`` asks for it, in the histories of `scored_histories`: held-out rows,
        counts and RecBole's own models never see it.

        Returns
        -------
        tuple
            User, int32 [n], item, int32 [n], and whether it is to be predicted, bool [n], users
            one by one.
        """
        if not self.config["augment"]:
            users, items = self._users_and_items(self.codes == TRAIN)
            return users, items, np.ones(len(users), dtype=bool)
        users, items, new_index = self._insert_augmented(self.training_rows())
        is_target = np.full(len(users), self.config["augment_as"] == "targets")
        is_target[new_index] = True
        return users, items, is_target

    def history_counts(self, users: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Count the interactions of users per domain before flat rows, held-out targets aside.

        Parameters
        ----------
        users, ends : numpy.ndarray
            User ids, and the flat row before which their history ends, int [n].

        Returns
        -------
        numpy.ndarray
            Training and context rows, int64 [n, K].
        """
        domains, counts = self.item_domain.numpy(), []
        for batch in range(0, len(users), _USERS_COUNTED):
            starts = self.user_starts[users[batch : batch + _USERS_COUNTED]]
            owner, rows = ranges(starts, ends[batch : batch + _USERS_COUNTED] - starts)
            counted = np.isin(self.codes[rows], (TRAIN, CONTEXT))
            cells = owner * len(self.domains) + domains[self.store.items[rows]]
            size = len(starts) * len(self.domains)
            counts.append(np.bincount(cells[counted], minlength=size))
        return np.concatenate(counts or [np.empty(0, np.int64)]).reshape(-1, len(self.domains))

    def item_counts(self) -> np.ndarray:
        """Count each item's training interactions, int64 [item_num]."""
        counts = np.zeros(self.item_num, dtype=np.int64)
        for start in range(0, len(self.codes), _ROWS_COUNTED):
            some = slice(start, start + _ROWS_COUNTED)
            items = self.store.items[some][self.codes[some] == TRAIN]
            counts += np.bincount(items, minlength=self.item_num)
        return counts

    def seen_items(self) -> np.ndarray:
        """Mark the items of the training sequences, augmented ones included, bool [item_num]."""
        seen = self.item_counts() > 0
        if self.config["augment"]:
            seen[self._augmented[1]] = True
        return seen

    # ------------------------------------------------------------- text inputs

    def item_vectors(self) -> np.ndarray:
        """Return the LLM vector of each item, float32 [item_num, m]; row 0 (padding) is zero.

        Raises
        ------
        UserError
            When the dataset has no vectors of the configured encoder, or damaged ones.
        """
        return np.pad(self._inputs().item_vectors(self.item_tokens), ((1, 0), (0, 0)))

    def profile_vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the encoded profile of each user in each domain, and which there are.

        Returns
        -------
        tuple
            float32 [user_num, P, m], zero where there is none, and bool [user_num, P]; row 0
            (padding) has none. P is K, or 1 where there is one overall profile per user.

        Raises
        ------
        UserError
            When the profiles have not been made, or are of other users or domains.
        """
        vectors, present = self._inputs().profile_vectors(self.user_tokens, self.domains)
        return np.pad(vectors, ((1, 0), (0, 0), (0, 0))), np.pad(present, ((1, 0), (0, 0)))

    def _inputs(self) -> TextInputs:
        if self.text_inputs is None:
            raise RuntimeError("no text_inputs are set on this dataset")
        return self.text_inputs

    def _insert_augmented(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return users and items of some flat rows and of the augmented interactions among them.

        The third array is the index of each of the flat rows in the other two.
        """
        more_users, more_items, anchors = self._augmented
        order, new_index = insert_after(rows, anchors)
        users, items = self._users_and_items(rows)
        users = np.concatenate([users, more_users.astype(users.dtype)])[order]
        return users, np.concatenate([items, more_items.astype(items.dtype)])[order], new_index

    @cached_property
    def _all_augmented(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._insert_augmented(np.arange(len(self.codes)))

    @cached_property
    def _augmented(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """User and item id of each augmented interaction, and the flat row of its anchor, [n]."""
        user_ids, item_ids = (self.field2token_id[f] for f in (self.uid_field, self.iid_field))
        names = np.array(self.domains, dtype=object)[self.item_domain[1:].numpy()]
        domain_of = dict(zip(self.item_tokens, names, strict=True))
        given = self._inputs().augmented_rows(user_ids, domain_of)
        users = user_ids.numbers(given.users)
        items, anchors = item_ids.numbers(given.items), item_ids.numbers(given.anchors)
        # of the users who have any
        starts = self.user_starts[np.unique(users)]
        rows = joined_ranges(starts, self.user_starts[np.unique(users) + 1] - starts)
        rows = rows[self.codes[rows] == TRAIN].astype(np.int64)
        of_user, of_item = (c[rows].astype(np.int64) for c in (self.store.users, self.store.items))
        # the last of a user's interactions with the anchor
        index = last_index_of(users * self.item_num + anchors, of_user * self.item_num + of_item)
        if (index < 0).any():
            first = int(np.argmax(index < 0))
            raise UserError(
                f"augmented.inter: user {given.users[first]!r} has no training interaction with "
                f"anchor {given.anchors[first]!r}; the rows were made from other data"
            )
        return users, items, rows[index]
