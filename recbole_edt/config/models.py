"""Which keys each model reads, declared without importing a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from recbole_edt.config.rules import KeyRule, rule_of_default
from recbole_edt.config.schema import DOMAIN, PER_PHASE, RULES, SHARED
from recbole_edt.errors import UserError, nearest
from recbole_edt.recbole_bridge.stock import keys_without_default, stock_models


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
    """

    name: str
    keys: Mapping[str, KeyRule] = field(default_factory=dict)
    phases: tuple[str, ...] = ()
    sequential: bool = True
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

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
    "item_id_embedding", "item_bias", "input_scale", "new_item_neighbours",
)  # fmt: skip
_SHARED_LOSSES = ("CE", "SS", "BCE")
_WITH_PUBLISHED = ("published", *_SHARED_LOSSES)


def _own(
    name: str,
    *keys: str,
    losses: tuple[str, ...] = (),
    phases: tuple[str, ...] = (),
    **choices: tuple[str, ...],
) -> ModelSpec:
    if losses:
        choices["loss_type"] = losses
    return ModelSpec(name, {key: RULES[key] for key in keys}, phases, choices=choices)


OWN = {
    spec.name: spec
    for spec in (
        _own(
            "LLMEDT", *_SHARED_MODEL, "recipe", "phases", "shared_run", "profiles", "beta",
            "temperature", "profile_shuffle", "adapter_size", "adapter_dropout",
            "adapter_residual", "domain_dropout",
            losses=_SHARED_LOSSES, phases=(SHARED, DOMAIN),
        ),
        _own(
            "ABXI", *_LOSS, *_SCHEDULE, "hidden_size", "n_heads", "inner_size", "thread_rank",
            "invariant_rank", "dropout_prob", "item_projection", "attend_padding",
            "initializer_range", "temperature", "negatives_per",
            losses=_WITH_PUBLISHED, item_projection=("none", "pca"),
        ),
        _own(
            "C2DSR", *_LOSS, *_WIDTHS, *_DROPOUTS, "graph_layers", "graph_last_item",
            "initializer_range", "loss_slots", "next_item_weight",
            losses=_WITH_PUBLISHED,
        ),
        _own(
            "LLM4CDSR", *_LOSS, *_SCHEDULE, *_WIDTHS, "dropout_prob", "profiles", "feed_forward",
            "causal", "freeze_local", "alpha", "beta", "temperature",
            losses=_WITH_PUBLISHED, loss_scope=("target_domain",),
        ),
        _own("Popularity"),
        _own("SASRecLLM", *_SHARED_MODEL, losses=_SHARED_LOSSES),
        _own(
            "SASRecSingle", *_LOSS, *_SCHEDULE, *_BACKBONE, "item_bias",
            losses=_SHARED_LOSSES, loss_scope=("target_domain",),
        ),
        _own(
            "Similarity", "similarity", "similarity_items", "similarity_lag",
            "similarity_popularity",
        ),
        _own(
            "TriCDR", *_LOSS, *_WIDTHS, *_DROPOUTS, "item_tables", "logit_scale",
            "contrastive_weight", "contrastive_rates", "contrastive_temperature",
            "triplet_weight", "triplet_margin",
            losses=_WITH_PUBLISHED,
        ),
    )
}  # fmt: skip
"""The models of this package."""


def model_spec(name: str) -> ModelSpec:
    """Return what a model declares.

    Only a model of another package is imported for it.

    Raises
    ------
    UserError
        When no such model exists.
    """
    if name in OWN:
        return OWN[name]
    if name in stock_models():
        return _stock_spec(name)
    # Its entry point is known to the registry, which is above this package and imports models.
    return declared_by(import_module("recbole_edt.model.registry").get_model(name))


def _stock_spec(name: str) -> ModelSpec:
    sequential = "sequential_recommender" in stock_models()[name]
    free = rule_of_default(None)
    keys = {key: RULES.get(key, free) for key in keys_without_default(name)}
    return ModelSpec(name, keys, sequential=sequential)


def declared_by(model_class: type) -> ModelSpec:
    """Return what the class of another package's model declares.

    Parameters
    ----------
    model_class : type
        Its attribute ``config_keys`` maps each key that it reads to a `KeyRule` with a default
        (``RULES["hidden_size"].with_default(64)`` for a key that has a rule here), those of its
        base classes included; ``config_phases`` names its phases, if it has several.
    """
    keys: dict[str, KeyRule] = {}
    for base in reversed(model_class.__mro__):
        keys |= vars(base).get("config_keys", {})
    kind = getattr(model_class, "type", None)
    return ModelSpec(
        model_class.__name__,
        keys,
        tuple(getattr(model_class, "config_phases", ())),
        sequential=getattr(kind, "name", "") == "SEQUENTIAL",
    )
