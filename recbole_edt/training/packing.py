"""Optimizer and random generators as named tensors beside plain values, and back."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_edt.model import batch_share


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under names with a prefix."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, under the rest of their names."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[Any]]:
    """Split an optimizer's state into named tensors and plain parameter groups."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": torch.as_tensor(value)
        for index, entries in state["state"].items()
        for name, value in entries.items()
    }
    return tensors, state["param_groups"]


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[Any]
) -> None:
    """Load the state that `pack_optimizer` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def pack_rng(generator: torch.Generator | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of every random generator that training draws from.

    Of several processes these are the generators that they share; see `batch_share`.

    Parameters
    ----------
    generator : torch.Generator or None
        The data loader's, beside the global ones of torch, NumPy and Python.
    """
    shared = batch_share.rng_states()
    kind, keys, *rest = np.random.get_state(legacy=True)
    version, numbers, gauss = random.getstate()
    tensors = {
        "torch": shared.get("cpu", torch.get_rng_state()),
        "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "python": torch.tensor(numbers, dtype=torch.int64),
    }
    if generator is not None:
        tensors["loader"] = generator.get_state()
    if torch.cuda.is_available():
        for device, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"cuda{device}"] = shared.get("cuda", state)
    return tensors, {"numpy": [kind, *rest], "python": [version, gauss]}


def unpack_rng(
    tensors: Mapping[str, Tensor], values: Mapping[str, Any], generator: torch.Generator | None
) -> None:
    """Set every random generator to the state that `pack_rng` returned."""
    kind, *rest = values["numpy"]
    np.random.set_state((kind, tensors["numpy"].numpy().astype(np.uint32), *rest))
    version, gauss = values["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    torch.set_rng_state(tensors["torch"])
    if generator is not None:
        generator.set_state(tensors["loader"])
    if torch.cuda.is_available():
        states = [tensors[name] for name in sorted(tensors) if name.startswith("cuda")]
        for device, state in enumerate(states[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, device)
    batch_share.forget_generators()
