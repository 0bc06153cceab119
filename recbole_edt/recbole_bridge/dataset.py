"""RecBole's dataset, with the private steps of its loading as hooks that have names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_edt.errors import UserError
from recbole_edt.recbole_bridge import (
    Dataset,
    FeatureSource,
    FeatureType,
    ModelType,
    SequentialDataset,
)


class DatasetBase(SequentialDataset):
    """RecBole's dataset of sequential and general models; a subclass overrides the hooks.

    RecBole's parser is not used. While RecBole loads, `check_headers` runs before any file is
    read, then for each file `read_table` and `check_table`, and at last `check_tables`. Users and
    items of interactions are numbered by `number_tokens`, not by RecBole.

    Parameters
    ----------
    config : recbole Config
        The configuration.

    Attributes
    ----------
    inter_feat, item_feat : pandas.DataFrame or Interaction
        Interactions and items: a frame until `tables_to_tensors`, tensors after it.
    is_sequential : bool
        Whether rows carry histories, as sequential models read them.
    """

    inter_feat: Any
    item_feat: Any

    def __init__(self, config: Any):
        self.is_sequential = config["MODEL_TYPE"] == ModelType.SEQUENTIAL
        super().__init__(config)

    # ------------------------------------------------------------------ hooks

    def check_headers(self, folder: Path, name: str) -> None:
        """Check the dataset's files before the first one is read."""

    def always_loaded(self, source: str) -> Sequence[str]:
        """Return the columns of ``inter`` or ``item`` that are loaded whatever ``load_col`` has."""
        return ()

    def header_of(self, path: Path) -> list[tuple[str, str]]:
        """Return name and type of each column of a file."""
        raise NotImplementedError

    def read_table(self, path: Path, columns: Sequence[str], is_inter: bool) -> pd.DataFrame:
        """Return some columns of a file: str for tokens and sequences, float64 for numbers.

        Missing cells are None or NaN. Users and items of interactions may be numbered already.
        """
        raise NotImplementedError

    def number_tokens(self, field: str, others: np.ndarray) -> tuple[Any, Any, np.ndarray] | None:
        """Return numbers of the tokens that other tables have in a field of `inter_feat`.

        Parameters
        ----------
        field : str
            A token column of interactions.
        others : numpy.ndarray
            Tokens of other tables in this field or an alias of it, object [n].

        Returns
        -------
        tuple or None
            ``field2id_token`` and ``field2token_id`` of the field, and the number of each of
            `others`, int64 [n]. None for fields that RecBole numbers; the others are numbers in
            `inter_feat` from the start.
        """
        return None

    def file_rows(self) -> np.ndarray | None:
        """Return the row of the file of each row of `inter_feat`; None where they are the same."""
        return None

    def inter_to_tensors(self, table: pd.DataFrame) -> Any:
        """Return the interactions as tensors, or as what behaves like them."""
        return super()._dataframe_to_interaction(table)

    def check_loaded(self, path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
        """Check the columns that ``load_col`` names against those of a file."""

    def check_table(self, path: Path, table: pd.DataFrame, is_items: bool) -> None:
        """Check the table of one file."""

    def check_tables(self, folder: Path, name: str) -> None:
        """Check all tables, `inter_feat` and `item_feat`, against each other."""

    # --------------------------------------------------- for subclasses to call

    def tables_to_tensors(self) -> None:
        """Turn the tables into tensors, without the prefixes that RecBole would add to them."""
        Dataset._change_feat_format(self)

    def declare_list_fields(self) -> None:
        """Register the fields of histories, such as ``item_id_list`` and ``item_length``."""
        self._aug_presets()

    def list_field(self, field: str) -> str:
        """Return the field that holds the history of another field."""
        return str(getattr(self, f"{field}_list_field"))

    def user_item_matrix(self, rows: Any, form: str, value_field: str | None) -> Any:
        """Return some interactions as a scipy matrix [user_num, item_num] of a sparse format."""
        return self._create_sparse_matrix(rows, self.uid_field, self.iid_field, form, value_field)

    # -------------------------------------------------- RecBole's private steps

    def _load_data(self, token: str, dataset_path: str) -> None:
        self.check_headers(Path(dataset_path), token)
        super()._load_data(token, dataset_path)
        self.check_tables(Path(dataset_path), token)

    def _load_feat(self, filepath: str, source: Any) -> pd.DataFrame | None:
        path = Path(filepath)
        name = getattr(source, "value", source)
        try:
            load, unload = self._get_load_and_unload_col(source)
        except ValueError:
            raise UserError(
                f"unload_col: {name}: found beside the columns of load_col; give one of the two "
                "(load_col: null loads all columns)"
            ) from None
        if load is not None:
            load |= set(self.always_loaded(name))
        if load == set():
            return None
        columns, header = {}, self.header_of(path)
        self.check_loaded(path, sorted(load or ()), [field for field, _ in header])
        for field, kind in header:
            if (load is None or field in load) and field not in (unload or ()):
                columns[field] = FeatureType(kind)
                if source != "link":
                    self._declare(field, columns[field], source)
        if not columns:
            self.logger.warning(f"No columns has been loaded from [{source}]")
            return None
        table = self.read_table(path, list(columns), source == FeatureSource.INTERACTION)
        for field, kind in columns.items():
            if kind in (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ):
                table[field] = self._sequences(path, field, table[field], kind)
        self.check_table(path, table, source == FeatureSource.ITEM)
        return table

    def _declare(self, field: str, kind: Any, source: Any) -> None:
        self.field2source[field], self.field2type[field] = source, kind
        if kind in (FeatureType.TOKEN, FeatureType.FLOAT):
            self.field2seqlen[field] = 1
        if kind in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ):
            self.field2bucketnum[field] = 2

    def _sequences(self, path: Path, field: str, cells: pd.Series, kind: Any) -> list[np.ndarray]:
        """Split the cells of a sequence column, and register its longest one."""
        parse = float if kind == FeatureType.FLOAT_SEQ else str
        sequences = []
        for row, cell in enumerate(cells):
            parts = (cell or "").split(self.config["seq_separator"])
            try:
                sequences.append(np.array([parse(part) for part in parts if part]))
            except ValueError:
                raise UserError(
                    f"{path}: line {row + 2}: {field} is {cell!r}; expected numbers"
                ) from None
        longest = max(map(len, sequences))
        most = (self.config["seq_len"] or {}).get(field, longest)
        self.field2seqlen[field] = min(most, longest)
        return [sequence[:most] for sequence in sequences]

    def _filter_inter_by_user_or_item(self) -> None:
        """Drop nothing: `check_tables` refuses interactions with unlisted users or items."""

    def _filter_by_inter_num(self) -> None:
        """Drop nothing: the keys are refused, and RecBole would count all rows in Python."""

    def _remap(self, remap_list: list[tuple[Any, str, Any]]) -> None:
        if not remap_list or self._remap_numbered(remap_list):
            return
        columns = self._in_file_order(remap_list)
        super()._remap(columns)
        self._in_table_order(columns, remap_list)

    def _remap_numbered(self, remap_list: list[tuple[Any, str, Any]]) -> bool:
        """Give columns the numbers of a column that has some already; return False without one."""
        (first, field, _), *remap_list = remap_list
        if first is not self.inter_feat:
            return False
        others, tokens, split_at = self._in_file_order(remap_list), np.empty(0, dtype=object), []
        if others:
            tokens, split_at = self._concat_remaped_tokens(others)
        numbered = self.number_tokens(field, tokens)
        if numbered is None:
            return False
        id_token, token_id, numbers = numbered
        for name in (field, *(name for _, name, _ in others)):
            self.field2id_token.setdefault(name, id_token)
            self.field2token_id.setdefault(name, token_id)
        pieces = np.split(numbers, split_at) if others else []
        for (table, name, kind), column in zip(others, pieces, strict=True):
            is_sequence = kind == FeatureType.TOKEN_SEQ
            ends = np.cumsum(table[name].map(len))[:-1] if is_sequence else None
            table[name] = column if ends is None else np.split(column, ends)
        self._in_table_order(others, remap_list)
        return True

    def _in_file_order(self, columns: list[tuple[Any, str, Any]]) -> list[tuple[Any, str, Any]]:
        """Return columns with copies of those of interactions in the order of the file.

        RecBole numbers tokens in that order.
        """
        order = self.file_rows()
        if order is None:
            return columns
        to_file = np.argsort(order)
        return [
            (
                table[[field]].iloc[to_file].reset_index(drop=True)
                if table is self.inter_feat
                else table,
                field,
                kind,
            )
            for table, field, kind in columns
        ]

    def _in_table_order(self, columns: list[Any], remap_list: list[Any]) -> None:
        """Write copies that `_in_file_order` made back to their tables."""
        for (copy, field, _), (table, _, _) in zip(columns, remap_list, strict=True):
            if copy is not table:
                cells = copy[field].to_numpy()[self.file_rows()]
                table[field] = pd.Series(cells, index=table.index)

    def _dataframe_to_interaction(self, data: pd.DataFrame) -> Any:
        if data is self.inter_feat:
            return self.inter_to_tensors(data)
        return super()._dataframe_to_interaction(data)

    def _fill_nan(self) -> None:
        # RecBole's own writes into the columns in place, which are read-only here
        for name in self.feat_name_list:
            table = getattr(self, name)
            for field in table:
                column, kind = table[field], self.field2type[field]
                if kind in (FeatureType.TOKEN, FeatureType.FLOAT):
                    if column.isna().any():
                        is_token = kind == FeatureType.TOKEN
                        table[field] = column.fillna(0 if is_token else column.mean())
                    continue
                dtype = np.int64 if kind == FeatureType.TOKEN_SEQ else np.float64
                empty = np.array([], dtype=dtype)
                table[field] = [empty if isinstance(cell, float) else cell for cell in column]
