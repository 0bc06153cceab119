"""Finding a model class by name: this package's own first, then RecBole's."""

from importlib import import_module

from recbole_edt.errors import UserError, nearest
from recbole_edt.recbole_bridge.shims import anomaly_detection_kept
from recbole_edt.recbole_bridge.stock import (
    OTHER_FAMILIES,
    needs_own_dataset,
    stock_model,
    stock_models,
)

_UNFIT = {
    "FEARec": "reads padded histories of all rows at once, which are never kept here",
}
_OWN = {
    "LLMEDT": "recbole_edt.model.llmedt",
    "ABXI": "recbole_edt.model.baselines.abxi",
    "C2DSR": "recbole_edt.model.baselines.c2dsr",
    "LLM4CDSR": "recbole_edt.model.baselines.llm4cdsr",
    "Popularity": "recbole_edt.model.baselines.popularity",
    "SASRecLLM": "recbole_edt.model.baselines.sasrec",
    "SASRecSingle": "recbole_edt.model.baselines.sasrec",
    "Similarity": "recbole_edt.model.baselines.similarity",
    "TriCDR": "recbole_edt.model.baselines.tricdr",
}


def own_models() -> dict[str, str]:
    """Return the module of each model of this package by class name; none is imported."""
    return dict(_OWN)


def get_model(name: str) -> type:
    """Return the model class called `name`.

    Raises
    ------
    UserError
        When no such model exists, or it needs data that this package does not provide.
    """
    own = own_models()
    if name in own:
        with anomaly_detection_kept():  # a model may be derived from one of RecBole's
            model_class: type = getattr(import_module(own[name]), name)
        return model_class
    stock = stock_models()
    if name in _UNFIT:
        raise UserError(f"model: {name} {_UNFIT[name]}; expected another model")
    if name in stock:
        if needs_own_dataset(name):
            raise UserError(f"model: {name} needs a {name}Dataset of RecBole's, not provided here")
        return stock_model(name)
    if name in stock_models(OTHER_FAMILIES):
        raise UserError(
            f"model: {name} needs context features or a knowledge graph; "
            "expected a sequential or general recommender"
        )
    raise UserError(f"model: {name!r} is unknown{nearest(name, [*own, *stock])}")
