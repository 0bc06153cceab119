"""Arrays as text inside a page's JSON: a type, a colon and base64."""

import base64

import numpy as np

_UNSIGNED = (np.uint8, np.uint16, np.uint32)


def pack(values: np.ndarray) -> str:
    """Return an array as text that the page turns into a typed array.

    Numbers are little-endian, and whole ones have the fewest bytes that hold them.

    Parameters
    ----------
    values : numpy.ndarray
        Whole numbers from 0 to 2^32 - 1, or floats, which are kept in their precision.

    Examples
    --------
    >>> pack(np.array([1, 2, 255])), pack(np.array([256]))
    ('u1:AQL/', 'u2:AAE=')
    """
    if values.dtype.kind in "iub":
        largest = int(values.max(initial=0))
        kinds = [kind for kind in _UNSIGNED if largest <= np.iinfo(kind).max]
        if not kinds or int(values.min(initial=0)) < 0:
            raise ValueError(f"expected whole numbers from 0 to 2^32 - 1, found {largest}")
        values = values.astype(kinds[0])
    ordered = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    kind = f"{values.dtype.kind}{values.dtype.itemsize}"
    return f"{kind}:{base64.b64encode(ordered.tobytes()).decode('ascii')}"
