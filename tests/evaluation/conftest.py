from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.evaluation.targets import Targets


@pytest.fixture
def targets_of() -> Callable[..., Targets]:
    """Return a function that gives the test (or validation) targets of a dataset's folder."""

    def read(folder: Path, model: str = "SASRec", part: str = "test", **keys: Any) -> Targets:
        keys["data_path"] = str(folder.parent)
        dataset = CrossDomainDataset(EDTConfig(model, folder.name, overrides=keys))
        return Targets(dataset.build()[("train", "valid", "test").index(part)], part)

    return read
