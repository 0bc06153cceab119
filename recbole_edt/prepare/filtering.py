"""Which interactions, users and items stay: repeats, k-core, untitled items."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.raw import RawData, clean_text, make_inter

DUPLICATES = ("keep", "first", "last")


@dataclass(frozen=True)
class FilterRules:
    """What a user, an item and an interaction must be to stay.

    Attributes
    ----------
    min_user_inter, min_item_inter : int
        Least number of interactions of a user (over all domains) and of an item. 0 for items
        keeps those that nobody interacted with.
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

    def sentence(self) -> str:
        """Return the rules as a phrase for the report."""
        user = f"users with {_least(self.min_user_inter)} over all domains"
        if self.by_domain:
            user += (
                f" and {_least(self.min_domain_inter)} in each of {self.min_user_domains} domains"
            )
        title = " and a title" if self.require_title else ""
        return f"{user}; items with {_least(self.min_item_inter)}{title}"

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
    """Apply `rules` until nothing changes any more.

    The result is the largest set of users and items that satisfies all rules together, and
    does not depend on the order in which they are applied. Titles are read after a first
    k-core, so that a reader need not parse those of items that are dropped anyway.

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
    domains, names = data.item_domains()
    if rules.min_user_domains > len(names):
        raise UserError(
            f"min_user_domains: {rules.min_user_domains} domains asked for; "
            f"the data have {len(names)}: {', '.join(names)}"
        )
    kept = _Filter(data.users, data.item_rows, domains, len(names), rules)
    notes: dict[str, int | str] = {}
    repeats = _repeats(data, "last" if rules.duplicates == "last" else "first")
    notes["repeated (user, item) interactions"] = int(repeats.sum())
    if rules.duplicates != "keep":
        kept.drop_rows(repeats, f"repeats of a (user, item) pair, {rules.duplicates} one kept")
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
    return _take(data, kept.rows, kept.items, all_titles), list(kept.steps.values()), notes


class _Filter:
    """Masks of the rows and items that are left, and the counts of what was dropped."""

    def __init__(
        self,
        users: np.ndarray,
        items: np.ndarray,
        domains: np.ndarray,
        n_domains: int,
        rules: FilterRules,
    ) -> None:
        self._users, self._items, self._domains = users, items, domains
        self._n_users = int(users.max(initial=-1)) + 1
        self._n_domains = n_domains
        self._rules = rules
        self.rows = np.ones(len(users), dtype=bool)
        self.items = np.ones(len(domains), dtype=bool)
        self.steps: dict[str, FilterStep] = {}

    def drop_rows(self, dropped: np.ndarray, rule: str) -> None:
        self._count(rule, interactions=int((self.rows & dropped).sum()))
        self.rows &= ~dropped

    def drop_items(self, dropped: np.ndarray, rule: str) -> None:
        rows = self.rows & dropped[self._items]
        self._count(rule, items=int((self.items & dropped).sum()), interactions=int(rows.sum()))
        self.items &= ~dropped
        self.rows &= ~rows

    def k_core(self) -> None:
        """Drop scarce items, then scarce users, until a round changes nothing."""
        rules = self._rules
        item_rule = f"items with fewer than {_number(rules.min_item_inter)}"
        user_rule = f"users with fewer than {_number(rules.min_user_inter)}"
        domain_rule = (
            f"users without {_least(rules.min_domain_inter)} in each of "
            f"{rules.min_user_domains} domains"
        )
        while True:
            before = int(self.rows.sum()), int(self.items.sum())
            if rules.min_item_inter > 0:
                per_item = np.bincount(self._items[self.rows], minlength=len(self.items))
                self.drop_items(self.items & (per_item < rules.min_item_inter), item_rule)
            if rules.min_user_inter > 1:
                per_user = np.bincount(self._users[self.rows], minlength=self._n_users)
                self._drop_users(per_user, per_user < rules.min_user_inter, user_rule)
            if rules.by_domain:
                cells = self._users[self.rows].astype(np.int64) * self._n_domains
                cells += self._domains[self._items[self.rows]]
                table = np.bincount(cells, minlength=self._n_users * self._n_domains)
                table = table.reshape(self._n_users, self._n_domains)
                enough = (table >= rules.min_domain_inter).sum(axis=1)
                scarce = enough < rules.min_user_domains
                self._drop_users(table.sum(axis=1), scarce, domain_rule)
            if before == (int(self.rows.sum()), int(self.items.sum())):
                return

    def _drop_users(self, per_user: np.ndarray, dropped: np.ndarray, rule: str) -> None:
        dropped = dropped & (per_user > 0)
        self._count(rule, users=int(dropped.sum()), interactions=int(per_user[dropped].sum()))
        self.rows &= ~dropped[self._users]

    def _count(self, rule: str, users: int = 0, items: int = 0, interactions: int = 0) -> None:
        step = self.steps.setdefault(rule, FilterStep(rule))
        step.users += users
        step.items += items
        step.interactions += interactions


def _check_left(data: RawData, kept: _Filter, rules: FilterRules) -> None:
    item_rows = np.unique(data.item_rows[kept.rows])
    present = data.items[fields.DOMAIN].iloc[item_rows].unique()
    if len(present) < 2:
        left = f"only the domain '{present[0]}' is" if len(present) else "nothing is"
        raise UserError(
            f"{left} left after filtering; expected two domains (kept: {rules.sentence()})"
        )


def _least(number: int) -> str:
    return f"at least {_number(number)}"


def _number(number: int) -> str:
    return f"{number} interaction{'' if number == 1 else 's'}"


def _repeats(data: RawData, kept: str) -> np.ndarray:
    """Mark every interaction of a (user, item) pair but its first or last in time."""
    pairs = data.users.astype(np.int64) * len(data.items) + data.item_rows
    order = np.lexsort((data.inter[fields.TIME].to_numpy(), pairs))
    same_as_before = pairs[order][1:] == pairs[order][:-1]
    marked = np.r_[False, same_as_before] if kept == "first" else np.r_[same_as_before, False]
    repeats = np.zeros(len(pairs), dtype=bool)
    repeats[order[marked[: len(pairs)]]] = True
    return repeats


def _take(data: RawData, rows: np.ndarray, items: np.ndarray, titles: pd.Series) -> RawData:
    kept_items = data.items.assign(**{fields.TITLE: titles})[items].reset_index(drop=True)
    new_item = np.cumsum(items) - 1
    # codes follow first appearance among the raw rows, and dropping users keeps that order
    present, user_codes = np.unique(data.users[rows], return_inverse=True)
    inter = make_inter(
        user_codes,
        data.inter[fields.USER].cat.categories[present],
        new_item[data.item_rows[rows]],
        pd.Index(kept_items[fields.ITEM]),
        data.inter[fields.TIME].to_numpy()[rows],
    )
    return replace(data, inter=inter, items=kept_items, load_titles=None)
