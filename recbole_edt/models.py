"""Finding a model class by name: this package's own first, then RecBole's."""

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from recbole_edt.compat import anomaly_detection_kept, prepare_recbole
from recbole_edt.errors import UserError, nearest
from recbole_edt.requirements import check_requirements

_FAMILIES = ("general_recommender", "sequential_recommender")
_UNFIT = {
    "FEARec": "reads padded histories of all rows at once, which are never kept here",
}
_OTHER_FAMILIES = ("context_aware_recommender", "knowledge_aware_recommender", "exlib_recommender")
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


@cache
def recbole_models(families: tuple[str, ...] = _FAMILIES) -> dict[str, str]:
    """Return the module of each RecBole model of some families by class name; none is imported.

    Raises
    ------
    UserError
        When RecBole is not installed.
    """
    check_requirements()
    root = Path(str(find_spec("recbole").origin)).parent  # type: ignore[union-attr]
    found = {}
    for family in families:
        # the sources are read, not imported: some need libraries that are not there
        for path in sorted((root / "model" / family).glob("*.py")):
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
        return _class_of(own, name)
    stock = recbole_models()
    if name in _UNFIT:
        raise UserError(f"model: {name} {_UNFIT[name]}; expected another model")
    if name in stock:
        prepare_recbole()
        datasets = importlib.import_module("recbole.data.dataset")
        if hasattr(datasets, f"{name}Dataset"):
            raise UserError(f"model: {name} needs a {name}Dataset of RecBole's, not provided here")
        return _class_of(stock, name)
    if name in recbole_models(_OTHER_FAMILIES):
        raise UserError(
            f"model: {name} needs context features or a knowledge graph; "
            "expected a sequential or general recommender"
        )
    raise UserError(f"model: {name!r} is unknown{nearest(name, [*own, *stock])}")


def _class_of(modules: Mapping[str, str], name: str) -> type:
    with anomaly_detection_kept():
        found: type = getattr(importlib.import_module(modules[name]), name)
    return found
