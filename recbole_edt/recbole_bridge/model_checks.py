"""What single models of RecBole need of settings and data, checked before it fails in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recbole_edt.errors import UserError, nearest
from recbole_edt.files import load_array
from recbole_edt.recbole_bridge import FeatureType

_PRETRAINED: Mapping[str, tuple[str, Any]] = {
    "ConvNCF": ("train_method", "no_pretrain"),
    "NAIS": ("pretrain_path", None),
    "NeuMF": ("use_pretrain", False),
}
"""The key of each model that makes it read weights from a pickle, and the value that does not."""


def check_settings(config: Any, dataset: Any) -> None:
    """Check the settings of a model of RecBole against the dataset.

    Parameters
    ----------
    config : EDTConfig
        Of the run.
    dataset : recbole Dataset
        All of it.

    Raises
    ------
    UserError
        Names the key, what was found and what was expected.
    """
    _refuse_pickles(config)
    if config["selected_features"] is not None:
        _check_features(config, dataset)
    if config["model"] == "LDiffRec" and (config["n_cate"] or 0) > 1:
        _check_item_vectors(Path(dataset.dataset_path) / "item_emb.npy", dataset.item_num - 1)


def check_model(config: Any, model: Any) -> None:
    """Check what a model of RecBole makes of its settings.

    Raises
    ------
    UserError
        As `check_settings`.
    """
    if config["model"] == "DGCF":
        drawn, least = model.cor_batch_size, min(model.n_users, model.n_items)
        if drawn > least:
            raise UserError(
                f"train_batch_size: found {config['train_batch_size']}, expected a smaller one: "
                f"DGCF draws {drawn} users and as many items at a time, and there are {least}"
            )


def _refuse_pickles(config: Any) -> None:
    key, without = _PRETRAINED.get(config["model"], ("", None))
    if key and config[key] != without:
        raise UserError(
            f"{key}: found {config[key]!r}, expected {without!r}: {config['model']} would read "
            "its weights from a pickle, and none is ever loaded"
        )


def _check_features(config: Any, dataset: Any) -> None:
    """Refuse features that are no columns of items, or of a type that the models leave out."""
    name, found = config["dataset"], config["selected_features"]
    if not isinstance(found, (list, tuple)) or not found:
        raise UserError(
            f"selected_features: found {found!r}, expected a list of columns of {name}.item, "
            f"such as [{config['DOMAIN_FIELD']}]"
        )
    loaded = list(dataset.item_feat.columns)
    for field in found:
        if field not in loaded:
            raise UserError(f"selected_features: {_why_missing(field, loaded, config, dataset)}")
        kind = dataset.field2type[field]
        is_number = kind in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ)
        if is_number and field not in config["numerical_features"]:
            raise UserError(
                f"selected_features: column {field!r} of {name}.item is of type {kind.value}; "
                f"expected it in numerical_features too, or {config['model']} leaves it out"
            )


def _why_missing(field: Any, loaded: list[str], config: Any, dataset: Any) -> str:
    name = config["dataset"]
    item_file = Path(dataset.dataset_path) / f"{name}.item"
    columns = dict(dataset.header_of(item_file))
    if field in columns:
        more = ", ".join([*loaded, str(field)])
        return f"column {field!r} of {name}.item is not loaded; load_col: item: [{more}] loads it"
    users = dataset.user_feat
    if users is not None and field in users.columns:
        return (
            f"{field!r} is a column of {name}.user; {config['model']} reads columns of items only"
        )
    hint = nearest(str(field), columns)
    return f"{field!r} is no column of {name}.item, which has {', '.join(columns)}{hint}"


def _check_item_vectors(path: Path, items: int) -> None:
    """Refuse anything but an array of numbers: RecBole would load a pickle in its place."""
    try:
        vectors = load_array(path, mapped=True)
    except FileNotFoundError:
        raise UserError(f"n_cate: LDiffRec needs {path}, which does not exist") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable array ({error})") from None
    is_number = np.issubdtype(vectors.dtype, np.floating)
    if vectors.ndim != 2 or len(vectors) != items or not is_number:
        raise UserError(
            f"{path}: {vectors.dtype} {list(vectors.shape)}, expected numbers [{items}, width]"
        )
