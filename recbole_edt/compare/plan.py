"""The plan of a comparison: rows, seeds and the keys that all rows share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recbole_edt.files import digest
from recbole_edt.runs import without_folders


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the table: a model with its own keys.

    Attributes
    ----------
    label, model : str
        What the table calls it; the model's name.
    keys : dict
        Configuration keys of this row; they override those of all rows.
    tune : int, optional
        Its tuning budget in trials where it differs from the comparison's.
    search : str, optional
        Its search space, a path or the name of a file in ``properties/search/``.
    """

    label: str
    model: str
    keys: Mapping[str, Any]
    tune: int | None = None
    search: str | None = None


@dataclass(frozen=True)
class ComparisonPlan:
    """A comparison before it runs.

    Attributes
    ----------
    dataset : str
        Name of the dataset.
    rows : list of ComparisonRow
        In the order of the table.
    seeds : list of int
        Each row is run once per seed.
    keys : dict
        Configuration keys of all rows.
    tune : int
        Trials per row, 0 for none.
    strategy : str
        How trials are chosen.
    """

    dataset: str
    rows: list[ComparisonRow]
    seeds: list[int]
    keys: Mapping[str, Any]
    tune: int = 0
    strategy: str = "random"

    @property
    def id(self) -> str:
        """The default name of the comparison's folder: a hash of all that decides its table."""
        rows = [[r.label, r.model, dict(r.keys), r.tune, r.search] for r in self.rows]
        keys = without_folders(self.keys)
        return digest([self.dataset, rows, self.seeds, keys, self.tune, self.strategy])[:8]

    def budget(self, row: ComparisonRow) -> int:
        """Return the number of tuning trials of a row."""
        return self.tune if row.tune is None else row.tune
