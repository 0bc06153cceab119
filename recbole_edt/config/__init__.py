"""Configuration: a typed rule of every key, the layers of YAML files, and checks.

Importing this package, resolving and checking need no torch; `EDTConfig`, RecBole's configuration
object, is made when it is first asked for.
"""

from typing import TYPE_CHECKING

from recbole_edt.config.identity import completed, identity
from recbole_edt.config.keys.artefacts import (
    AugmenterKeys,
    LanguageModelKeys,
    ProfilesKeys,
    RepetitionPenalty,
)
from recbole_edt.config.layers import SPLIT_KEYS, Resolved, resolve
from recbole_edt.config.models import ModelSpec, model_spec
from recbole_edt.config.rules import KeyRule
from recbole_edt.config.schema import RULES
from recbole_edt.config.yaml_files import load_yaml, parse_flag, parse_value, split_paths
from recbole_edt.lazy import lazy_names

if TYPE_CHECKING:
    from recbole_edt.config.edt_config import EDTConfig

__all__ = [
    "RULES", "SPLIT_KEYS", "AugmenterKeys", "EDTConfig", "KeyRule", "LanguageModelKeys",
    "ModelSpec", "ProfilesKeys", "RepetitionPenalty", "Resolved", "completed", "identity",
    "load_yaml", "model_spec", "parse_flag", "parse_value", "resolve", "split_paths",
]  # fmt: skip


__getattr__, __dir__ = lazy_names(__name__, {"EDTConfig": ".edt_config"})
