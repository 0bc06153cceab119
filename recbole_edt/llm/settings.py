"""The configuration keys of the language model, and opening the model that they name."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from recbole_edt.config import checked_keys
from recbole_edt.errors import UserError
from recbole_edt.llm.cached import Prices
from recbole_edt.llm.client import LanguageModel

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
    llm_concurrency, llm_timeout, llm_retries : int, float (seconds), int
        Requests at a time, and attempts, at a server.
    llm_price_in, llm_price_out : float
        Cost of a million tokens read and written.
    llm_tokens_per_second : float
        What a server writes over all requests, for estimates.
    """

    llm: str
    llm_model: str | None
    llm_revision: str | None
    llm_batch_size: int
    llm_max_prompt_tokens: int
    llm_concurrency: int
    llm_timeout: float
    llm_retries: int
    llm_price_in: float
    llm_price_out: float
    llm_tokens_per_second: float

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "LLMSettings":
        """Read the settings from a configuration.

        Raises
        ------
        UserError
            For a value of the wrong type or out of range; the message names the key.
        """
        return cls(**checked_keys(config, [field.name for field in fields(cls)]))

    @property
    def is_server(self) -> bool:
        """Whether the model stands behind a URL."""
        return self.llm.lower().startswith(_SERVER)

    @property
    def prices(self) -> Prices:
        """Cost of tokens."""
        return Prices(self.llm_price_in, self.llm_price_out)

    def open(self) -> LanguageModel:
        """Load the model, or make ready to ask the server.

        Raises
        ------
        UserError
            When the model cannot be found or loaded, or the URL or the model's name is wrong.
        """
        if self.is_server:
            from recbole_edt.llm.openai_client import OpenAIClient

            return OpenAIClient(
                self.llm,
                self.llm_model,
                self.llm_revision,
                concurrency=self.llm_concurrency,
                timeout=self.llm_timeout,
                retries=self.llm_retries,
                max_prompt_tokens=self.llm_max_prompt_tokens,
            )
        if self.llm_model:
            raise UserError(
                f"llm_model: {self.llm_model!r}, but llm is no server's URL; name the model in llm"
            )
        from recbole_edt.llm.transformers_client import TransformersClient

        return TransformersClient(
            self.llm,
            self.llm_revision,
            batch_size=self.llm_batch_size,
            max_prompt_tokens=self.llm_max_prompt_tokens,
        )
