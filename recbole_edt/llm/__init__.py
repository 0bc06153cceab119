"""Language models behind one facade: ask for text or for scores, each question once.

`open_language_model` gives a `LanguageModel` with `generate`, `score` and `estimate`; clients,
the store of replies and decoding are private to this package. What is asked is filled from a
template (`fill`), what comes back is read by a `parse_...` function.
"""

from recbole_edt.llm.client import GenerateRequests, Requests, ScoreRequests
from recbole_edt.llm.estimate import Estimate
from recbole_edt.llm.messages import PROMPT_TOO_LONG, Answer, Generation, Prompt, Reply, Scores
from recbole_edt.llm.model import LanguageModel, Progress, open_language_model
from recbole_edt.llm.model_folder import ModelFolder, find_model_folder, load_pretrained
from recbole_edt.llm.parsing import (
    CUT_THOUGHT,
    DUPLICATE,
    OVER_LIMIT,
    parse_choices,
    parse_summary,
    parse_titles,
    thoughts_without_answer,
)
from recbole_edt.llm.prompts import GENERATE, PROFILE, SCORE, SELECT, Template, clean_title, fill
from recbole_edt.llm.prompts_in_stages import (
    GROUP,
    MERGE,
    TRANSFER,
    Example,
    fill_group,
    fill_merge,
    fill_transfer,
)
from recbole_edt.llm.settings import LLMSettings
from recbole_edt.llm.sharding import Shard, parse_shard, shard_from_environment
from recbole_edt.llm.structured import NUMBERS, TEXT, TITLES

__all__ = [
    "CUT_THOUGHT", "DUPLICATE", "GENERATE", "GROUP", "MERGE", "NUMBERS", "OVER_LIMIT", "PROFILE",
    "PROMPT_TOO_LONG", "SCORE", "SELECT", "TEXT", "TITLES", "TRANSFER", "Answer", "Estimate",
    "Example", "GenerateRequests", "Generation", "LLMSettings", "LanguageModel", "ModelFolder",
    "Progress", "Prompt", "Reply", "Requests", "ScoreRequests", "Scores", "Shard", "Template",
    "clean_title", "fill", "fill_group", "fill_merge", "fill_transfer", "find_model_folder",
    "load_pretrained", "open_language_model", "parse_choices", "parse_shard", "parse_summary",
    "parse_titles", "shard_from_environment", "thoughts_without_answer",
]  # fmt: skip
