from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recbole_edt.config.edt_config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset


@pytest.fixture
def load() -> Callable[..., CrossDomainDataset]:
    """Return a function that reads the dataset in a folder for some model."""

    def read(folder: Path, model: str = "SASRec", **keys: Any) -> CrossDomainDataset:
        keys["data_path"] = str(folder.parent)
        return CrossDomainDataset(EDTConfig(model, folder.name, overrides=keys))

    return read
