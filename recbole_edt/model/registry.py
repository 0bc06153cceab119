"""Model classes by name: this package's, RecBole's, and those that other packages register."""

import importlib
import logging
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

from recbole_edt.errors import UserError, nearest
from recbole_edt.paths import properties_dir
from recbole_edt.plugins import MODELS, describe, load_entry, registered
from recbole_edt.recbole_bridge.stock import (
    OTHER_FAMILIES,
    needs_own_dataset,
    stock_model,
    stock_models,
)

_MODULES = {
    "LLMEDT": "llmedt",
    "ABXI": "baselines.abxi",
    "C2DSR": "baselines.c2dsr",
    "LLM4CDSR": "baselines.llm4cdsr",
    "Popularity": "baselines.popularity",
    "SASRecLLM": "baselines.sasrec",
    "SASRecSingle": "baselines.sasrec",
    "Similarity": "baselines.similarity",
    "TriCDR": "baselines.tricdr",
}
_UNFIT = {
    "FEARec": "reads padded histories of all rows at once, which are never kept here",
}
_log = logging.getLogger(__name__)


def own_models() -> tuple[str, ...]:
    """Return the names of this package's models."""
    return tuple(_MODULES)


def external_models() -> dict[str, EntryPoint]:
    """Return the models that other packages register; names that are taken are left out."""
    external = registered(MODELS)
    for name in external.keys() & {*_MODULES, *stock_models()}:
        owner = "recbole_edt" if name in _MODULES else "RecBole"
        _log.warning(f"{describe(external.pop(name))} is ignored: {name} is a model of {owner}")
    return external


def get_model(name: str) -> type:
    """Return the model class called `name`.

    Raises
    ------
    UserError
        When no such model exists, its entry point is broken, or it needs data that this package
        does not provide.
    """
    if name in _MODULES:
        return getattr(importlib.import_module(f"recbole_edt.model.{_MODULES[name]}"), name)
    stock, external = stock_models(), external_models()
    if name in _UNFIT:
        raise UserError(f"model: {name} {_UNFIT[name]}; expected another model")
    if name in stock:
        if needs_own_dataset(name):
            raise UserError(f"model: {name} needs a {name}Dataset of RecBole's, not provided here")
        return stock_model(name)
    if name in external:
        return _external_model(external[name])
    if name in stock_models(OTHER_FAMILIES):
        raise UserError(
            f"model: {name} needs context features or a knowledge graph; "
            "expected a sequential or general recommender"
        )
    raise UserError(f"model: {name!r} is unknown{nearest(name, [*_MODULES, *stock, *external])}")


def _external_model(entry: EntryPoint) -> type:
    model = load_entry(entry)
    if not isinstance(model, type) or model.__name__ != entry.name:
        found = f"class {model.__name__}" if isinstance(model, type) else repr(model)
        raise UserError(f"{describe(entry)}: found {found[:100]}, expected class {entry.name}")
    return model


def defaults_file(model_class: type) -> Path:
    """Return where a model's YAML defaults are, whether there is such a file or not.

    This package's are ``properties/model/NAME.yaml``; another package's ``NAME.yaml`` is next to
    the module of the class.
    """
    if model_class.__module__.startswith(("recbole.", "recbole_edt.")):
        return properties_dir() / "model" / f"{model_class.__name__}.yaml"
    module = sys.modules[model_class.__module__]
    return Path(str(module.__file__)).with_name(f"{model_class.__name__}.yaml")
