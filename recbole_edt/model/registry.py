"""Finding a model class by name: this package's own first, then RecBole's."""

import importlib
from functools import cache
from pathlib import Path

from recbole_edt.errors import UserError, nearest
from recbole_edt.recbole_bridge.shims import prepare_recbole

_FAMILIES = ("general_recommender", "sequential_recommender")
_UNFIT = {
    "FEARec": "reads padded histories of all rows at once, which are never kept here",
}
_OTHER_FAMILIES = ("context_aware_recommender", "knowledge_aware_recommender", "exlib_recommender")


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


@cache
def recbole_models(families: tuple[str, ...] = _FAMILIES) -> dict[str, str]:
    """Return the module of each RecBole model of some families by class name."""
    prepare_recbole()
    found = {}
    for family in families:
        # the sources are read, not imported: some need libraries that are not there
        folder = Path(importlib.import_module("recbole.model").__path__[0], family)
        for path in sorted(folder.glob("*.py")):
            source = path.read_text(encoding="utf-8")
            for line in source.splitlines():
                name = line[6:].split("(")[0].strip() if line.startswith("class ") else ""
                if name.lower() == path.stem:
                    found[name] = f"recbole.model.{family}.{path.stem}"
    return found


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
    stock = recbole_models()
    if name in _UNFIT:
        raise UserError(f"model: {name} {_UNFIT[name]}; expected another model")
    if name in stock:
        datasets = importlib.import_module("recbole.data.dataset")
        if hasattr(datasets, f"{name}Dataset"):
            raise UserError(f"model: {name} needs a {name}Dataset of RecBole's, not provided here")
        return getattr(importlib.import_module(stock[name]), name)
    if name in recbole_models(_OTHER_FAMILIES):
        raise UserError(
            f"model: {name} needs context features or a knowledge graph; "
            "expected a sequential or general recommender"
        )
    raise UserError(f"model: {name!r} is unknown{nearest(name, [*own, *stock])}")
