"""Checkpoints as safe tensors and JSON: everything that a killed run needs to continue.

``checkpoint/state.json`` names the tensor file it belongs to. The tensors are written first
and the JSON is then replaced in one step, so that both always fit together; the older tensor
file is removed last.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor

from recbole_edt import distributed
from recbole_edt.errors import UserError
from recbole_edt.files import read_json, replacing, write_json
from recbole_edt.model import batch_share
from recbole_edt.recbole_bridge.model_state import load_other_tensors, other_tensors

_SCHEMA = 1
_MODEL, _OUTSIDE = "model/", "outside/"


class SavedState(NamedTuple):
    """Content of a checkpoint: tensors by name, and the plain values of ``state.json``."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    @property
    def phase(self) -> str:
        """The phase that it was written in."""
        return str(self.values["phase"])


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


def load_state(folder: Path) -> SavedState | None:
    """Read a run's checkpoint; None when there is none yet.

    Raises
    ------
    UserError
        When a file is damaged or of another version.
    """
    path = folder / "state.json"
    if not path.exists():
        return None
    info = read_json(path)
    if not isinstance(info, dict) or info.get("schema") != _SCHEMA or "tensors" not in info:
        raise UserError(f"{path}: not a checkpoint of this version (expected schema {_SCHEMA})")
    return SavedState(load_tensors(folder / Path(info["tensors"]).name), info)


def load_state_everywhere(folder: Path) -> SavedState | None:
    """Read a run's checkpoint in rank 0, and return it in every process; None without one."""
    if distributed.size() == 1:
        return load_state(folder)
    saved = load_state(folder) if distributed.is_main() else None
    values = distributed.from_main(lambda: saved.values if saved else None)
    if values is None:
        return None
    packed = save({k: v.contiguous() for k, v in saved.tensors.items()}) if saved else None
    return SavedState(load(distributed.bytes_from_main(packed)), values)


def refuse_other_data(folder: str | Path, recorded: Mapping[str, Any], dataset: Any) -> None:
    """Refuse a run that was trained on other rows or items: held-out ones may be among them.

    Parameters
    ----------
    folder : str or pathlib.Path
        The run's folder.
    recorded : mapping
        Hashes as the checkpoint or ``metrics.json`` records them; older ones lack some.
    dataset : CrossDomainDataset
        The dataset as it is now.

    Raises
    ------
    UserError
        Names what was found and expected.
    """
    what = {"split_hash": ("split", "interactions"), "items_hash": ("items", "items or domains")}
    for key, present in dataset.hashes().items():
        made_for = recorded.get(key, present)
        if made_for != present:
            name, changed = what[key]
            raise UserError(
                f"run: {folder} was trained on the {name} {made_for[:12]} of "
                f"{dataset.dataset_name}, which now has {present[:12]}: its {changed} have changed;"
                " train again"
            )


def _tensor_file(folder: Path) -> Path | None:
    path = folder / "state.json"
    return folder / Path(read_json(path)["tensors"]).name if path.exists() else None


def pack_model(model: Any) -> dict[str, Tensor]:
    """Return all tensors of a model by their names in a checkpoint."""
    return with_prefix(_MODEL, model.state_dict()) | with_prefix(_OUTSIDE, other_tensors(model))


def model_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the model's parameters and buffers among the tensors of a checkpoint."""
    return without_prefix(_MODEL, tensors)


def unpack_outside(model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Load the model's tensors outside its weights from the tensors of a checkpoint."""
    load_other_tensors(model, without_prefix(_OUTSIDE, tensors))


# ---------------------------------------------------------- named tensors beside plain values


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
