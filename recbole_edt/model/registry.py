"""Finding a model class by name: this package's own first, then RecBole's."""

from recbole_edt.errors import UserError, nearest
from recbole_edt.recbole_bridge.stock import (
    OTHER_FAMILIES,
    needs_own_dataset,
    stock_model,
    stock_models,
)

_UNFIT = {
    "FEARec": "reads padded histories of all rows at once, which are never kept here",
}


def own_models() -> dict[str, type]:
    """Return the model classes of this package by name."""
    from recbole_edt.model.baselines.abxi import ABXI
    from recbole_edt.model.baselines.c2dsr import C2DSR
    from recbole_edt.model.baselines.llm4cdsr import LLM4CDSR
    from recbole_edt.model.baselines.popularity import Popularity
    from recbole_edt.model.baselines.sasrec import SASRecLLM, SASRecSingle
    from recbole_edt.model.baselines.similarity import Similarity
    from recbole_edt.model.baselines.tricdr import TriCDR
    from recbole_edt.model.llmedt import LLMEDT

    found = (
        LLMEDT, ABXI, C2DSR, LLM4CDSR, Popularity, SASRecLLM, SASRecSingle, Similarity, TriCDR
    )  # fmt: skip
    return {model.__name__: model for model in found}


def get_model(name: str) -> type:
    """Return the model class called `name`.

    Raises
    ------
    UserError
        When no such model exists, or it needs data that this package does not provide.
    """
    own = own_models()
    if name in own:
        return own[name]
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
