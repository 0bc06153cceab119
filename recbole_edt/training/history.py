"""Record of a run's training: finished phases, and one row of curves per validated epoch."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_edt.files import replacing


@dataclass
class History:
    """What training has done so far.

    Attributes
    ----------
    phases : list of dict
        Per finished phase: name, epochs, best_epoch (per domain where domains are separate),
        seconds; as in ``metrics.json``.
    curves : list of dict
        Per validated epoch: phase, epoch, loss per batch, seconds and all validation metrics.
    """

    phases: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)

    def write_curves(self, path: Path) -> None:
        """Write the curves as CSV."""
        columns = list(self.curves[-1]) if self.curves else []
        with (
            replacing(path) as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as handle,
        ):
            writer = csv.DictWriter(handle, columns, lineterminator="\n")  # quotes domain names
            writer.writeheader()
            writer.writerows(self.curves)
