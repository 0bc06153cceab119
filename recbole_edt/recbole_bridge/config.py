"""RecBole's configuration with given values, without its reading of files, flags and strings."""

from collections.abc import Mapping
from typing import Any

from recbole_edt.recbole_bridge import Config


class ConfigBase(Config):
    """RecBole's configuration made from values that are complete.

    Parameters
    ----------
    model_class : type
        The model.
    dataset : str
        The dataset's name.
    defaults : mapping
        The value of every key that the user has not given.
    given : mapping
        What the user has given.
    loader : type
        The YAML loader of RecBole's parts that load YAML.
    """

    def __init__(
        self,
        model_class: type,
        dataset: str,
        defaults: Mapping[str, Any],
        given: Mapping[str, Any],
        loader: type,
    ):
        self._defaults, self._loader = dict(defaults), loader
        super().__init__(model_class, dataset, config_dict=dict(given))

    def _build_yaml_loader(self) -> type:
        return self._loader

    def _convert_config_dict(self, config_dict: dict[str, Any]) -> dict[str, Any]:
        return config_dict  # RecBole would eval() every string

    def _load_cmd_line(self) -> dict[str, Any]:
        return {}  # RecBole would read the arguments of whatever program runs

    def _load_internal_config_dict(self, model: str, model_class: Any, dataset: str) -> None:
        self.internal_config_dict = {**self._defaults, "MODEL_TYPE": model_class.type}
