"""RecBole's configuration object, made from this package's layers."""

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from recbole_edt.config.layers import REPLACED, resolve
from recbole_edt.config.yaml_files import Loader
from recbole_edt.errors import UserError, nearest
from recbole_edt.recbole_bridge import ConfigBase

# Written by RecBole or by us while a run is set up; no part of what the user configures.
_DERIVED = {
    "MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "device", "single_spec", "local_rank",
    "valid_metric_bigger", "valid_neg_sample_args", "test_neg_sample_args", "checkpoint_dir",
    "config_files",
}  # fmt: skip
# Of artefacts only, and no part of a run's id: a new value makes no other run.
_OF_ARTEFACTS = {"llm_thinking_tokens"}
_NAMES_AND_PLACES = {"model", "dataset", "data_path", "output_dir", "show_progress", "seed"}
_NO_DEFAULT = object()


class EDTConfig(ConfigBase):
    """Configuration of one run, as RecBole's data and models read it.

    Nothing has to be written into it after it is made.

    Parameters
    ----------
    model, dataset, config_files, overrides
        See `recbole_edt.config.resolve`.

    Raises
    ------
    UserError
        An unknown model, key or value, a key that this package replaces, a malformed file.
    """

    def __init__(
        self,
        model: str | None = None,
        dataset: str | None = None,
        config_files: Sequence[str] = (),
        overrides: Mapping[str, Any] | None = None,
    ):
        resolved = resolve(model, dataset, config_files, overrides)
        self._values, self._defaults_of_run = resolved.values, resolved.defaults
        model_class = resolved.spec.load()
        try:
            super().__init__(
                model_class, resolved.dataset, resolved.defaults, resolved.given, Loader
            )
        except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
            raise UserError(f"configuration: {error}") from None
        if "MODEL_INPUT_TYPE" not in self.final_config_dict:
            found, known = self.final_config_dict["loss_type"], ("CE", "BPR")
            raise UserError(
                f"loss_type: found {found!r}, expected one of {list(known)}"
                f"{nearest(str(found), known)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the complete configuration as plain values, ready to be fed back as a file."""
        left_out = {*_DERIVED, *_OF_ARTEFACTS, *REPLACED}
        plain = {k: v for k, v in self.final_config_dict.items() if k not in left_out}
        plain["data_path"] = str(self.data_root)
        if plain["train_neg_sample_args"].get("distribution") == "none":
            plain["train_neg_sample_args"] = None
        return {k: v.value if isinstance(v, Enum) else v for k, v in sorted(plain.items())}

    @property
    def changed(self) -> dict[str, Any]:
        """The keys whose value is not the default, but for names and places."""
        return {
            key: value
            for key, value in sorted(self._values.items())
            if key not in _NAMES_AND_PLACES and value != self._defaults_of_run.get(key, _NO_DEFAULT)
        }

    @property
    def dataset_dir(self) -> Path:
        """The folder that holds the dataset's files."""
        return self.data_root / self.final_config_dict["dataset"]

    @property
    def data_root(self) -> Path:
        """The folder that holds the folders of all datasets."""
        return Path(self._values["data_path"])  # as the user set it: RecBole rewrites its own
