"""RecBole's dataset, with the private steps of its loading as hooks that have names."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_edt.errors import UserError
from recbole_edt.recbole_bridge import Dataset, FeatureSource, ModelType, SequentialDataset


class DatasetBase(SequentialDataset):
    """RecBole's dataset of sequential and general models; a subclass overrides the hooks.

    While RecBole loads, `check_headers` runs before any file is read, then for each file
    `check_lines`, RecBole's own parser and `check_table`, and at last `check_tables`.

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

    def check_lines(self, path: Path, is_read: Callable[[str], bool]) -> None:
        """Check the text of a file; `is_read` says whether RecBole reads a column."""

    def explain(self, path: Path, error: ValueError) -> str:
        """Return the message for a file that pandas cannot parse."""
        return f"{path}: {error}"

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
        load, unload = self._get_load_and_unload_col(source)
        if load != set():
            self.check_lines(
                path, lambda name: name in load if load is not None else name not in (unload or ())
            )
        try:
            table = super()._load_feat(filepath, source)
        except ValueError as error:
            raise UserError(self.explain(path, error)) from None
        if table is not None:
            self.check_table(path, table, source == FeatureSource.ITEM)
        return table

    def _fill_nan(self) -> None:
        with warnings.catch_warnings():
            # RecBole assigns in place, which pandas 2 announces to stop working in pandas 3;
            # the shims refuse pandas 3
            warnings.simplefilter("ignore", FutureWarning)
            super()._fill_nan()
