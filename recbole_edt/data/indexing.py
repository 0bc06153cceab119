"""NumPy on rows sorted by user and time: histories, insertions, counts. Each with an example."""

import numpy as np


def history_rows(
    starts: np.ndarray, ends: np.ndarray, longest: int, width: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the last rows of each history, right-padded.

    Parameters
    ----------
    starts, ends : numpy.ndarray
        First row of each history, and the row after its last one, int [B].
    longest : int
        Rows of a history that are kept, the latest ones.
    width : int, optional
        Columns of the result; the longest kept history by default.

    Returns
    -------
    rows : numpy.ndarray
        int [B, width]; padding repeats the last row.
    inside : numpy.ndarray
        bool [B, width], False for padding.
    lengths : numpy.ndarray
        int [B], rows kept.

    Examples
    --------
    One user's history is rows 0, 1, 2; another's is row 4:

    >>> rows, inside, lengths = history_rows(np.array([0, 4]), np.array([3, 5]), longest=2)
    >>> rows.tolist(), lengths.tolist()
    ([[1, 2], [4, 4]], [2, 1])
    >>> inside.tolist()
    [[True, True], [True, False]]
    """
    lengths = np.minimum(ends - starts, longest)
    steps = np.arange(lengths.max() if width is None else width)
    rows = np.minimum((ends - lengths)[:, None] + steps, ends[:, None] - 1)
    return rows, steps < lengths[:, None], lengths


def insert_after(rows: np.ndarray, anchors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of some rows with further entries inserted right after their anchors.

    Parameters
    ----------
    rows : numpy.ndarray
        Rows in rising order, int [R].
    anchors : numpy.ndarray
        The row after which each further entry goes, int [N].

    Returns
    -------
    order : numpy.ndarray
        int [R + N], index into the rows followed by the further entries.
    new_index : numpy.ndarray
        int [R], where each row is in the result.

    Examples
    --------
    Two entries (numbers 3 and 4 after the three rows) follow row 10:

    >>> order, new_index = insert_after(np.array([10, 11, 15]), np.array([10, 10]))
    >>> order.tolist(), new_index.tolist()
    ([0, 3, 4, 1, 2], [0, 3, 4])
    """
    order = np.argsort(np.r_[rows, anchors + 0.5], kind="stable")
    new_index = np.empty(len(order), dtype=np.int64)
    new_index[order] = np.arange(len(order))
    return order, new_index[: len(rows)]


def last_index_of(wanted: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the last index of each wanted value among `values`, -1 where there is none.

    Parameters
    ----------
    wanted, values : numpy.ndarray
        int [N] and int [R].

    Examples
    --------
    >>> last_index_of(np.array([5, 9, 7]), np.array([5, 7, 5])).tolist()
    [2, -1, 1]
    """
    order = np.argsort(values, kind="stable")
    nearest = np.searchsorted(values[order], wanted, side="right") - 1
    index = order[nearest.clip(min=0)]
    return np.where((nearest >= 0) & (values[index] == wanted), index, -1)


def first_of_each(values: np.ndarray) -> np.ndarray:
    """Mark the first occurrence of each value within its row, bool of the same shape.

    Examples
    --------
    >>> first_of_each(np.array([[3, 1, 3], [2, 2, 4]])).tolist()
    [[True, True, False], [True, False, True]]
    """
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, 1)
    first = np.ones(values.shape, dtype=bool)
    np.put_along_axis(first, order[:, 1:], ordered[:, 1:] != ordered[:, :-1], 1)
    return first


def occurrences(values: np.ndarray) -> np.ndarray:
    """Count how often each value has come before, int64 of the same shape [n].

    Examples
    --------
    >>> occurrences(np.array([7, 5, 7, 7])).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    index = np.arange(len(values))
    begins = np.ones(len(values), dtype=bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    counts = np.empty(len(values), dtype=np.int64)
    counts[order] = index - np.maximum.accumulate(np.where(begins, index, 0))
    return counts


def ranges(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all numbers of several ranges, and to which range each belongs.

    Parameters
    ----------
    starts, lengths : numpy.ndarray
        First number of each range and how many it has, int [B].

    Returns
    -------
    owner, number : numpy.ndarray
        int [sum of lengths].

    Examples
    --------
    >>> owner, number = ranges(np.array([10, 20]), np.array([2, 3]))
    >>> owner.tolist(), number.tolist()
    ([0, 0, 1, 1, 1], [10, 11, 20, 21, 22])
    """
    owner = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return owner, starts[owner] + within


def joined_ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return all numbers of several ranges, int32 [sum of lengths] (int64 beyond two billion).

    Needs no memory beyond the result. Parameters are those of `ranges`.

    Examples
    --------
    >>> joined_ranges(np.array([10, 5, 20]), np.array([2, 0, 3])).tolist()
    [10, 11, 20, 21, 22]
    """
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    total = int(lengths.sum())
    largest = int((starts + lengths).max()) if total else 0
    numbers = np.ones(total, np.int32 if largest < 2**31 else np.int64)
    if total:
        # steps of one within a range, and from the end of a range to the start of the next
        numbers[0] = starts[0]
        numbers[np.cumsum(lengths)[:-1]] = starts[1:] - (starts + lengths)[:-1] + 1
    return np.cumsum(numbers, out=numbers)
