"""The transferable item augmenter: proposed interactions in the domains that a user lacks.

Deficits, candidate sets, questions, selection and insertion, in this order; docs/augmenter.md
explains them. Nothing but the catalogue and the training rows is read.
"""

from recbole_edt.artefacts.augmenter.candidates import CandidateSets
from recbole_edt.artefacts.augmenter.deficits import Deficits
from recbole_edt.artefacts.augmenter.inputs import SelectionInputs, shown_titles
from recbole_edt.artefacts.augmenter.insertion import find_anchors
from recbole_edt.artefacts.augmenter.make import make_augmented
from recbole_edt.artefacts.augmenter.questions import make_questions
from recbole_edt.artefacts.augmenter.retrieval import Cooccurrence
from recbole_edt.artefacts.augmenter.selection import SelectedItems, read_answers, select_by_rule
from recbole_edt.artefacts.augmenter.settings import LLM_MODES, AugmentSettings

__all__ = [
    "LLM_MODES", "AugmentSettings", "CandidateSets", "Cooccurrence", "Deficits", "SelectedItems",
    "SelectionInputs", "find_anchors", "make_augmented", "make_questions",
    "read_answers", "select_by_rule", "shown_titles",
]  # fmt: skip
