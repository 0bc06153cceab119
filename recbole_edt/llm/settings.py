"""The configuration keys of the language model."""

from recbole_edt.config import LanguageModelKeys

_SERVER = ("http://", "https://")


class LLMSettings(LanguageModelKeys):
    """The configuration keys that start with ``llm``, as they are in the configuration."""

    @property
    def is_server(self) -> bool:
        """Whether the model is behind a URL."""
        return self.llm.lower().startswith(_SERVER)
