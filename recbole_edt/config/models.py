"""Which keys each model reads, declared without importing a model."""

import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from recbole_edt.config.rules import KeyRule, rule_of_default
from recbole_edt.config.schema import DOMAIN, PER_PHASE, RULES, SHARED
from recbole_edt.errors import UserError, nearest
from recbole_edt.paths import properties_dir
from recbole_edt.plugins import MODELS, describe, load_entry, registered
from recbole_edt.recbole_bridge.stock import (
    KEYS_OF_MODELS,
    OTHER_FAMILIES,
    import_model,
    needs_own_dataset,
    stock_models,
)

_UNFIT = {
    "FEARec": "reads padded histories of all rows at once, which are never kept here",
    **dict.fromkeys(
        ("GRU4RecCPR", "SASRecCPR"), "asks for the target when it ranks, which no model gets here"
    ),
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSpec:
    """The configuration keys of one model.

    Attributes
    ----------
    name : str
        Name of the class, and of ``properties/model/NAME.yaml``.
    keys : mapping of str to KeyRule
        Keys that the model reads beside those of every run.
    phases : tuple of str
        Names of its training phases in order; empty for a model with a single one. Each phase may
        have its own value of the keys in `PER_PHASE`.
    sequential : bool
        Whether it is a sequential recommender to RecBole (a general one otherwise).
    choices : mapping
        Narrower choices of some keys than the rule's.
    smooths_targets : bool
        Whether ``target_smoothing`` applies to its cross-entropy.
    module : str
        Module of the class, for a model of this package.
    model_class : type, optional
        The class, for a model of another package; others are not imported for their keys.
    """

    name: str
    keys: Mapping[str, KeyRule] = field(default_factory=dict)
    phases: tuple[str, ...] = ()
    sequential: bool = True
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    smooths_targets: bool = False
    module: str = ""
    model_class: type | None = None

    def load(self) -> type:
        """Return the model class."""
        if self.model_class is not None:
            return self.model_class
        return import_model(self.module or stock_models()[self.name], self.name)

    @property
    def defaults_file(self) -> Path:
        """Where the model's YAML defaults are, whether there is such a file or not.

        This package's are ``properties/model/NAME.yaml``; another package's ``NAME.yaml`` is next
        to the module of the class.
        """
        if self.model_class is None:
            return properties_dir() / "model" / f"{self.name}.yaml"
        module = sys.modules[self.model_class.__module__]
        return Path(str(module.__file__)).with_name(f"{self.name}.yaml")

    @property
    def phase_keys(self) -> tuple[str, ...]:
        """Keys of single phases; empty where not set."""
        return tuple(f"{phase}_{key}" for phase in self.phases for key in PER_PHASE)

    @property
    def defaults(self) -> dict[str, Any]:
        """Defaults that the declaration itself gives."""
        return {key: rule.default for key, rule in self.keys.items() if rule.has_default}

    def check_choice(self, key: str, value: Any) -> None:
        """Refuse a value that other models know, and this one does not."""
        known = self.choices.get(key)
        if known and value not in known:
            hint = nearest(str(value), known)
            raise UserError(f"{key}: {value!r}; expected one of {list(known)}{hint}")


_LOSS = ("loss_type", "loss_scope", "num_negatives", "unseen_negatives")
_SCHEDULE = ("lr_scheduler", "lr_patience", "lr_factor", "warmup_epochs")
_WIDTHS = ("hidden_size", "n_layers", "n_heads")
_DROPOUTS = ("hidden_dropout_prob", "attn_dropout_prob")
_BACKBONE = (
    *_WIDTHS, *_DROPOUTS, "inner_size", "hidden_act", "layer_norm_eps", "initializer_range",
    "state_scale",
)  # fmt: skip
_SHARED_MODEL = (
    *_LOSS, *_SCHEDULE, *_BACKBONE, "augment", "augment_as", "augment_inference", "item_projection",
    "item_vectors", "item_vectors_learning_rate", "item_id_embedding", "item_bias", "input_scale",
    "new_item_neighbours", "sparse_updates",
)  # fmt: skip
_SHARED_LOSSES = ("CE", "SS", "BCE")
_WITH_PUBLISHED = ("published", *_SHARED_LOSSES)


def _own(
    path: str,
    *keys: str,
    losses: tuple[str, ...] = (),
    phases: tuple[str, ...] = (),
    **choices: tuple[str, ...],
) -> ModelSpec:
    if losses:
        choices["loss_type"] = losses
    module, _, name = path.rpartition(".")
    rules = {key: RULES[key] for key in keys}
    return ModelSpec(
        name,
        rules,
        phases,
        choices=choices,
        smooths_targets="CE" in losses,
        module=f"recbole_edt.model.{module}",
    )


OWN = {
    spec.name: spec
    for spec in (
        _own(
            "llmedt.LLMEDT", *_SHARED_MODEL, "recipe", "phases", "shared_run", "profiles",
            "align_phase", "beta",
            "temperature", "profile_shuffle", "adapter_size", "adapter_dropout",
            "adapter_residual", "domain_dropout",
            losses=_SHARED_LOSSES, phases=(SHARED, DOMAIN),
        ),
        _own(
            "baselines.abxi.ABXI", *_LOSS, *_SCHEDULE, "hidden_size", "n_heads", "inner_size",
            "thread_rank", "invariant_rank", "dropout_prob", "item_projection", "attend_padding",
            "initializer_range", "temperature", "negatives_per",
            losses=_WITH_PUBLISHED, item_projection=("none", "pca"),
        ),
        _own(
            "baselines.c2dsr.C2DSR", *_LOSS, *_WIDTHS, *_DROPOUTS, "graph_layers",
            "graph_last_item", "initializer_range", "loss_slots", "next_item_weight",
            losses=_WITH_PUBLISHED,
        ),
        _own(
            "baselines.llm4cdsr.LLM4CDSR", *_LOSS, *_SCHEDULE, *_WIDTHS, "dropout_prob",
            "profiles", "feed_forward", "causal", "freeze_local", "alpha", "beta", "temperature",
            losses=_WITH_PUBLISHED, loss_scope=("target_domain",),
        ),
        _own("baselines.untrained.Popularity"),
        _own("baselines.sasrec.SASRecLLM", *_SHARED_MODEL, losses=_SHARED_LOSSES),
        _own(
            "baselines.sasrec.SASRecSingle", *_LOSS, *_SCHEDULE, *_BACKBONE, "item_bias",
            losses=_SHARED_LOSSES, loss_scope=("target_domain",),
        ),
        _own(
            "baselines.untrained.Similarity", "similarity", "similarity_items", "similarity_lag",
            "similarity_popularity",
        ),
        _own(
            "baselines.tricdr.TriCDR", *_LOSS, *_WIDTHS, *_DROPOUTS, "item_tables", "logit_scale",
            "contrastive_weight", "contrastive_rates", "contrastive_temperature",
            "triplet_weight", "triplet_margin",
            losses=_WITH_PUBLISHED,
        ),
    )
}  # fmt: skip
"""The models of this package."""


def external_models() -> dict[str, EntryPoint]:
    """Return the models that other packages register; names that are taken are left out."""
    external = registered(MODELS)
    for name in external.keys() & {*OWN, *stock_models()}:
        owner = "recbole_edt" if name in OWN else "RecBole"
        _log.warning(f"{describe(external.pop(name))} is ignored: {name} is a model of {owner}")
    return external


def model_spec(name: str) -> ModelSpec:
    """Return what a model declares.

    Only a model of another package is imported for it.

    Raises
    ------
    UserError
        When no such model exists, its entry point is broken, or it needs data that this package
        does not provide.
    """
    if name in OWN:
        return OWN[name]
    stock, external = stock_models(), external_models()
    if name in _UNFIT:
        raise UserError(f"model: {name} {_UNFIT[name]}; expected another model")
    if name in stock:
        if needs_own_dataset(name):
            raise UserError(f"model: {name} needs a {name}Dataset of RecBole's, not provided here")
        return _stock_spec(name)
    if name in external:
        return declared_by(_load_model(external[name]))
    if name in stock_models(OTHER_FAMILIES):
        raise UserError(
            f"model: {name} needs context features or a knowledge graph; "
            "expected a sequential or general recommender"
        )
    raise UserError(f"model: {name!r} is unknown{nearest(name, [*OWN, *stock, *external])}")


def _stock_spec(name: str) -> ModelSpec:
    sequential = "sequential_recommender" in stock_models()[name]
    free = rule_of_default(None)
    keys = {key: RULES.get(key, free) for key in KEYS_OF_MODELS.get(name, ())}
    return ModelSpec(name, keys, sequential=sequential)


def _load_model(entry: EntryPoint) -> type:
    model = load_entry(entry)
    if not isinstance(model, type) or model.__name__ != entry.name:
        found = f"class {model.__name__}" if isinstance(model, type) else repr(model)
        raise UserError(f"{describe(entry)}: found {found[:100]}, expected class {entry.name}")
    return model


def declared_by(model_class: type) -> ModelSpec:
    """Return what the class of another package's model declares.

    Its YAML file gives keys with defaults, and values of another type than the default's are
    refused.

    Parameters
    ----------
    model_class : type
        Its attribute ``config_keys``, those of its base classes included, gives further keys: it
        maps each to a `KeyRule` (``RULES["hidden_size"].with_default(64)`` for a key that has a
        rule here), or names keys of any value. ``phases`` names its training phases, if it has
        several.
    """
    keys: dict[str, KeyRule] = {}
    for base in reversed(model_class.__mro__):
        keys |= _rules(vars(base).get("config_keys", ()))
    kind = getattr(model_class, "type", None)
    return ModelSpec(
        model_class.__name__,
        keys,
        tuple(getattr(model_class, "phases", ())),
        sequential=getattr(kind, "name", "") == "SEQUENTIAL",
        smooths_targets=bool(getattr(model_class, "smooths_targets", False)),
        model_class=model_class,
    )


def _rules(declared: Mapping[str, KeyRule] | Iterable[str]) -> Mapping[str, KeyRule]:
    if isinstance(declared, Mapping):
        return declared
    return dict.fromkeys(declared, rule_of_default(None).with_default(None))
