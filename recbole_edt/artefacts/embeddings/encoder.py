"""Text encoders: finding one on disk, in a Python package or on the hub, and running it."""

import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_edt.errors import UserError
from recbole_edt.files import digest, sha256_of
from recbole_edt.requirements import version_of_module

_PACKAGE = "pypi:"
_HUB_FILES = (".json", ".txt", ".model", ".jinja", ".safetensors")
_HUB_SECONDS = 10


@dataclass(frozen=True)
class ModelFolder:
    """A model on disk.

    Attributes
    ----------
    path : pathlib.Path
        Folder with ``config.json``, the tokenizer's files and weights as safetensors.
    revision : str or None
        Commit on the hub or version of the Python package; None for a local folder.
    """

    path: Path
    revision: str | None


def locate(name: str, revision: str | None) -> ModelFolder:
    """Find a model by its configured name, downloading it from the hub when it must.

    Parameters
    ----------
    name : str
        ``pypi:MODULE`` for a model shipped inside an installed Python package, the path of a
        folder, or a name on the Hugging Face hub.
    revision : str or None
        Wanted branch, tag or commit on the hub, or version of the package.

    Raises
    ------
    UserError
        When there is no such model, or not in this revision, or it has no safetensors.
    """
    if name.startswith(_PACKAGE):
        return _in_package(name.removeprefix(_PACKAGE), revision)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UserError(f"encoder_revision: {revision!r}: the folder {name} has no revisions")
        if not _is_model(folder):
            raise UserError(f"encoder: {name} lacks config.json or weights as *.safetensors")
        return ModelFolder(folder, None)
    if name.startswith((".", "~", os.sep)) or name.count("/") > 1:
        raise UserError(f"encoder: {name}: no such folder")
    return _on_hub(name, revision)


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def _in_package(module: str, revision: str | None) -> ModelFolder:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"encoder: the package {module!r} is not installed; "
            f"try 'pip install --no-deps {module.replace('_', '-')}'"
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    folders = [path.parent for path in sorted(root.rglob("config.json")) if _is_model(path.parent)]
    if len(folders) != 1:
        raise UserError(
            f"encoder: the package {module!r} holds {len(folders)} models "
            "(config.json beside *.safetensors), expected one"
        )
    version = version_of_module(module)
    if revision not in (None, version):
        raise UserError(f"encoder_revision: {revision!r}, but {module} {version} is installed")
    return ModelFolder(folders[0], version)


def _on_hub(name: str, revision: str | None) -> ModelFolder:
    # Here and below imported late: 'doctor' asks where a model is and never loads one.
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # The cache first: what is there must work without a network, and without its timeouts.
        cached = Path(snapshot_download(name, revision=revision, local_files_only=True))
        if _is_model(cached):
            return ModelFolder(cached, cached.name)
    except LocalEntryNotFoundError:
        pass
    except HFValidationError:
        raise UserError(f"encoder: {name!r} is neither a folder nor a name on the hub") from None
    try:
        info = HfApi().model_info(name, revision=revision, timeout=_HUB_SECONDS)
        files = [file.rfilename for file in info.siblings or []]
        wanted = [file for file in files if "/" not in file and file.endswith(_HUB_FILES)]
        folder = Path(snapshot_download(name, revision=info.sha, allow_patterns=wanted))
    # The hub's client lets the errors of its HTTP library through, and that library has changed.
    except Exception as error:
        raise UserError(
            f"encoder: {name!r} is not in the local cache and could not be fetched "
            f"({_one_line(error)})"
        ) from error
    if not _is_model(folder):
        raise UserError(f"encoder: {name!r} offers no weights as *.safetensors")
    return ModelFolder(folder, folder.name)


class Encoder:
    """A transformer with mean pooling over its tokens and L2 normalisation.

    Attributes
    ----------
    dim : int
        Length m of its vectors.
    max_length : int
        Tokens after which a text is cut.
    folder : ModelFolder
        Where it came from.
    """

    def __init__(self, folder: ModelFolder, max_length: int):
        from transformers import AutoModel, AutoTokenizer

        self.folder = folder
        self.max_length = max_length
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            with _quiet():
                self._tokenizer = AutoTokenizer.from_pretrained(
                    folder.path, trust_remote_code=False, local_files_only=True
                )
                model, report = AutoModel.from_pretrained(
                    folder.path,
                    trust_remote_code=False,
                    local_files_only=True,
                    use_safetensors=True,
                    output_loading_info=True,
                )
        # Whatever is wrong with the files of a model comes as any exception at all from here.
        except Exception as error:
            raise UserError(
                f"encoder: the model in {folder.path} cannot be loaded "
                f"({type(error).__name__}: {_one_line(error)})"
            ) from error
        # transformers fills missing weights with random numbers; only the pooler goes unused here.
        missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
        if missing:
            raise UserError(
                f"encoder: the weights in {folder.path} lack {len(missing)} tensors, "
                f"the first is {missing[0]!r}"
            )
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        longest = min(
            self._tokenizer.model_max_length,
            getattr(model.config, "max_position_embeddings", None) or max_length,
        )
        if max_length > longest:
            raise UserError(
                f"encoder_max_length: {max_length}, but {folder.path} takes {longest} at most"
            )
        self._model = model.float().eval().to(self.device)
        try:
            self.dim = self.encode(["probe"]).shape[1]
        except Exception as error:
            raise UserError(
                f"encoder: the model in {folder.path} does not turn a text into token states "
                f"({type(error).__name__}: {_one_line(error)})"
            ) from error

    @cached_property
    def weights_sha256(self) -> str:
        """One hash over all weight files."""
        files = sorted(self.folder.path.glob("*.safetensors"))
        return digest({file.name: sha256_of(file) for file in files})

    def declared_pooling(self) -> str | None:
        """Return the pooling that the model's own files ask for, None where they are silent."""
        try:
            text = (self.folder.path / "1_Pooling" / "config.json").read_text(encoding="utf-8")
            modes: dict[str, Any] = json.loads(text)
        except (OSError, ValueError):
            return None
        on = [key.removeprefix("pooling_mode_") for key, value in modes.items() if value is True]
        return ",".join(mode.removesuffix("_tokens").removesuffix("_token") for mode in on) or None

    def count_tokens(self, texts: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return the number of tokens of each text before any cut, int64 [len(texts)]."""
        if not len(texts):
            return np.zeros(0, dtype=np.int64)
        ids = self._tokenizer(list(texts), return_attention_mask=False, verbose=False)["input_ids"]
        return np.fromiter(map(len, ids), dtype=np.int64, count=len(texts))

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of a batch of texts, float32 [len(texts), dim]."""
        batch = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        ).to(self.device)
        hidden = self._model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(mean, dim=1).cpu().numpy()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' own notes and bars off the terminal; failures are told as errors."""
    from huggingface_hub import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    level, bar = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    hub_level = hub_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)
        if bar:
            transformers_logging.enable_progress_bar()
