"""Codes of a row in a split, and what splits in time have in common."""

import numpy as np

TRAIN, VALID, TEST, CONTEXT, LATER = 0, 1, 2, 3, 4
"""A context row is history for later targets, never a target itself; a later row, after the test
window of a fold, is nothing to it."""


def order_in_time(users: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the rows' order by user and time, int64 [rows]; a store's rows are in it already."""
    later = (users[1:] > users[:-1]) | ((users[1:] == users[:-1]) & (times[1:] >= times[:-1]))
    return np.arange(len(users)) if later.all() else np.lexsort((times, users))


def codes_of_windows(users: np.ndarray, window: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the codes of rows in windows of time, of which a user's last row is the target.

    Parameters
    ----------
    users : numpy.ndarray
        User of each row, int [rows].
    window : numpy.ndarray
        0 before the validation window, 1 in it, 2 in the test window, 3 after it, int [rows].
    order : numpy.ndarray
        That of `order_in_time`.

    Returns
    -------
    numpy.ndarray
        uint8 [rows]; rows of the windows that are no target are `CONTEXT`.
    """
    owner, within = users[order], window[order]
    last = np.r_[(owner[1:] != owner[:-1]) | (within[1:] != within[:-1]), True]
    codes = np.array([TRAIN, CONTEXT, CONTEXT, LATER], dtype=np.uint8)[window]
    codes[order[last & (within == 1)]] = VALID
    codes[order[last & (within == 2)]] = TEST
    return codes
