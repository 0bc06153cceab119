"""What values a configuration key may have, beyond the type of its default."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from recbole_edt.errors import UserError, nearest

SHARED, DOMAIN = "shared", "domain"
PHASES = (SHARED, DOMAIN)
"""Of `LLMEDT`; the shared one comes first."""

_ONE_OF = {
    "candidates": ("target_domain", "all"),
    "augment_as": ("context", "targets"),
    "split": ("leave_one_out", "time"),
    "loss_scope": ("target_domain", "all"),
    "item_projection": ("pca", "mlp", "none"),
    "similarity": ("max", "mean", "last"),
    "item_bias": ("none", "popularity"),
    "adapter_residual": ("learned", "full"),
    "lr_scheduler": ("none", "plateau"),
    "hidden_act": ("gelu", "relu", "swish", "tanh", "sigmoid"),
    "negatives_per": ("slot", "user", "batch"),
    "feed_forward": ("bottleneck", "pointwise"),
    "item_tables": ("separate", "shared"),
    "learner": ("adam", "adamw", "sgd", "adagrad", "rmsprop", "sparse_adam"),
}
_ABOVE_ZERO = frozenset((
    "learning_rate", "train_batch_size", "eval_batch_size", "hidden_size", "embedding_size",
    "n_layers", "n_heads", "inner_size", "MAX_ITEM_LIST_LENGTH", "adapter_size", "num_negatives",
    "sampled_candidates", "encoder_batch_size", "encoder_max_length", "eval_step",
    "temperature", "thread_rank", "invariant_rank", "loss_slots", "logit_scale",
    "contrastive_temperature", "similarity_items", "expert_items", "state_scale",
))  # fmt: skip
_FROM_ZERO = frozenset((
    "epochs", "min_epochs", "stopping_step", "weight_decay", "lr_patience", "warmup_epochs",
    "graph_layers", "similarity_lag", "expert_lag", "similarity_popularity", "beta", "alpha",
    "contrastive_weight", "triplet_weight", "triplet_margin", "new_item_neighbours",
    "average_epochs", "seed", "augment_seed",
))  # fmt: skip
_WHOLE = frozenset(("sampled_candidates",))  # those whose default is none
_ENTRIES = {
    "clip_grad_norm": ("max_norm", "norm_type", "error_if_nonfinite", "foreach"),  # torch's
    "train_neg_sample_args": ("distribution", "sample_num", "alpha", "dynamic", "candidate_num"),
}
_PROBABILITY = re.compile(r"(^|_)dropout(_prob|_ratio)?$")
PHASE_PREFIX = re.compile(r"^(shared|domain)_(?!dropout)")
_ACCEPTED: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str, int, float), "text"),
    dict: ((dict, type(None)), "a mapping"),
}
_EITHER_TEXT_OR_NUMBER = frozenset(("input_scale", "gpu_id"))


def check_value(key: str, value: Any, known: Collection[str], defaults: Mapping[str, Any]) -> None:
    """Refuse an unknown key, a value of another type than the default's, or one out of range.

    Parameters
    ----------
    key, value : str, any
        What a file or flag says.
    known : collection of str
        All keys that the model, its data or its training read.
    defaults : mapping
        Their defaults, as far as they have one.

    Raises
    ------
    UserError
        Names the key, what was found and what was expected.
    """
    if key not in known:
        raise UserError(f"{key}: no such key{nearest(key, known)}")
    base = PHASE_PREFIX.sub("", key)  # shared_epochs is checked like epochs
    default = defaults.get(key)
    if default is None and value is not None:  # a phase's key leaves it to the general one
        default = defaults.get(base)
    if key not in _EITHER_TEXT_OR_NUMBER and type(default) in _ACCEPTED:
        _check_type(key, value, *_ACCEPTED[type(default)])
    if key == "expert_weights" and not (
        value and all(type(one) in (int, float) and one >= 0 for one in value)
    ):
        raise UserError(f"{key}: found {value!r}, expected a list of numbers >= 0")
    if base in _WHOLE and value is not None:
        _check_type(key, value, (int,), "a whole number")
    if value is None or (isinstance(value, list) and base not in _ABOVE_ZERO | _FROM_ZERO):
        return
    if base in _ENTRIES:
        _check_entries(key, value, _ENTRIES[base])
        if base == "clip_grad_norm" and "max_norm" not in value:
            raise UserError(f"{key}: found {value!r}, expected 'max_norm' among its entries")
    if base in _ONE_OF and value not in _ONE_OF[base]:
        hint = nearest(str(value), _ONE_OF[base])
        raise UserError(f"{key}: found {value!r}, expected one of {list(_ONE_OF[base])}{hint}")
    if base in _ABOVE_ZERO | _FROM_ZERO:
        _check_type(key, value, (int, float), "a number")
        if value < 0 or (value == 0 and base in _ABOVE_ZERO):
            sign = ">" if base in _ABOVE_ZERO else ">="
            raise UserError(f"{key}: found {value}, expected a value {sign} 0")
    if base == "lr_factor" and not 0 < value < 1:
        raise UserError(f"{key}: found {value}, expected a value between 0 and 1")
    if _PROBABILITY.search(key) and not isinstance(value, bool) and not 0 <= value < 1:
        raise UserError(f"{key}: found {value}, expected a value from 0 to below 1")


def check_phases(phases: Any, shared_run: Any) -> list[str]:
    """Return the phases as a list; refuse what cannot be trained, or leaves nothing to do.

    Parameters
    ----------
    phases, shared_run : any
        What the configuration says under these keys.

    Raises
    ------
    UserError
        Names the key, what was found and what was expected.
    """
    found = list(phases) if isinstance(phases, (list, tuple)) else [phases]
    if found not in ([SHARED], list(PHASES)):
        raise UserError(f"phases: found {found}, expected {[SHARED]} or {list(PHASES)}")
    if shared_run and len(found) == 1:
        raise UserError(f"shared_run: phases is {found}; expected a phase after the shared one")
    return found


def _check_entries(key: str, value: Any, entries: tuple[str, ...]) -> None:
    _check_type(key, value, (dict,), f"a mapping such as {{{entries[0]}: ...}}")
    for name in value:
        if name not in entries:
            hint = nearest(str(name), entries)
            raise UserError(f"{key}: {name!r}; expected some of {list(entries)}{hint}")


def _check_type(key: str, value: Any, accepted: tuple[type, ...], expected: str) -> None:
    is_flag = isinstance(value, bool)  # True is an int to Python, not to a user
    if not isinstance(value, accepted) or (is_flag and bool not in accepted):
        raise UserError(f"{key}: found {value!r}, expected {expected}")
