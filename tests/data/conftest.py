from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recbole_edt.artefacts.inputs import attach_artefacts
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset


@pytest.fixture
def load() -> Callable[..., CrossDomainDataset]:
    """Return a function that reads the dataset in a folder for some model."""

    def read(folder: Path, model: str = "SASRec", **keys: Any) -> CrossDomainDataset:
        keys["data_path"] = str(folder.parent)
        dataset = CrossDomainDataset(EDTConfig(model, folder.name, overrides=keys))
        attach_artefacts(dataset)
        return dataset

    return read
