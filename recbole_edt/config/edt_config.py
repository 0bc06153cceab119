"""RecBole's configuration, extended by this package's YAML files and by checks.

Later layers win: RecBole's defaults, ``properties/overall.yaml``, ``properties/model/M.yaml``,
``properties/recipe/R.yaml`` (models that have recipes), ``properties/dataset/D.yaml``,
``<data_path>/D/D.yaml``, the caller's files, the caller's keys.
"""

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from recbole_edt.config.schema import PHASE_PREFIX, check_phases, check_value
from recbole_edt.errors import UserError, nearest
from recbole_edt.evaluation.report import check_group_edges, check_metrics
from recbole_edt.model.protocols import declared_keys
from recbole_edt.model.registry import defaults_file, get_model
from recbole_edt.paths import properties_dir
from recbole_edt.recbole_bridge import Config, ModelType
from recbole_edt.recbole_bridge.shims import KEYS_WITHOUT_DEFAULT

_REPLACED = {
    "eval_args": "split, candidates and sampled_candidates",
    "checkpoint_dir": "output_dir",
    "benchmark_filename": "split",
    **dict.fromkeys(
        (
            "rm_dup_inter",
            "val_interval",
            "user_inter_num_interval",
            "item_inter_num_interval",
            "filter_inter_by_user_or_item",
        ),
        "the filters of 'recbole-edt prepare'",
    ),
    **dict.fromkeys(
        ("save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path"),
        "nothing: no pickle is written or read",
    ),
}
# Written by RecBole or by us while a run is set up; no part of what the user configures.
_DERIVED = {
    "MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "device", "single_spec", "local_rank",
    "valid_metric_bigger", "valid_neg_sample_args", "test_neg_sample_args", "run_dir",
    "checkpoint_dir", "config_files",
}  # fmt: skip


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-3 as a number, as RecBole's loader does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*)(?:\.\d*)?[eE][-+]?\d+$|^[-+]?\d+\.\d*$|^[-+]?\.\d+$"),
    list("-+0123456789."),
)
# A revision such as 2024-05-13 stays text; SafeLoader would make a date of it.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def parse_value(text: str) -> Any:
    """Read the value of a ``--key=value`` flag as YAML.

    ``None`` means null, as in RecBole. Braces without a colon are text, such as ``{title}``, which
    YAML would take for a mapping.
    """
    if text.startswith("{") and ":" not in text:
        return text
    try:
        return None if text == "None" else yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises
    ------
    UserError
        When the file is missing, is not YAML or does not hold a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = yaml.load(text, _Loader)
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: no such configuration file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({_in_one_line(error)})") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {type(content).__name__}, expected lines 'key: value'")
    for key in content:
        if not isinstance(key, str):
            raise UserError(f"{path}: found the key {key!r}, expected a name")
    return content


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()).replace('in "<unicode string>", ', "")


class EDTConfig(Config):
    """Configuration of one run.

    Parameters
    ----------
    model, dataset : str, optional
        Names; otherwise taken from the files or keys.
    config_files : sequence of str
        YAML files of the caller, the last one wins.
    overrides : mapping
        Keys of the caller (the command line's ``--key=value``), above all files.

    Raises
    ------
    UserError
        An unknown model, key or value, a key that this package replaces, a malformed file.
    """

    def __init__(
        self,
        model: str | None = None,
        dataset: str | None = None,
        config_files: Sequence[str] = (),
        overrides: Mapping[str, Any] | None = None,
    ):
        external: dict[str, Any] = {}
        self._file_of: dict[str, str] = {}
        for file in config_files:
            content = load_yaml(file)
            external.update(content)
            self._file_of |= dict.fromkeys(content, f"{file}: ")
        external.update(overrides or {})
        for key in overrides or {}:
            self._file_of.pop(key, None)
        for key, name in (("model", model), ("dataset", dataset)):
            if name is not None:
                external[key] = name
            if external.get(key) is None:
                raise UserError(f"{key}: missing; expected --{key}=NAME")
            if not isinstance(external[key], str):
                raise UserError(f"{key}: found {external[key]!r}, expected a name")
        for key in ("data_path", "output_dir"):  # --output_dir=20240601 is read as a number
            if key in external:
                external[key] = str(external[key])
        if "/" in external["dataset"] or external["dataset"].startswith("."):
            raise UserError(f"dataset: found {external['dataset']!r}, expected a plain name")
        model_class = get_model(external["model"])
        argv, sys.argv = sys.argv, sys.argv[:1]  # RecBole parses sys.argv inside Config
        try:
            super().__init__(model_class, external["dataset"], config_dict=external)
        except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
            raise UserError(f"configuration: {error}") from None
        finally:
            sys.argv = argv
        if "MODEL_INPUT_TYPE" not in self.final_config_dict:
            found, known = self.final_config_dict["loss_type"], ("CE", "BPR")
            raise UserError(
                f"loss_type: found {found!r}, expected one of {list(known)}"
                f"{nearest(str(found), known)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the complete configuration as plain values, ready to be fed back as a file."""
        plain = {
            k: v for k, v in self.final_config_dict.items() if k not in _DERIVED | {*_REPLACED}
        }
        plain["data_path"] = str(self.data_root)
        if plain["train_neg_sample_args"].get("distribution") == "none":
            plain["train_neg_sample_args"] = None
        return {k: v.value if isinstance(v, Enum) else v for k, v in sorted(plain.items())}

    @property
    def dataset_dir(self) -> Path:
        """The folder that holds the dataset's files."""
        return self.data_root / self.final_config_dict["dataset"]

    @property
    def data_root(self) -> Path:
        """The folder that holds the folders of all datasets."""
        return Path(self.external_or_internal("data_path"))

    def external_or_internal(self, key: str) -> Any:
        """Return a key as the user set it, before RecBole rewrites it."""
        return self.external_config_dict.get(key, self.internal_config_dict.get(key))

    def _build_yaml_loader(self) -> type:
        return _Loader

    def _convert_config_dict(self, config_dict: dict[str, Any]) -> dict[str, Any]:
        return config_dict  # RecBole would eval() every string

    def _load_internal_config_dict(self, model: str, model_class: type, dataset: str) -> None:
        known_dataset_keys = list(self.parameters["Dataset"])
        super()._load_internal_config_dict(model, model_class, dataset)
        self.parameters["Dataset"][:] = known_dataset_keys  # a global list that RecBole extends
        root = properties_dir()
        layers = self.internal_config_dict
        layers.update(_load_if_there(root / "overall.yaml"))
        layers.update(_load_if_there(defaults_file(model_class)))
        of_dataset = _load_if_there(root / "dataset" / f"{dataset}.yaml")
        given = {**layers, **of_dataset, **self.external_config_dict}
        own = Path(given["data_path"]) / dataset / f"{dataset}.yaml"
        of_own = _load_if_there(own)
        self._file_of |= {k: f"{own}: " for k in of_own if k not in self.external_config_dict}
        of_dataset |= of_own
        if "recipe" in layers:
            caller = {**of_dataset, **self.external_config_dict}
            recipe = _load_recipe(root / "recipe", {**layers, **caller}["recipe"])
            for key in recipe:  # --epochs=3 is meant for a phase that the recipe gives 200
                general = PHASE_PREFIX.sub("", key)
                if general != key and general in caller:
                    recipe[key] = None
            layers.update(recipe)
        known = {*self.internal_config_dict, *KEYS_WITHOUT_DEFAULT, *_read_by(model_class)}
        defaults = dict(self.internal_config_dict)
        layers.update(of_dataset)
        given = {**layers, **self.external_config_dict}
        for key, value in given.items():
            if key not in {"model", "dataset", "MODEL_TYPE", *_REPLACED}:
                try:
                    check_value(key, value, known, defaults)
                except UserError as error:
                    raise UserError(f"{self._file_of.get(key, '')}{error}") from None
        check_metrics(given["metrics"], given["topk"], given["valid_metric"])
        check_group_edges(given["group_edges"] or {})
        if "phases" in given:
            phases = check_phases(given["phases"], given.get("shared_run"))
            layers["phases"] = phases
            if "phases" in self.external_config_dict:  # --phases=shared is a list of one
                self.external_config_dict["phases"] = phases
        for key in _REPLACED:
            if key in of_dataset or key in self.external_config_dict:
                raise UserError(f"{key}: not used here; its place is taken by {_REPLACED[key]}")
        if (
            layers["MODEL_TYPE"] == ModelType.SEQUENTIAL
            and given.get("loss_type") == "CE"
            and "train_neg_sample_args" not in {*of_dataset, *self.external_config_dict}
        ):
            # RecBole stops here and asks for exactly this: cross-entropy takes no negatives
            layers["train_neg_sample_args"] = None


def _load_if_there(path: Path) -> dict[str, Any]:
    return load_yaml(path) if path.is_file() else {}


def _load_recipe(folder: Path, name: Any) -> dict[str, Any]:
    recipes = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in recipes:
        hint = nearest(str(name), recipes)
        raise UserError(f"recipe: {name!r} is unknown; expected one of {recipes}{hint}")
    return load_yaml(folder / f"{name}.yaml")


def _read_by(model_class: type) -> set[str]:
    """Return the keys that a model's source reads; some have no line in RecBole's YAML files."""
    keys = set(declared_keys(model_class))
    for base in model_class.__mro__:
        if not base.__module__.startswith(("torch", "builtins", "abc", "typing")):
            source = inspect.getsource(inspect.getmodule(base))  # type: ignore[arg-type]
            keys.update(re.findall(r"config\[[\"'](\w+)[\"']\]", source))
    return keys
