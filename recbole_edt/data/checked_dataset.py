"""RecBole's dataset of several domains, read under checks that name file, line and column."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from recbole_edt import fields
from recbole_edt.data.atomic_file import (
    FLOAT,
    check_header,
    check_rows,
    columns_of,
    read_columns,
    why_unreadable,
)
from recbole_edt.data.column_keys import check_column_keys
from recbole_edt.data.split import Split, split_of
from recbole_edt.data.store import Interactions, TokenIds, Tokens, open_interactions
from recbole_edt.errors import UserError, nearest
from recbole_edt.recbole_bridge import DatasetBase
from recbole_edt.recbole_bridge.failures import raised_in_recbole, reason_of, shown_keys

if TYPE_CHECKING:
    from recbole_edt.config import EDTConfig


_READ = ("inter", "item", "user")  # by the ends of their names


class CheckedDataset(DatasetBase):
    """Interactions and items of several domains, and the split that all models share.

    Attributes
    ----------
    store : Interactions
        The columns of ``NAME.inter``.
    split : Split
        Which rows are trained on, validated on and tested on.
    domains : list of str
        Domain names in alphabetical order; domain k is the k-th.
    item_domain : torch.Tensor
        Domain of each item id, int64 [item_num], -1 for the padding item.
    items_hash : str
        Hex digest over the items and their domains.
    """

    config: "EDTConfig"
    store: Interactions

    def __init__(self, config: "EDTConfig"):
        try:
            super().__init__(config)
        except UserError:
            raise
        except Exception as error:
            if not raised_in_recbole(error):
                raise
            path = config.dataset_dir / config["dataset"]
            changed = shown_keys(config.changed)
            raise UserError(
                f"{path}.inter or .item cannot be read ({reason_of(error)}){changed}"
            ) from error
        self.domains, self.item_domain = self._number_domains()
        names = np.array(self.domains, dtype=object)[self.item_domain[1:].numpy()]
        self.items_hash = items_hash(self.item_tokens, names)
        self.split: Split = split_of(config)

    @property
    def item_tokens(self) -> np.ndarray:
        """Token of each item but the padding item, object [item_num - 1]."""
        tokens: np.ndarray = self.field2id_token[self.iid_field][1:]
        return tokens

    @property
    def user_tokens(self) -> np.ndarray:
        """Token of each user but the padding user, object [user_num - 1]."""
        tokens: np.ndarray = self.field2id_token[self.uid_field][1:]
        return tokens

    def hashes(self) -> dict[str, str]:
        """Return the hashes of split and items, as ``metrics.json`` has them."""
        return {"split_hash": self.split.hash, "items_hash": self.items_hash}

    def _needed_columns(self) -> dict[str, tuple[str, ...]]:
        return {
            "inter": (fields.USER, fields.ITEM, fields.TIME),
            "item": (fields.ITEM, self.config["DOMAIN_FIELD"]),
        }

    def always_loaded(self, source: str) -> Sequence[str]:
        """Return the columns of ``inter`` or ``item`` that every model reads."""
        return self._needed_columns().get(source, ())

    def check_loaded(self, path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
        """Refuse a column of ``load_col`` that a file lacks: RecBole would not mention it."""
        for name in wanted:
            # the default names a domain column that DOMAIN_FIELD may have replaced
            if name not in found and name != fields.DOMAIN:
                raise UserError(
                    f"load_col: {path.suffix[1:]}: {path} has no column {name!r}"
                    f"{nearest(name, found)}; found {', '.join(found)}"
                )

    def check_headers(self, folder: Path, name: str) -> None:
        """Refuse files without a needed column, and keys that name what is not there."""
        for suffix, columns in self._needed_columns().items():
            check_header(folder / f"{name}.{suffix}", columns)
        for key in ("load_col", "unload_col"):
            for suffix, wanted in (self.config[key] or {}).items():
                _check_columns_of(f"{key}: {suffix}", folder / f"{name}.{suffix}", wanted, key)

    def header_of(self, path: Path) -> list[tuple[str, str]]:
        """Return name and type of each column of a file."""
        return columns_of(path)

    def read_table(self, path: Path, columns: Sequence[str], is_inter: bool) -> pd.DataFrame:
        """Return some columns of a file; of interactions in the order of the store.

        Users, items and times of interactions are the store's columns, not copies.
        """
        stored: dict[str, np.ndarray] = {}
        if is_inter:
            self.store = store = open_interactions(path.parent, self.dataset_name)
            stored = {fields.USER: store.users, fields.ITEM: store.items, fields.TIME: store.times}
        further = [name for name in columns if name not in stored]
        if further:
            check_rows(path, columns.__contains__)
            for name, values in self._parse(path, further).items():
                stored[name] = self.store.from_file_order(values) if is_inter else values
        return pd.DataFrame({name: stored[name] for name in columns}, copy=False)

    def _parse(self, path: Path, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Return cells as str, None for empty ones, or as float64, NaN for empty ones."""
        kinds, parsed = dict(columns_of(path)), {}
        for name, cells in read_columns(path, columns.__contains__).items():
            if kinds[name] == FLOAT:
                try:
                    parsed[name] = np.array([float(cell or "nan") for cell in cells])
                except ValueError as error:
                    raise UserError(why_unreadable(path, error)) from None
            else:
                parsed[name] = np.array([cell or None for cell in cells], dtype=object)
        return parsed

    def number_tokens(
        self, field: str, others: np.ndarray
    ) -> tuple[Tokens, TokenIds, np.ndarray] | None:
        """Return numbers of further users or items, after those of the store."""
        if field not in (self.uid_field, self.iid_field):
            return None
        store = self.store
        known = store.user_vocabulary if field == self.uid_field else store.item_vocabulary
        numbers = known.numbers(others)
        is_new = np.array([token is not None for token in others], dtype=bool) & (numbers == 0)
        new, more = pd.factorize(others[is_new])
        numbers[is_new] = 1 + len(known) + new
        tokens = Tokens(known, more.tolist())
        return tokens, TokenIds(tokens), numbers

    def file_rows(self) -> np.ndarray | None:
        """Return the row of the file of each interaction, which is in the order of the store."""
        return self.store.file_rows

    def check_table(self, path: Path, table: pd.DataFrame, is_items: bool) -> None:
        """Refuse an item that is listed twice: RecBole would keep the first and report nothing."""
        if is_items and fields.ITEM in table:
            repeated = table.index[table[fields.ITEM].duplicated()]
            if len(repeated):
                item = table[fields.ITEM][repeated[0]]
                raise UserError(f"{path}: line {repeated[0] + 2} repeats item {item!r}")

    def check_tables(self, folder: Path, name: str) -> None:
        """Refuse columns left out by ``unload_col``, items without a domain and unknown items."""
        for suffix, columns in self._needed_columns().items():
            table = getattr(self, f"{suffix}_feat")
            unread = [column for column in columns if table is None or column not in table]
            if unread:
                raise UserError(
                    f"unload_col: {suffix}: found {unread[0]!r}, which every model reads"
                )
        check_column_keys(self.config, {k: kind.value for k, kind in self.field2type.items()})
        items = self.item_feat
        without = items[items[self.config["DOMAIN_FIELD"]].isna()]
        if len(without):
            item = without[fields.ITEM].iloc[0]
            raise UserError(f"{folder}/{name}.item: item {item!r} has no domain")
        self._refuse_unlisted(folder, name, fields.ITEM, "item", items)
        if self.user_feat is not None:
            self._refuse_unlisted(folder, name, fields.USER, "user", self.user_feat)

    def _refuse_unlisted(
        self, folder: Path, name: str, field: str, suffix: str, table: pd.DataFrame
    ) -> None:
        """Refuse interactions with a user or item that ``NAME.user`` or ``NAME.item`` lacks."""
        store, is_item = self.store, field == fields.ITEM
        known = store.item_vocabulary if is_item else store.user_vocabulary
        is_listed = np.zeros(len(known) + 1, dtype=bool)
        is_listed[known.numbers(table[field].dropna().to_numpy())] = True
        unlisted = np.flatnonzero(~is_listed[1:])
        if len(unlisted):
            number = unlisted[0] + 1  # numbered by first appearance: the first in the file
            rows = np.flatnonzero((store.items if is_item else store.users) == number)
            raise UserError(
                f"{folder}/{name}.inter: line {store.lines(rows).min()}: {suffix} "
                f"{known.tokens([number - 1])[0]!r} is not in {name}.{suffix}"
            )

    def _number_domains(self) -> tuple[list[str], torch.Tensor]:
        field, path = self.config["DOMAIN_FIELD"], f"{self.dataset_path}/{self.dataset_name}.item"
        names = self.field2id_token[field][1:].tolist()
        if len(names) < 2:
            raise UserError(
                f"{path}: one domain only ({', '.join(names)}); "
                f"expected at least two in column {field!r}"
            )
        domains = sorted(names)
        of_token = torch.tensor([-1] + [domains.index(name) for name in names])
        item_domain = torch.full((self.item_num,), -1)
        ids, tokens = (self.item_feat[f].to_numpy(np.int64) for f in (self.iid_field, field))
        item_domain[torch.from_numpy(ids)] = of_token[torch.from_numpy(tokens)]
        item_domain[0] = -1
        self._refuse_aliases(item_domain)
        sizes = np.bincount(item_domain[1:].numpy(), minlength=len(domains))
        if sizes.min() < 2:  # its only item would always be ranked first
            raise UserError(
                f"{path}: domain {domains[sizes.argmin()]!r} has one item only; "
                "expected at least two"
            )
        return domains, item_domain

    def _refuse_aliases(self, item_domain: torch.Tensor) -> None:
        """Refuse what columns of ``alias_of_item_id`` hold beside items."""
        unknown = np.flatnonzero(item_domain[1:].numpy() < 0)
        if len(unknown):
            token = str(self.item_tokens[unknown[0]])
            raise UserError(
                f"alias_of_item_id: {self.config['alias_of_item_id']} hold {token!r}, expected "
                f"items of {self.dataset_name}.item only"
            )


def _check_columns_of(at: str, path: Path, wanted: Any, key: str) -> None:
    """Refuse columns of a file that is not read or not there: RecBole would not mention them."""
    if path.suffix[1:] not in _READ:
        raise UserError(f"{at}: no such file is read; expected some of {', '.join(_READ)}")
    if not path.is_file():
        raise UserError(f"{at}: {path} does not exist; leave it out, or make the file")
    everything = key == "load_col" and wanted == "*"
    if not everything and not isinstance(wanted, list):
        raise UserError(f"{at}: found {wanted!r}, expected a list of columns")
    known = [column for column, _ in columns_of(path)]
    for column in [] if key == "load_col" else wanted:  # those of load_col: see `check_loaded`
        if column not in known:
            raise UserError(
                f"{at}: {path} has no column {column!r}{nearest(str(column), known)}; "
                f"found {', '.join(known)}"
            )


def items_hash(ids: Iterable[str], domains: Iterable[str]) -> str:
    """Return a hash of which items there are and of which domain each is, in whatever order."""
    lines = [f"{item}\t{domain}\n" for item, domain in sorted(zip(ids, domains, strict=True))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
