"""Counts that describe a prepared dataset."""

from typing import Any

import pandas as pd

from recbole_edt import fields
from recbole_edt.prepare.raw import RawData, domain_codes

_DOMINANCE = (0.8, 0.9)


def describe(data: RawData) -> dict[str, Any]:
    """Count users, items, interactions, domain shares, ties and sequence lengths.

    Parameters
    ----------
    data : RawData
        Sorted by user and order: the engine has the table `sorted`.

    Returns
    -------
    dict
        JSON-like. `dominated_users` says how many users have more than 80 % and 90 % of their
        interactions in one domain, `one_domain_users` how many have all of them there;
        `tied_share` is the share of a user's neighbouring rows with equal timestamps.
    """
    engine = data.interactions().engine
    codes, names = domain_codes(data.items)
    engine.load("item_domains", pd.DataFrame({"item": data.items.index, "domain": codes}))
    engine.run(
        "CREATE OR REPLACE TABLE cells AS SELECT user, domain, count(*) AS n "
        "FROM sorted JOIN item_domains USING (item) GROUP BY user, domain"
    )
    by_domain = {
        domain: (int(rows), int(users))
        for domain, rows, users in engine.rows(
            "SELECT domain, sum(n), count(*) FROM cells GROUP BY domain"
        )
    }
    above = ", ".join(
        f"count(*) FILTER (largest / length > {share!r}::DOUBLE)" for share in _DOMINANCE
    )
    n_users, n_rows, shortest, longest, one_domain, *dominated = (
        int(value)
        for value in engine.row(
            f"SELECT count(*), sum(length), min(length), max(length), "
            f"count(*) FILTER (domains = 1), {above} "
            "FROM (SELECT sum(n) AS length, max(n) AS largest, count(*) AS domains "
            "FROM cells GROUP BY user)"
        )
    )
    first, last, used = engine.row("SELECT min(time), max(time), count(DISTINCT item) FROM sorted")
    tied = engine.row(
        "SELECT count(*) FILTER (user = user_before AND time = time_before) FROM "
        "(SELECT user, time, lag(user) OVER () AS user_before, "
        "lag(time) OVER () AS time_before FROM sorted)"
    )[0]
    return {
        "users": n_users,
        "items": len(data.items),
        "interactions": n_rows,
        "items_without_interactions": len(data.items) - used,
        "untitled_items": int((data.items[fields.TITLE] == "").sum()),
        "domains": {
            name: {
                "items": int((codes == code).sum()),
                "interactions": by_domain.get(code, (0, 0))[0],
                "share": round(by_domain.get(code, (0, 0))[0] / n_rows, 4),
                "users": by_domain.get(code, (0, 0))[1],
            }
            for code, name in enumerate(names)
        },
        "dominated_users": {
            f"above {share:.0%}": users for share, users in zip(_DOMINANCE, dominated, strict=True)
        },
        "one_domain_users": one_domain,
        "tied_share": round(tied / max(n_rows - n_users, 1), 4),
        "length": {"min": shortest, "mean": round(n_rows / n_users, 2), "max": longest},
        "order": "positions" if data.positions else "seconds",
        "span": [first, last],
    }
