"""Rolling-origin splits: several folds, each tested on a later window than the one before.

Cut-offs are moments common to all users. Fold I trains on everything before its validation
window, which lies right before its test window, and reads nothing after it:

    rows in order of time   |----------- 60 % ------------| 10 % | 10 %| 10 % | 10 % |
    fold 1                   training .................... valid | test | later ......
    fold 2                   training ........................... valid | test | later
    fold 3                   training ................................. valid | test
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_edt.data.split_codes import TEST, TRAIN, VALID, codes_of_windows, order_in_time
from recbole_edt.errors import UserError

ROLLING = "rolling"


@dataclass(frozen=True)
class RollingSplit:
    """One fold of several, or all of them.

    Attributes
    ----------
    folds : int
        How many folds there are.
    share : float
        Length of a fold's test window, and of its validation window, as a share of all rows.
    fold : int, optional
        Which fold, from 1; None for all of them: `codes` are then those of the last one.
    """

    folds: int
    share: float
    fold: int | None

    @property
    def kind(self) -> str:
        """Name of the split and its files, such as ``rolling-3-0.1-fold2``."""
        of_all = f"{ROLLING}-{self.folds}-{self.share}"
        return of_all if self.fold is None else f"{of_all}-fold{self.fold}"

    @property
    def _number(self) -> int:
        return self.folds if self.fold is None else self.fold

    def codes(self, users: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the code of each row.

        Of each user's rows in the validation window the last is the validation target, of those
        in the test window the last is the test target; the other rows of both windows are
        context, as in the split ``time``. Rows after the test window are `LATER`.

        Parameters
        ----------
        users, times : numpy.ndarray
            User (int) and timestamp (float64) of each row, [rows]; equal times keep their order.

        Returns
        -------
        numpy.ndarray
            uint8 [rows].

        Raises
        ------
        UserError
            When the fold has no training row, or no target that anything is known before.

        Examples
        --------
        Ten rows of two users, one a day; 0 is training, 1 validation, 2 test, 3 context, 4 later:

        >>> users, times = np.array([0, 1] * 5), np.arange(10.0)
        >>> RollingSplit(2, 0.2, 1).codes(users, times).tolist()
        [0, 0, 0, 0, 1, 1, 2, 2, 4, 4]
        >>> RollingSplit(2, 0.2, 2).codes(users, times).tolist()
        [0, 0, 0, 0, 0, 0, 1, 1, 2, 2]
        """
        valid, test, after = self._cuts(times)
        window = (times >= valid).astype(np.int8) + (times >= test) + (times >= after)
        order = order_in_time(users, times)
        codes = codes_of_windows(users, window, order)
        in_order = users[order]
        known = np.zeros(len(users), dtype=bool)
        known[order[1:]] = in_order[1:] == in_order[:-1]
        self._refuse_empty(codes, known, times)
        return codes

    def _cuts(self, times: np.ndarray) -> tuple[float, float, float]:
        """Return where validation and test begin, and where test ends, as times."""
        # rounded: 1 - 3 * 0.1 is not 0.7, which may move a cut by one row
        shares = [round(1 - (self.folds - self._number + k) * self.share, 12) for k in (2, 1, 0)]
        valid, test, after = np.quantile(times, shares, method="higher").tolist()
        return valid, test, np.inf if self._number == self.folds else after

    def _refuse_empty(self, codes: np.ndarray, known: np.ndarray, times: np.ndarray) -> None:
        """Refuse a fold without rows to train on, or without targets that have a history."""
        if times.min() == times.max():
            raise UserError(
                f"split: {ROLLING} cuts at moments, but all {len(times)} interactions have the "
                f"timestamp {times[0]:g}; expected timestamps that differ"
            )
        for code, what in ((TRAIN, "training"), (VALID, "validation"), (TEST, "test")):
            if not (known & (codes == code)).any():
                found = int((codes == code).sum())
                raise UserError(
                    f"folds: fold {self._number} of {self.folds} with fold_share: {self.share:g} "
                    f"has {found} {what} rows, none of them after another row of its user; "
                    "expected some: fewer folds, or windows of another length"
                )


def rolling_split(keys: Mapping[str, Any]) -> RollingSplit:
    """Return the split that the keys ``folds``, ``fold_share`` and ``fold`` describe."""
    return RollingSplit(keys["folds"], float(keys["fold_share"]), keys["fold"])


def has_all_folds(keys: Mapping[str, Any]) -> bool:
    """Return whether a configuration asks for all folds of a rolling split, and not for one."""
    # runs of earlier versions lack some keys
    return "split" in keys and keys["split"] == ROLLING and keys["fold"] is None
