"""Plain RecBole on the same files, as the reference that this package must agree with."""

import sys
from pathlib import Path
from typing import Any
from unittest import mock

from recbole_edt.recbole_bridge.shims import prepare_recbole

prepare_recbole()

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset  # noqa: E402


def stock_config(model: str, folder: Path, **keys: Any) -> Config:
    """Return RecBole's own configuration for the dataset in `folder`, leave-one-out by time."""
    settings = {
        "data_path": str(folder.parent),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "domain"]},
        "eval_args": {
            "split": {"LS": "valid_and_test"},
            "order": "TO",
            "group_by": "user",
            "mode": "full",
        },
        "state": "ERROR",
        "show_progress": False,
        **keys,
    }
    with mock.patch.object(sys, "argv", ["recbole"]):  # RecBole reads pytest's arguments as keys
        return Config(model=model, dataset=folder.name, config_dict=settings)


def stock_parts(model: str, folder: Path, **keys: Any) -> list[Any]:
    """Return RecBole's own training, validation and test part."""
    return create_dataset(stock_config(model, folder, **keys)).build()
