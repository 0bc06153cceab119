"""Counts that describe a prepared dataset."""

from typing import Any

import numpy as np

from recbole_edt import fields
from recbole_edt.prepare.raw import RawData

_DOMINANCE = (0.8, 0.9)


def describe(data: RawData) -> dict[str, Any]:
    """Count users, items, interactions, domain shares, ties and sequence lengths.

    Parameters
    ----------
    data : RawData
        Sorted by user and order.

    Returns
    -------
    dict
        JSON-like. `dominated_users` says how many users have more than 80 % and 90 % of their
        interactions in one domain, `one_domain_users` how many have all of them there;
        `tied_share` is the share of a user's neighbouring rows with equal timestamps.
    """
    users, item_rows = data.users, data.item_rows
    times = data.inter[fields.TIME].to_numpy()
    item_domains, names = data.item_domains()
    row_domains = item_domains[item_rows]
    n_users, n_domains = int(users.max()) + 1, len(names)
    table = np.bincount(
        users.astype(np.int64) * n_domains + row_domains, minlength=n_users * n_domains
    ).reshape(n_users, n_domains)
    lengths = table.sum(axis=1)
    largest = table.max(axis=1) / lengths
    neighbours = users[1:] == users[:-1]
    tied = neighbours & (times[1:] == times[:-1])
    return {
        "users": n_users,
        "items": len(data.items),
        "interactions": len(users),
        "items_without_interactions": len(data.items) - len(np.unique(item_rows)),
        "untitled_items": int((data.items[fields.TITLE] == "").sum()),
        "domains": {
            name: {
                "items": int((item_domains == code).sum()),
                "interactions": int((row_domains == code).sum()),
                "share": round(float((row_domains == code).mean()), 4),
                "users": int((table[:, code] > 0).sum()),
            }
            for code, name in enumerate(names)
        },
        "dominated_users": {
            f"above {share:.0%}": int((largest > share).sum()) for share in _DOMINANCE
        },
        "one_domain_users": int(((table > 0).sum(axis=1) == 1).sum()),
        "tied_share": round(float(tied.sum() / max(neighbours.sum(), 1)), 4),
        "length": {
            "min": int(lengths.min()),
            "mean": round(float(lengths.mean()), 2),
            "max": int(lengths.max()),
        },
        "order": "positions" if data.positions else "seconds",
        "span": [float(times.min()), float(times.max())],
    }
