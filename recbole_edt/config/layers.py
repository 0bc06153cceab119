"""The layers of a run's configuration, merged and checked; needs neither RecBole nor torch loaded.

Later layers win: RecBole's defaults, ``properties/overall.yaml``, ``properties/model/M.yaml``,
``properties/recipe/R.yaml`` (models that have recipes), ``properties/dataset/D.yaml``,
``<data_path>/D/D.yaml``, the caller's files, the caller's keys.
"""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_edt.config.keys.evaluation import LIST_METRICS, METRICS, is_among, most_folds
from recbole_edt.config.models import ModelSpec, model_spec
from recbole_edt.config.rules import KeyRule, rule_of_default
from recbole_edt.config.schema import RULES, general_key
from recbole_edt.config.yaml_files import load_if_present, load_yaml
from recbole_edt.errors import UserError, nearest
from recbole_edt.paths import properties_dir
from recbole_edt.recbole_bridge.stock import KEYS_WITHOUT_DEFAULT, default_files

REPLACED = {
    "eval_args": "split, split_ratios, candidates and sampled_candidates",
    "checkpoint_dir": "output_dir",
    "benchmark_filename": "'recbole-edt prepare atomic' (NAME.train.inter, NAME.valid.inter, "
    "NAME.test.inter) or 'recbole-edt prepare csv --train=FILE --valid=FILE --test=FILE'",
    "rm_dup_inter": "--duplicates=first|last of 'recbole-edt prepare'",
    "val_interval": "--min_rating of 'recbole-edt prepare' for ratings; rows are filtered by "
    "other columns before it",
    **{
        f"{kind}_inter_num_interval": f"--min_{kind}_inter and --max_{kind}_inter of "
        "'recbole-edt prepare'"
        for kind in ("user", "item")
    },
    "filter_inter_by_user_or_item": "--min_user_inter and --min_item_inter of "
    "'recbole-edt prepare'",
    **dict.fromkeys(
        ("nproc", "ip", "port", "world_size", "group_offset", "local_rank"),
        "'torchrun --nproc-per-node=N -m recbole_edt run ...'",
    ),
    **dict.fromkeys(
        ("save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path"),
        "nothing: no pickle is written or read",
    ),
}
"""RecBole's keys that are refused here, and what to use instead."""

WITHOUT_EFFECT = {
    "preload_weight": "'recbole-edt artefacts --only embeddings --vectors=FILE' stores vectors of "
    "items",
    "additional_feat_suffix": "only .inter, .item and .user files are read; 'recbole-edt artefacts "
    "--only embeddings --vectors=NAME.SUFFIX' stores vectors of items",
    "device": "use_gpu and gpu_id choose the device",
}
"""Keys that RecBole accepts and nothing reads here; a value other than null is refused."""

FLAGS_OF_PREPARE = (
    "min_rating", "rating_col", "min_user_inter", "min_item_inter", "max_user_inter",
    "max_item_inter", "min_user_domains", "min_domain_inter", "require_title", "duplicates", "ties",
    "time_col", "time_format",
)  # fmt: skip
"""Flags that are often looked for among the keys of a run."""

_KEYS_OF_SPLITS = {
    "ratio": ("split_ratios", "split_order", "split_group", "split_seed"),
    "rolling": ("folds", "fold_share", "fold"),
}
SPLIT_KEYS = ("split", *(key for keys in _KEYS_OF_SPLITS.values() for key in keys))
"""Keys that say which rows are trained and tested on."""
_NAMES = ("model", "dataset")
_FOLDERS = ("data_path", "output_dir")
_UNCHECKED = {*_NAMES, "MODEL_TYPE", *REPLACED}


@dataclass(frozen=True)
class Resolved:
    """The keys of one run, checked.

    Attributes
    ----------
    spec : ModelSpec
        The model.
    dataset : str
        Name of the dataset.
    defaults : mapping
        All keys below the caller's files and keys.
    given : mapping
        The caller's.
    """

    spec: ModelSpec
    dataset: str
    defaults: Mapping[str, Any]
    given: Mapping[str, Any]

    @property
    def values(self) -> dict[str, Any]:
        """All keys."""
        return {**self.defaults, **self.given}


def read_given(
    model: str | None,
    dataset: str | None,
    config_files: Sequence[str],
    overrides: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Merge the caller's files and keys, not checked yet but for the names; see `resolve`.

    Returns
    -------
    keys : dict
        Keys with their values, ``model`` and ``dataset`` among them.
    source : dict
        ``FILE: `` of each key that a file gives.
    """
    keys: dict[str, Any] = {}
    source: dict[str, str] = {}
    for file in config_files:
        content = load_yaml(file)
        keys |= content
        source |= dict.fromkeys(content, f"{file}: ")
    keys |= overrides or {}
    for key in overrides or {}:
        source.pop(key, None)
    for key, name in zip(_NAMES, (model, dataset), strict=True):
        if name is not None:
            keys[key] = name
        if keys.get(key) is None:
            raise UserError(f"{key}: missing; expected --{key}=NAME")
        if not isinstance(keys[key], str):
            raise UserError(f"{key}: found {keys[key]!r}, expected a name")
    for key in _FOLDERS:
        if key in keys:
            keys[key] = _folder(key, keys[key], source.get(key, ""))
    if {*"/\\"} & {*keys["dataset"]} or keys["dataset"].startswith("."):
        raise UserError(f"dataset: found {keys['dataset']!r}, expected a plain name")
    return keys, source


def _folder(key: str, value: Any, source: str) -> str:
    """Return a folder as text: YAML reads ``output_dir: 20240601`` as a number."""
    text = "" if value is None else str(value)
    if not text.strip():
        raise UserError(f"{source}{key}: found nothing, expected a folder; '.' is the present one")
    # pandas reads "~" as the home folder where everything else takes it for a name
    return os.path.expanduser(text)


def resolve(
    model: str | None = None,
    dataset: str | None = None,
    config_files: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Resolved:
    """Merge all layers of a run and check every key.

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
    keys, given_by = read_given(model, dataset, config_files, overrides)
    spec, dataset, root = model_spec(keys["model"]), str(keys["dataset"]), properties_dir()
    layers = package_defaults(spec, dataset)
    of_dataset = load_if_present(root / "dataset" / f"{dataset}.yaml")
    data_path = {**layers, **of_dataset, **keys}["data_path"]
    own_file = Path(data_path) / dataset / f"{dataset}.yaml"
    of_own = load_if_present(own_file)
    source = {key: f"{own_file}: " for key in of_own if key not in keys} | given_by
    of_dataset |= of_own
    caller = {**of_dataset, **keys}
    if "recipe" in layers:
        layers |= recipe_layer({**layers, **caller}["recipe"], spec, caller)
    defaults = dict(layers)
    layers |= of_dataset
    values = {**layers, **keys}
    _check_values(values, defaults, spec, source)
    _check_smoothing(values, spec)
    _check_list_metrics(values)
    _check_split(values, defaults, spec)
    if "phases" in values:
        phases = check_phases(values["phases"], spec.phases, values.get("shared_run"))
        layers["phases"] = phases
        if "phases" in keys:  # --phases=shared is a list of one
            keys["phases"] = phases
    if "eval_args" in caller:
        raise UserError(f"eval_args: not used here; write {_of_eval_args(caller['eval_args'])}")
    for key, successor in REPLACED.items():
        if key in caller:
            raise UserError(f"{key}: not used here; its place is taken by {successor}")
    for key, reason in WITHOUT_EFFECT.items():
        if caller.get(key) is not None:
            raise UserError(f"{key}: without effect here; {reason}")
    if caller.get("repeatable") and not spec.sequential and values["candidates"] != "all":
        raise UserError(
            f"repeatable: found True, expected False with candidates: {values['candidates']}, "
            "which never ranks items of the history; candidates: all does"
        )
    if values["precision"] != "float32" and values.get("enable_amp"):
        raise UserError(
            f"enable_amp: found True, expected False with precision: {values['precision']}, which "
            "is mixed precision too"
        )
    if (
        spec.sequential
        and values.get("loss_type") == "CE"
        and "train_neg_sample_args" not in caller
    ):
        # RecBole stops here and asks for exactly this: cross-entropy takes no negatives
        layers["train_neg_sample_args"] = None
    return Resolved(spec, dataset, layers, keys)


def _check_values(
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    spec: ModelSpec,
    source: Mapping[str, str],
) -> None:
    """Check all values; the message starts with the file that a wrong one is from."""
    known = {*defaults, *KEYS_WITHOUT_DEFAULT, *spec.keys}
    for key, value in values.items():
        if key not in _UNCHECKED:
            try:
                check_value(key, value, known, defaults, spec)
            except UserError as error:
                raise UserError(f"{source.get(key, '')}{error}") from None


def _check_smoothing(values: Mapping[str, Any], spec: ModelSpec) -> None:
    """Refuse smoothed targets of a loss that has none: all but the full cross-entropy."""
    for key in ("target_smoothing", *(f"{phase}_target_smoothing" for phase in spec.phases)):
        found, loss = values.get(key), values.get("loss_type")
        if found and not spec.smooths_targets:
            raise UserError(
                f"{key}: found {found}, expected 0: {spec.name} has no cross-entropy over items "
                "whose targets can be smoothed"
            )
        if found and loss != "CE":
            raise UserError(
                f"{key}: found {found}, expected 0 with loss_type: {loss}; only CE, the "
                "cross-entropy over all candidates, takes smoothed targets"
            )


def _check_split(values: Mapping[str, Any], defaults: Mapping[str, Any], spec: ModelSpec) -> None:
    """Refuse keys of another split, and a random one where histories are read in time order."""
    found = values["split"]
    for kind, keys in _KEYS_OF_SPLITS.items():
        for key in keys if kind != found else ():
            if values[key] != defaults[key]:
                raise UserError(
                    f"{key}: without effect with split: {found}; expected split: {kind}"
                )
    if found == "rolling":
        _check_folds(values)
    if found == "ratio" and values["split_order"] == "random":
        if spec.sequential:
            raise UserError(
                f"split_order: found 'random', expected 'time': {spec.name} reads histories in the "
                "order of time, in which held-out rows would come before training rows"
            )
        if values["content_expert"]:
            raise UserError(
                "split_order: found 'random', expected 'time' with content_expert, which reads a "
                "user's last items"
            )


def _check_folds(values: Mapping[str, Any]) -> None:
    """Refuse more folds than leave rows to train on, and a fold that is none of them."""
    folds, share, fold = values["folds"], values["fold_share"], values["fold"]
    most = most_folds(share)
    if folds > most:
        raise UserError(
            f"folds: found {folds}, expected at most {most} with fold_share: {share}: one window "
            "more than folds is cut off the end, and rows have to be left to train on"
        )
    if fold is not None and fold > folds:
        raise UserError(f"fold: found {fold}, expected 1 to {folds}, as folds says")


def _check_list_metrics(values: Mapping[str, Any]) -> None:
    """Refuse metrics of lists that the rest of the protocol leaves without a meaning."""
    metrics, valid_metric = values["metrics"], str(values["valid_metric"])
    named = {str(m).lower() for m in (metrics if isinstance(metrics, list) else [metrics])}
    scope = values["candidates"]
    if scope != "all" and "calibration" in named:
        raise UserError(
            f"metrics: Calibration needs lists over all domains; expected candidates: all, found "
            f"candidates: {scope}"
        )
    if values["content_expert"] and is_among(valid_metric, LIST_METRICS):
        raise UserError(
            f"valid_metric: found {valid_metric!r}, but content_expert chooses its weights by the "
            f"targets' ranks; expected one of {list(METRICS)}"
        )


def _of_eval_args(given: Any) -> str:
    """Return the keys of ours that say what RecBole's ``eval_args`` says."""
    given = given if isinstance(given, Mapping) else {}
    split = given.get("split")
    mode, shares = next(iter(split.items()), ("", None)) if isinstance(split, Mapping) else ("", 0)
    order = "random" if given.get("order") == "RO" else "time"
    group = "none" if str(given.get("group_by", "user")).lower() == "none" else "user"
    drawn = re.search(r"(?:uni|pop)(\d+)", str(given.get("mode", "")))
    text = {
        "RS": f"split: ratio, split_ratios: {shares}, split_order: {order}, split_group: {group}",
        "LS": "split: leave_one_out",
        "TS": "split: time",
    }.get(mode, "split: leave_one_out, time or ratio")
    return f"{text}, candidates: all" + (f", sampled_candidates: {drawn[1]}" if drawn else "")


def package_defaults(spec: ModelSpec, dataset: str) -> dict[str, Any]:
    """Return RecBole's defaults and this package's for a model, without recipe and dataset."""
    layers: dict[str, Any] = {}
    for path in default_files(spec.name, spec.sequential, dataset):
        layers |= load_yaml(path)
    layers |= load_if_present(properties_dir() / "overall.yaml")
    layers |= spec.defaults
    layers |= dict.fromkeys(spec.phase_keys)
    layers |= load_if_present(spec.defaults_file)
    return layers


def recipe_layer(name: Any, spec: ModelSpec, caller: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a recipe.

    A general key of the caller's wins over those of single phases: ``--epochs=3`` is meant for a
    phase that the recipe gives 200 as well. A recipe that names another one under ``recipe`` is
    that one with differences.
    """
    folder = properties_dir() / "recipe"
    recipes = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in recipes:
        hint = nearest(str(name), recipes)
        raise UserError(f"recipe: {name!r} is unknown; expected one of {recipes}{hint}")
    recipe = load_yaml(folder / f"{name}.yaml")
    if "recipe" in recipe:
        recipe = recipe_layer(recipe.pop("recipe"), spec, caller) | recipe
    for key in recipe:
        general = general_key(key, spec.phases)
        if general != key and general in caller:
            recipe[key] = None
    return recipe


def check_value(
    key: str,
    value: Any,
    known: Collection[str],
    defaults: Mapping[str, Any],
    spec: ModelSpec,
) -> None:
    """Refuse an unknown key, or a value that breaks the key's rule.

    Parameters
    ----------
    key, value : str, any
        What a file or flag gives.
    known : collection of str
        All keys that the model, its data or its training read.
    defaults : mapping
        Their defaults, as far as they have one.
    spec : ModelSpec
        The model.

    Raises
    ------
    UserError
        Names the key, what was found and what was expected.
    """
    if key not in known:
        if key in FLAGS_OF_PREPARE:
            raise UserError(f"{key}: no such key; it is a flag of 'recbole-edt prepare'")
        raise UserError(f"{key}: no such key{nearest(key, known)}")
    rule_of(key, defaults, spec).check(key, value)
    spec.check_choice(key, value)


def rule_of(key: str, defaults: Mapping[str, Any], spec: ModelSpec) -> KeyRule:
    """Return the rule of a key for one model.

    A model of RecBole may use a name for something else than this package: then its default, which
    breaks the rule, decides what other values may be.
    """
    general = general_key(key, spec.phases)
    if general != key:
        return RULES[general].or_none()
    rule = spec.keys.get(key) or RULES.get(key)
    if rule is None or (key in defaults and not rule.accepts(defaults[key])):
        return rule_of_default(defaults.get(key))
    return rule


def check_phases(chosen: Any, declared: Sequence[str], shared_run: Any) -> list[str]:
    """Return the phases that are trained as a list; they start with the first declared one.

    Raises
    ------
    UserError
        Names the key, what was found and what was expected.
    """
    found = list(chosen) if isinstance(chosen, (list, tuple)) else [chosen]
    possible = [list(declared[:n]) for n in range(1, len(declared) + 1)]
    if found not in possible:
        expected = " or ".join(map(str, possible))
        raise UserError(f"phases: found {found}, expected {expected}")
    if shared_run and len(found) == 1:
        raise UserError(f"shared_run: phases is {found}; expected a phase after the shared one")
    return found
