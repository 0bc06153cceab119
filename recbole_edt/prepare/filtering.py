"""Which interactions, users and items stay: repeats, k-core, untitled items."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.interactions import Interactions
from recbole_edt.prepare.raw import RawData, clean_text, domain_codes

DUPLICATES = ("keep", "first", "last")


@dataclass(frozen=True)
class FilterRules:
    """What a user, an item and an interaction must be to stay.

    Attributes
    ----------
    min_user_inter, min_item_inter : int
        Least number of interactions of a user (over all domains) and of an item. 0 for items
        keeps those that nobody interacted with.
    max_user_inter, max_item_inter : int or None
        Most interactions of a user and of an item before any is dropped; None sets no limit.
    min_user_domains, min_domain_inter : int
        A user needs `min_domain_inter` interactions in each of `min_user_domains` domains.
    require_title : bool
        Whether items without a title are dropped.
    duplicates : str
        Which of several interactions of one user with one item stays: one of `DUPLICATES`.
    """

    min_user_inter: int = 1
    min_item_inter: int = 1
    min_user_domains: int = 1
    min_domain_inter: int = 1
    require_title: bool = False
    duplicates: str = "keep"
    max_user_inter: int | None = None
    max_item_inter: int | None = None

    def __post_init__(self) -> None:
        """Refuse an upper limit below the lower one: nothing could be left."""
        for kind in ("user", "item"):
            least, most = getattr(self, f"min_{kind}_inter"), getattr(self, f"max_{kind}_inter")
            if most is not None and most < least:
                raise UserError(
                    f"max_{kind}_inter: found {most}; expected at least min_{kind}_inter, {least}"
                )

    def sentence(self) -> str:
        """Return the rules as a phrase for the report."""
        user = f"users with {_range(self.min_user_inter, self.max_user_inter)} over all domains"
        if self.by_domain:
            user += (
                f" and {_least(self.min_domain_inter)} in each of {self.min_user_domains} domains"
            )
        title = " and a title" if self.require_title else ""
        return f"{user}; items with {_range(self.min_item_inter, self.max_item_inter)}{title}"

    @property
    def by_domain(self) -> bool:
        """Whether there is a rule about a user's single domains."""
        return self.min_user_domains > 1 or self.min_domain_inter > 1


@dataclass
class FilterStep:
    """What one rule dropped, summed over its rounds."""

    rule: str
    users: int = 0
    items: int = 0
    interactions: int = 0


def apply_rules(
    data: RawData, rules: FilterRules
) -> tuple[RawData, list[FilterStep], dict[str, int | str]]:
    """Apply the upper limits once, then the other rules until nothing changes any more.

    Of what the upper limits leave, the result is the largest set of users and items that
    satisfies all rules together, and does not depend on the order in which they are applied.
    Titles are read after a first k-core, so that a reader need not parse those of items that are
    dropped anyway.

    Returns
    -------
    data : RawData
        With the remaining rows in their old order, and every item's cleaned title.
    steps : list of FilterStep
        What each active rule dropped, zeros included.
    notes : dict
        Counts about repeats and titles.

    Raises
    ------
    UserError
        When fewer than two domains are left, or more domains are asked for than there are.
    """
    domains, names = domain_codes(data.items)
    if rules.min_user_domains > len(names):
        raise UserError(
            f"min_user_domains: {rules.min_user_domains} domains asked for; "
            f"the data have {len(names)}: {', '.join(names)}"
        )
    kept = _Filter(data.interactions(), domains, rules)
    notes: dict[str, int | str] = {}
    repeats = kept.count_repeats() if rules.duplicates == "keep" else kept.drop_repeats()
    notes["repeated (user, item) interactions"] = repeats
    kept.drop_above()
    kept.k_core()
    _check_left(data, kept, rules)

    ids = data.items.loc[kept.items, fields.ITEM]
    if data.load_titles is None:
        titles = data.items.loc[kept.items, fields.TITLE]
    else:
        titles, title_notes = data.load_titles(ids)
        notes |= title_notes
    titles, changed = clean_text(titles)
    notes["titles mended (entities, white space, leading quotation mark)"] = changed
    all_titles = pd.Series("", index=data.items.index, dtype=object)
    all_titles[ids.index] = titles.to_numpy()
    untitled = kept.items & (all_titles == "").to_numpy()
    notes["untitled items before the title rule"] = int(untitled.sum())
    if rules.require_title:
        kept.drop_items(untitled, "untitled items")
        kept.k_core()

    _check_left(data, kept, rules)
    items = data.items.assign(**{fields.TITLE: all_titles})[kept.items]
    return replace(data, items=items, load_titles=None), list(kept.steps.values()), notes


class _Filter:
    """The rows and items that are left, and the counts of what was dropped."""

    def __init__(self, inter: Interactions, domains: np.ndarray, rules: FilterRules) -> None:
        self._inter, self._engine, self._rules = inter, inter.engine, rules
        self.items = np.ones(len(domains), dtype=bool)
        self.steps: dict[str, FilterStep] = {}
        self._stored = self.rows = len(inter)
        self._engine.load(
            "item_domains", pd.DataFrame({"item": np.arange(len(domains)), "domain": domains})
        )

    def count_repeats(self) -> int:
        pairs = self._engine.row("SELECT count(*) FROM (SELECT DISTINCT user, item FROM inter)")[0]
        return self.rows - int(pairs)

    def drop_repeats(self) -> int:
        """Drop every interaction of a (user, item) pair but its first or last in time."""
        which = self._rules.duplicates
        self._engine.run(
            "CREATE OR REPLACE TABLE pairs AS SELECT user, item FROM inter "
            "GROUP BY user, item HAVING count(*) > 1"
        )
        order = "time DESC, row DESC" if which == "last" else "time, row"
        rows = self._delete(
            "row IN (SELECT row FROM (SELECT row, row_number() OVER "
            f"(PARTITION BY user, item ORDER BY {order}) AS number "
            "FROM inter SEMI JOIN pairs USING (user, item)) WHERE number > 1)"
        )
        self._count(f"repeats of a (user, item) pair, {which} one kept", interactions=rows)
        return rows

    def item_counts(self) -> np.ndarray:
        return self._inter.item_counts(len(self.items))

    def drop_items(self, dropped: np.ndarray, rule: str) -> None:
        """Drop the items of a mask, shape [items], and their interactions."""
        dropped = dropped & self.items
        rows = 0
        if dropped.any():
            self._engine.load("dropped", pd.DataFrame({"item": np.flatnonzero(dropped)}))
            rows = self._delete("item IN (SELECT item FROM dropped)")
        self._count(rule, items=int(dropped.sum()), interactions=rows)
        self.items &= ~dropped

    def drop_above(self) -> None:
        """Drop the users and items above the upper limits, all judged by the same counts.

        Counts only fall later, so that this is done once, before the lower limits; RecBole's
        ``user_inter_num_interval`` leaves the same rows.
        """
        rules = self._rules
        above = np.zeros(len(self.items), dtype=bool)
        if rules.max_item_inter is not None:
            above = self.item_counts() > rules.max_item_inter
        if rules.max_user_inter is not None:
            self._drop_users(
                f"SELECT user FROM inter GROUP BY user HAVING count(*) > {rules.max_user_inter}",
                f"users with more than {_number(rules.max_user_inter)}",
            )
        if rules.max_item_inter is not None:
            self.drop_items(above, f"items with more than {_number(rules.max_item_inter)}")

    def k_core(self) -> None:
        """Drop scarce items, then scarce users, until a round changes nothing."""
        rules = self._rules
        item_rule = f"items with fewer than {_number(rules.min_item_inter)}"
        while True:
            before = self.rows, int(self.items.sum())
            if rules.min_item_inter > 0:
                self.drop_items(self.item_counts() < rules.min_item_inter, item_rule)
            if rules.min_user_inter > 1 or rules.by_domain:
                self._drop_scarce_users()
            if before == (self.rows, int(self.items.sum())):
                return

    def _drop_scarce_users(self) -> None:
        """Drop users with too few rows, and of the others those with too few in single domains.

        Whether a user goes does not depend on other users: both are found in one pass.
        """
        rules = self._rules
        users, few = "SELECT user, count(*) AS n, 1 AS domains FROM inter GROUP BY user", "FALSE"
        if rules.by_domain:
            users = (
                "SELECT user, sum(rows) AS n, "
                f"count(*) FILTER (rows >= {rules.min_domain_inter}) AS domains "
                "FROM (SELECT user, domain, count(*) AS rows FROM inter "
                "JOIN item_domains USING (item) GROUP BY user, domain) GROUP BY user"
            )
            few = f"domains < {rules.min_user_domains}"
        scarce = f"n < {rules.min_user_inter}"
        self._engine.run(
            f"CREATE OR REPLACE TABLE dropped AS SELECT user, n, {scarce} AS scarce "
            f"FROM ({users}) WHERE {scarce} OR {few}"
        )
        query = "SELECT scarce, count(*), sum(n) FROM dropped GROUP BY scarce"
        found = {row[0]: (int(row[1]), int(row[2])) for row in self._engine.rows(query)}
        if found:
            self._delete("user IN (SELECT user FROM dropped)")
        if rules.min_user_inter > 1:
            n_users, rows = found.get(True, (0, 0))
            rule = f"users with fewer than {_number(rules.min_user_inter)}"
            self._count(rule, users=n_users, interactions=rows)
        if rules.by_domain:
            n_users, rows = found.get(False, (0, 0))
            rule = (
                f"users without {_least(rules.min_domain_inter)} in each of "
                f"{rules.min_user_domains} domains"
            )
            self._count(rule, users=n_users, interactions=rows)

    def _drop_users(self, query: str, rule: str) -> None:
        self._engine.run(f"CREATE OR REPLACE TABLE dropped AS {query}")
        users = int(self._engine.row("SELECT count(*) FROM dropped")[0])
        rows = self._delete("user IN (SELECT user FROM dropped)") if users else 0
        self._count(rule, users=users, interactions=rows)

    def _delete(self, condition: str) -> int:
        """Delete rows; copy those that are left once they are less than half of the stored."""
        rows = self._inter.delete(condition)
        self.rows -= rows
        if self.rows < self._stored / 2:
            self._engine.run("CREATE TABLE copied AS SELECT * FROM inter")
            self._engine.run("DROP TABLE inter")
            self._engine.run("ALTER TABLE copied RENAME TO inter")
            self._stored = self.rows
        return rows

    def _count(self, rule: str, users: int = 0, items: int = 0, interactions: int = 0) -> None:
        step = self.steps.setdefault(rule, FilterStep(rule))
        step.users += users
        step.items += items
        step.interactions += interactions


def _check_left(data: RawData, kept: _Filter, rules: FilterRules) -> None:
    present = data.items[fields.DOMAIN][kept.item_counts() > 0].unique()
    if len(present) < 2:
        left = f"only the domain '{present[0]}' is" if len(present) else "nothing is"
        raise UserError(
            f"{left} left after filtering; expected two domains (kept: {rules.sentence()})"
        )


def _range(least: int, most: int | None) -> str:
    return _least(least) if most is None else f"{least} to {_number(most)}"


def _least(number: int) -> str:
    return f"at least {_number(number)}"


def _number(number: int) -> str:
    return f"{number} interaction{'' if number == 1 else 's'}"
