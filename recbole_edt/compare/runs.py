"""One finished run as a comparison reads it: metrics, ranks, curves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_edt.config import load_yaml
from recbole_edt.errors import UserError
from recbole_edt.evaluation.report import metric_values

OVERALL = "overall"
FINAL = "final"
WITHOUT_EXPERT = "without_expert"
PROTOCOL = ("split", "split_hash", "items_hash", "candidates", "sampled", "sampled_hash")
"""What the runs of one table have in common."""

_RANK_COLUMNS = {
    "user_id": str,
    "item_id": str,
    "domain": str,
    "rank": np.int64,
    "dominant_share": np.float64,
    "history_length": np.float64,
    "target_popularity": np.float64,
}


def protocol_values(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``metrics.json`` says of `PROTOCOL`; older ones have no ``items_hash``."""
    protocol = metrics["protocol"]
    keys = [key for key in PROTOCOL if key != "items_hash" or key in protocol]
    return {key: protocol.get(key) for key in keys}


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes
    ----------
    path : pathlib.Path
        Its folder.
    metrics : dict
        Content of ``metrics.json``.
    """

    path: Path
    metrics: dict[str, Any]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The run's complete configuration, empty when the run kept none."""
        path = self.path / "config.yaml"
        return load_yaml(path) if path.is_file() else {}

    @cached_property
    def ranks(self) -> pd.DataFrame | None:
        """Rank and description of each test target, None when the run kept none."""
        path = self.path / "test_ranks.csv"
        if not path.is_file():
            return None
        try:
            frame = pd.read_csv(
                path,
                dtype=_RANK_COLUMNS,
                usecols=list(_RANK_COLUMNS),
                keep_default_na=False,
                float_precision="round_trip",  # a share at the edge of a group stays there
            )
        except (ValueError, pd.errors.ParserError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: not a table of ranks ({reason})") from None
        expected = self.metrics["test"][OVERALL]["users"]
        if len(frame) != expected:
            raise UserError(f"{path}: {len(frame)} targets, expected {expected} as in metrics.json")
        for name, value in self.metrics["test"][OVERALL].items():
            if name == "users":
                continue
            found = metric_values(frame["rank"].to_numpy(), name).mean() if expected else 0.0
            if abs(found - value) > 1e-6:
                raise UserError(
                    f"{path}: {name} of these ranks is {found:.6f}, metrics.json says {value:.6f}"
                )
        return frame

    @cached_property
    def curves(self) -> pd.DataFrame | None:
        """Validation metrics per epoch, None when there is no ``curves.csv``."""
        path = self.path / "curves.csv"
        if not path.is_file():
            return None
        try:
            return pd.read_csv(path, dtype={"phase": str}, keep_default_na=False)
        except (ValueError, pd.errors.ParserError) as error:
            raise UserError(f"{path}: not a table of epochs ({error})") from None

    @property
    def converged(self) -> bool | None:
        """Whether every phase went on after its best epoch, None if nothing was learnt."""
        phases, curves = self.metrics.get("phases", []), self.curves
        learns = curves is None or "loss" not in curves or bool((curves["loss"] != 0).any())
        if not (phases and learns):
            return None
        return all(last_best(phase) < phase["epochs"] for phase in phases)

    def reports(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield variant, part and the report of every evaluation in ``metrics.json``.

        The variant is ``final``, ``without_expert`` or ``after PHASE``.
        """
        for variant, source in (
            (FINAL, self.metrics),
            *((f"after {phase['name']}", phase) for phase in self.metrics.get("phases", ())),
            (WITHOUT_EXPERT, self.metrics.get(WITHOUT_EXPERT) or {}),
        ):
            for part in ("valid", "test"):
                if part in source:
                    yield variant, part, source[part]

    def value(
        self, metric: str, domain: str | None = None, part: str = "test", variant: str = FINAL
    ) -> float | None:
        """Return one metric, overall when `domain` is None; None when the run has none."""
        for name, at, report in self.reports():
            if (name, at) == (variant, part):
                found = report[OVERALL] if domain is None else report["domains"].get(domain, {})
                return found.get(metric)
        return None


def last_best(phase: Mapping[str, Any]) -> int:
    """Return the best epoch of a phase, the latest where each domain has its own."""
    best = phase["best_epoch"]
    return max(best.values()) if isinstance(best, dict) else best


def bounds(name: str) -> tuple[float, float]:
    """Return the edges of a group of ``metrics.json``, such as ``0.6-<0.8`` or ``>=20``."""
    if name.startswith(">="):
        return float(name[2:]), np.inf
    low, _, high = name.partition("-<")
    return float(low), float(high)


def in_group(ranks: pd.DataFrame, grouping: str, name: str) -> np.ndarray:
    """Return which targets belong to a group, bool [targets]."""
    low, high = bounds(name)
    return ((ranks[grouping] >= low) & (ranks[grouping] < high)).to_numpy()
