"""RecBole's configuration with given values, without its reading of files, flags and strings."""

import os
from collections.abc import Mapping
from typing import Any

from recbole_edt.platforms import GIVEN_GPUS
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

    def _set_default_parameters(self) -> None:
        """Set what RecBole derives; it would refuse metrics that it does not have."""
        final = self.final_config_dict
        given = final["metrics"]
        metrics = given if isinstance(given, list) else [given]
        final["metrics"] = recbole_metrics(metrics)
        super()._set_default_parameters()
        final["metrics"] = metrics

    def _init_device(self) -> None:
        """Choose among the GPUs that a cluster gave to this process, if it did.

        RecBole would write `gpu_id` into CUDA_VISIBLE_DEVICES, so that all tasks on a machine
        with several GPUs would use its first one.
        """
        given = self.final_config_dict["gpu_id"]
        text = ",".join(map(str, given)) if isinstance(given, tuple) else str(given)
        self.final_config_dict["gpu_id"] = gpus_among(text, os.environ.get(GIVEN_GPUS))
        super()._init_device()
        self.final_config_dict["gpu_id"] = text


def recbole_metrics(metrics: list[str]) -> list[str]:
    """Return those of some metrics that RecBole has; Hit if there is none, since it needs one."""
    from recbole.evaluator import metric_types

    return [name for name in metrics if name.lower() in metric_types] or ["Hit"]


def gpus_among(gpu_id: str, given: str | None) -> str:
    """Return the GPUs that a value of the key `gpu_id` means, as CUDA_VISIBLE_DEVICES names them.

    Parameters
    ----------
    gpu_id : str
        Numbers such as ``0,1``.
    given : str, optional
        The GPUs that the numbers count, by number or name; None for those of the machine.

    Examples
    --------
    >>> gpus_among("0,1", "2,3,5"), gpus_among("1", "2"), gpus_among("0,1", None)
    ('2,3', '', '0,1')
    """
    if given is None:
        return gpu_id
    names = [name for name in given.split(",") if name]
    numbers = [int(number) for number in gpu_id.split(",") if number.strip().isdecimal()]
    return ",".join(names[number] for number in numbers if number < len(names))
