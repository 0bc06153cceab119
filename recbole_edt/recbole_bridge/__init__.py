"""The only code that imports RecBole: the shims it needs today, and the names that the rest uses.

A name is imported when it is first asked for, after the shims, so that importing this package
costs nothing.
"""

from typing import TYPE_CHECKING

from recbole_edt.lazy import lazy_names

if TYPE_CHECKING:
    from recbole.config import Config
    from recbole.data.dataset import Dataset, SequentialDataset
    from recbole.data.interaction import Interaction
    from recbole.model.abstract_recommender import SequentialRecommender
    from recbole.trainer import Trainer
    from recbole.utils import FeatureSource, FeatureType, InputType, ModelType, init_seed

    from recbole_edt.recbole_bridge.config import ConfigBase
    from recbole_edt.recbole_bridge.dataset import DatasetBase
    from recbole_edt.recbole_bridge.loading import training_loader

__all__ = [
    "Config", "ConfigBase", "Dataset", "DatasetBase", "FeatureSource", "FeatureType", "InputType",
    "Interaction", "ModelType", "SequentialDataset", "SequentialRecommender", "Trainer",
    "init_seed", "training_loader",
]  # fmt: skip

_MODULES = {
    "recbole.config": ("Config",),
    "recbole.data.dataset": ("Dataset", "SequentialDataset"),
    "recbole.data.interaction": ("Interaction",),
    "recbole.model.abstract_recommender": ("SequentialRecommender",),
    "recbole.trainer": ("Trainer",),
    "recbole.utils": ("FeatureSource", "FeatureType", "InputType", "ModelType", "init_seed"),
    ".config": ("ConfigBase",),
    ".dataset": ("DatasetBase",),
    ".loading": ("training_loader",),
}


def _prepare() -> None:
    from recbole_edt.recbole_bridge.shims import prepare_recbole  # imports torch

    prepare_recbole()


__getattr__, __dir__ = lazy_names(
    __name__,
    {name: module for module, names in _MODULES.items() for name in names},
    before=_prepare,
)
