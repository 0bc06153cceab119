"""The commands that messages and reports suggest."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from recbole_edt.config import SPLIT_KEYS

WHERE = ("data_path", *SPLIT_KEYS, "DOMAIN_FIELD")
"""Keys that say which dataset and rows are meant."""


def suggest(
    config: Mapping[str, Any], keys: Iterable[str], command: str, name: str, *more: str
) -> str:
    """Return a command line for a dataset, with the keys that the user set to other values.

    Parameters
    ----------
    config : mapping
        The configuration; one that is not an `EDTConfig` has no keys that a user set.
    keys : iterable of str
        The keys that count.
    command, name : str
        Such as ``run``, and the name of the dataset.
    *more : str
        Further arguments, before the keys.

    Examples
    --------
    >>> suggest({}, WHERE, "artefacts", "toy", "--only", "embeddings")
    'recbole-edt artefacts --dataset=toy --only embeddings'
    """
    given = getattr(config, "external_config_dict", {})
    defaults = getattr(config, "internal_config_dict", {})
    flags = [
        f"--{key}={given[key]}" for key in keys if key in given and given[key] != defaults.get(key)
    ]
    return shlex.join(["recbole-edt", command, f"--dataset={name}", *more, *flags])
