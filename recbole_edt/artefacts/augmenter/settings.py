"""The configuration keys of the augmenter."""

from recbole_edt.artefacts.settings import REPRESENTATIVES
from recbole_edt.config import AugmenterKeys, RepetitionPenalty

LLM_MODES = ("select", "score", "generate")
"""Values of `augment_mode` by which a language model chooses from a candidate set.

``representatives`` is a mode of its own; the others are rules without a language model.
"""


class AugmentSettings(AugmenterKeys):
    """The configuration keys that start with ``augment_``, as they are in the configuration."""

    llm_repetition_penalty: RepetitionPenalty

    @property
    def asks_model(self) -> bool:
        """Whether a language model is asked."""
        return self.augment_mode in (REPRESENTATIVES, *LLM_MODES)

    @property
    def by_users(self) -> bool:
        """Whether candidates are found by users in common."""
        return self.augment_pool_by == "cooccurrence"
