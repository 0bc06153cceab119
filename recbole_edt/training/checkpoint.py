"""Checkpoints as safe tensors and JSON: everything that a killed run needs to go on.

``checkpoint/state.json`` names the tensor file it belongs to. The tensors are written first
and the JSON is then replaced in one step, so that both always fit together; the older tensor
file is removed last.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recbole_edt.errors import UserError
from recbole_edt.files import read_json, replacing, write_json

_SCHEMA = 1
_OUTSIDE = "outside/"
CACHES = ("restore_user_e", "restore_item_e", "i_embedding")
"""What RecBole's graph models and DMF compute from their weights when it is None, and then keep."""


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write named tensors to a safetensors file, whole or not at all."""
    with replacing(path) as temporary:
        # cloned, because safetensors refuses tensors that share memory, as tied weights do
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, temporary)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises
    ------
    UserError
        When the file is missing, truncated or of another format.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: damaged checkpoint ({error})") from None


def save_state(folder: Path, name: str, tensors: dict[str, Tensor], info: dict[str, Any]) -> None:
    """Write one checkpoint (tensors and JSON) and remove the one it replaces."""
    previous = _tensor_file(folder)
    path = folder / f"{name}.safetensors"
    save_tensors(path, tensors)
    write_json(folder / "state.json", {"schema": _SCHEMA, "tensors": path.name, **info})
    if previous is not None and previous != path:
        previous.unlink(missing_ok=True)


def has_state(folder: Path) -> bool:
    """Return whether a run's ``checkpoint`` folder holds a checkpoint."""
    return (folder / "state.json").is_file()


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and JSON of a run's checkpoint, None when there is none yet."""
    path = folder / "state.json"
    if not path.exists():
        return None
    info = read_json(path)
    if not isinstance(info, dict) or info.get("schema") != _SCHEMA or "tensors" not in info:
        raise UserError(f"{path}: not a checkpoint of this version (expected schema {_SCHEMA})")
    return load_tensors(folder / Path(info["tensors"]).name), info


def refuse_other_data(folder: str | Path, told: Mapping[str, Any], dataset: Any) -> None:
    """Refuse a run that was trained on other rows or items: held-out ones may be among them.

    Parameters
    ----------
    folder : str or pathlib.Path
        The run's folder.
    told : mapping
        Hashes as the checkpoint or ``metrics.json`` tells them; older ones lack some.
    dataset : CrossDomainDataset
        The dataset as it is now.

    Raises
    ------
    UserError
        Names what was found and expected.
    """
    what = {"split_hash": ("split", "interactions"), "items_hash": ("items", "items or domains")}
    for key, found in dataset.hashes().items():
        made_for = told.get(key, found)
        if made_for != found:
            name, changed = what[key]
            raise UserError(
                f"run: {folder} was trained on the {name} {made_for[:12]} of "
                f"{dataset.dataset_name}, which now has {found[:12]}: its {changed} have changed; "
                "train again"
            )


def _tensor_file(folder: Path) -> Path | None:
    path = folder / "state.json"
    return folder / Path(read_json(path)["tensors"]).name if path.exists() else None


def pack_outside(model: Any) -> dict[str, Tensor]:
    """Return the tensors of a RecBole model that are neither parameters nor buffers.

    Its Pop counts items in one. What is no tensor is built from the training rows each time.
    """
    names = set(getattr(model, "other_parameter_name", None) or ()) - set(CACHES)
    found = {name: getattr(model, name, None) for name in sorted(names)}
    return {f"{_OUTSIDE}{k}": v for k, v in found.items() if isinstance(v, Tensor)}


def unpack_outside(model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Give a model what `pack_outside` took, among the tensors of a checkpoint."""
    for key, value in tensors.items():
        name = key.removeprefix(_OUTSIDE)
        if name != key and name in (getattr(model, "other_parameter_name", None) or ()):
            setattr(model, name, value.to(model.device))


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
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], groups: list[Any]
) -> None:
    """Give an optimizer the state that `pack_optimizer` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def pack_rng(generator: torch.Generator | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Take the state of every random generator that training draws from."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    version, numbers, gauss = random.getstate()
    tensors = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "python": torch.tensor(numbers, dtype=torch.int64),
    }
    if generator is not None:
        tensors["loader"] = generator.get_state()
    if torch.cuda.is_available():
        for device, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"cuda{device}"] = state
    return tensors, {"numpy": [kind, *rest], "python": [version, gauss]}


def unpack_rng(
    tensors: dict[str, Tensor], info: dict[str, Any], generator: torch.Generator | None
) -> None:
    """Put every random generator back to where `pack_rng` found it."""
    kind, *rest = info["numpy"]
    np.random.set_state((kind, tensors["numpy"].numpy().astype(np.uint32), *rest))
    version, gauss = info["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    torch.set_rng_state(tensors["torch"])
    if generator is not None:
        generator.set_state(tensors["loader"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all([tensors[k] for k in sorted(tensors) if k.startswith("cuda")])
