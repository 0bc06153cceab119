"""State of RecBole's models outside their parameters and buffers (``other_parameter_name``)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

_CACHES = ("restore_user_e", "restore_item_e", "i_embedding")
"""What graph models and DMF compute from their weights when it is None, and then keep."""


def has_other_state(model: Any) -> bool:
    """Return whether a model keeps state outside its parameters and buffers."""
    return bool(model.other_parameter())


def other_tensors(model: Any) -> dict[str, Tensor]:
    """Return the tensors of a model that are neither parameters, buffers nor caches.

    Pop counts items in one. State that is no tensor is built from the training rows each time.
    """
    return {
        name: value
        for name, value in model.other_parameter().items()
        if name not in _CACHES and isinstance(value, Tensor)
    }


def load_other_tensors(model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Load what `other_tensors` returned; names that the model does not declare are skipped."""
    known = {name: tensors[name] for name in model.other_parameter() if name in tensors}
    model.load_other_parameter({name: value.to(model.device) for name, value in known.items()})


def load_weights(model: Any, weights: Mapping[str, Tensor]) -> None:
    """Load parameters and buffers, and clear what the model has computed from earlier ones."""
    model.load_state_dict(weights)
    model.load_other_parameter({n: None for n in model.other_parameter() if n in _CACHES})
