"""RecBole's own models and trainers by name, and what configures them.

What is read from files needs RecBole installed, not imported.
"""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recbole_edt.requirements import check_recbole

FAMILIES = ("general_recommender", "sequential_recommender")
OTHER_FAMILIES = ("context_aware_recommender", "knowledge_aware_recommender", "exlib_recommender")

# Keys that RecBole's data, training and evaluation code reads although no YAML file of its own
# lists them; without them a legitimate setting would count as a misspelling.
KEYS_WITHOUT_DEFAULT = frozenset({
    "encoding", "ft_ratio", "mask_ratio", "double_tower", "embedding_size", "MODEL_TYPE",
    "device",
})  # fmt: skip
# The same, of single models; the capitals are names of fields that its transforms add.
KEYS_OF_MODELS = {
    "BERT4Rec": ("MASK_INDEX", "MASK_ITEM_SEQ", "NEG_ITEMS", "POS_ITEMS"),
    "DiffRec": ("norm",),
    "HRM": ("reg_weight",),
    "LDiffRec": ("norm",),
    "SHAN": ("INVERSE_ITEM_SEQ",),
}
_SPECIAL_SEQUENTIAL = {
    **dict.fromkeys(("DIN", "DIEN"), ("sequential_DIN", "sequential_DIN_on_ml-100k")),
    **dict.fromkeys(("GRU4RecKG", "KSR"), ("sequential_embedding_model", "")),
    **dict.fromkeys(
        ("GRU4RecF", "SASRecF", "FDSA", "S3Rec"),
        ("sequential", "special_sequential_on_ml-100k"),
    ),
}


def recbole_dir() -> Path:
    """Return the folder of the installed RecBole, without importing it.

    Raises
    ------
    UserError
        When RecBole is missing or of another version.
    """
    check_recbole()
    return Path(str(find_spec("recbole").origin)).parent  # type: ignore[union-attr]


def default_files(name: str, sequential: bool, dataset: str) -> list[Path]:
    """Return RecBole's YAML files of a model and dataset in the order in which it reads them."""
    files = ["overall", f"model/{name}", "dataset/sample", f"dataset/{dataset}"]
    if sequential:
        general, of_ml_100k = _SPECIAL_SEQUENTIAL.get(name, ("sequential", ""))
        files.append(f"quick_start_config/{general}")
        if dataset == "ml-100k" and of_ml_100k:
            files.append(f"quick_start_config/{of_ml_100k}")
    paths = (recbole_dir() / "properties" / f"{file}.yaml" for file in files)
    return [path for path in paths if path.is_file()]


@cache
def stock_models(families: tuple[str, ...] = FAMILIES) -> dict[str, str]:
    """Return the module of each RecBole model of some families by class name; none is imported."""
    modules = {}
    for family in families:
        # the sources are read, not imported: some need libraries that are not there
        folder = recbole_dir() / "model" / family
        for path in sorted(folder.glob("*.py")):
            source = path.read_text(encoding="utf-8")
            for line in source.splitlines():
                name = line[6:].split("(")[0].strip() if line.startswith("class ") else ""
                if name.lower() == path.stem:
                    modules[name] = f"recbole.model.{family}.{path.stem}"
    return modules


def import_model(module: str, name: str) -> type:
    """Return a model class that is RecBole's own or may be derived from one of RecBole's."""
    from recbole_edt.recbole_bridge.shims import anomaly_detection_kept, prepare_recbole

    prepare_recbole()
    with anomaly_detection_kept():
        model_class: type = getattr(import_module(module), name)
    return model_class


def is_stock(model_class: type) -> bool:
    """Return whether a model class is RecBole's own."""
    return model_class.__module__.startswith("recbole.model")


def needs_own_dataset(name: str) -> bool:
    """Return whether RecBole has a dataset class for one model alone."""
    source = (recbole_dir() / "data" / "dataset" / "customized_dataset.py").read_text(
        encoding="utf-8"
    )
    return f"class {name}Dataset(" in source


def stock_trainer(model_type: Any, name: str) -> Any:
    """Return the trainer class that RecBole has for a model."""
    from recbole_edt.recbole_bridge.shims import prepare_recbole

    prepare_recbole()
    special = import_module("recbole.trainer.trainer").__dict__.get(f"{name}Trainer")
    return special or import_module("recbole.utils").get_trainer(model_type, name)
