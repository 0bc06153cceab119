"""RecBole's own models and trainers by name."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recbole_edt.recbole_bridge.shims import anomaly_detection_kept, prepare_recbole
from recbole_edt.requirements import check_requirements

FAMILIES = ("general_recommender", "sequential_recommender")
OTHER_FAMILIES = ("context_aware_recommender", "knowledge_aware_recommender", "exlib_recommender")


@cache
def stock_models(families: tuple[str, ...] = FAMILIES) -> dict[str, str]:
    """Return the module of each RecBole model of some families by class name; none is imported.

    Raises
    ------
    UserError
        When RecBole is not installed.
    """
    check_requirements()
    root = Path(str(find_spec("recbole").origin)).parent  # type: ignore[union-attr]
    modules = {}
    for family in families:
        # the sources are read, not imported: some need libraries that are not there
        for path in sorted((root / "model" / family).glob("*.py")):
            source = path.read_text(encoding="utf-8")
            for line in source.splitlines():
                name = line[6:].split("(")[0].strip() if line.startswith("class ") else ""
                if name.lower() == path.stem:
                    modules[name] = f"recbole.model.{family}.{path.stem}"
    return modules


def stock_model(name: str) -> type:
    """Return one of the classes that `stock_models` lists."""
    prepare_recbole()
    with anomaly_detection_kept():
        model_class: type = getattr(import_module(stock_models()[name]), name)
    return model_class


def is_stock(model_class: type) -> bool:
    """Return whether a model class is RecBole's own."""
    return model_class.__module__.startswith("recbole.model")


def needs_own_dataset(name: str) -> bool:
    """Return whether RecBole has a dataset class for one model alone."""
    prepare_recbole()
    return hasattr(import_module("recbole.data.dataset"), f"{name}Dataset")


def stock_trainer(model_type: Any, name: str) -> Any:
    """Return the trainer class that RecBole has for a model."""
    prepare_recbole()
    special = import_module("recbole.trainer.trainer").__dict__.get(f"{name}Trainer")
    return special or import_module("recbole.utils").get_trainer(model_type, name)
