"""The configuration keys of the language model."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from recbole_edt.config import checked_keys

_SERVER = ("http://", "https://")


@dataclass(frozen=True)
class LLMSettings:
    """The configuration keys that start with ``llm``; docs/keys.md explains them.

    Attributes
    ----------
    llm : str
        ``pypi:MODULE``, a folder, a ``.gguf`` file, a name on the hub, or a server's URL.
    llm_model, llm_revision : str or None
        Name on the server; revision of the model.
    llm_batch_size, llm_max_prompt_tokens : int
        Prompts at a time in this process; longer prompts are not asked.
    llm_thinking_tokens : int
        Tokens that a reasoning model may write before its answer, beyond those of the answer.
    llm_concurrency, llm_timeout, llm_retries : int, float (seconds), int
        Requests at a time to a server, seconds for an attempt, attempts after the first.
    llm_price_in, llm_price_out : float
        Cost of a million tokens read and written.
    llm_tokens_per_second : float
        What a server writes over all requests, for estimates.
    llm_sampling : mapping
        Further keys of a request to a server; None leaves one out that would be sent.
    llm_structured : bool
        Whether a server is asked for JSON of a schema where a reply is a list.
    """

    llm: str
    llm_model: str | None
    llm_revision: str | None
    llm_batch_size: int
    llm_max_prompt_tokens: int
    llm_thinking_tokens: int
    llm_concurrency: int
    llm_timeout: float
    llm_retries: int
    llm_price_in: float
    llm_price_out: float
    llm_tokens_per_second: float
    llm_sampling: Mapping[str, Any]
    llm_structured: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "LLMSettings":
        """Read the settings from a configuration.

        Raises
        ------
        UserError
            For a value that breaks its rule; the message names the key.
        """
        return cls(**checked_keys(config, [field.name for field in fields(cls)]))

    @property
    def is_server(self) -> bool:
        """Whether the model is behind a URL."""
        return self.llm.lower().startswith(_SERVER)
