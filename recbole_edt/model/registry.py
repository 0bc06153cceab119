"""Model classes by name: this package's, RecBole's, and those that other packages register."""

from importlib import import_module

from recbole_edt.config.models import model_spec
from recbole_edt.recbole_bridge.shims import anomaly_detection_kept
from recbole_edt.recbole_bridge.stock import stock_model

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


def own_models() -> tuple[str, ...]:
    """Return the names of this package's models."""
    return tuple(_MODULES)


def get_model(name: str) -> type:
    """Return the model class called `name`.

    Raises
    ------
    UserError
        As `recbole_edt.config.model_spec`.
    """
    spec = model_spec(name)
    if spec.model_class is not None:
        return spec.model_class
    if spec.stock:
        return stock_model(name)
    with anomaly_detection_kept():  # a model may be derived from one of RecBole's
        model_class: type = getattr(import_module(f"recbole_edt.model.{_MODULES[name]}"), name)
    return model_class
