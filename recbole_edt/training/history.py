"""Record of a run's training: finished phases, and one row of curves per validated epoch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_edt.files import write_table


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
        write_table(path, self.curves)
