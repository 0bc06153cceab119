"""One finished run of a comparison: its record, ranks and curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_edt.errors import UserError, one_line
from recbole_edt.evaluation.list_metrics import has_value_per_target, is_list_metric
from recbole_edt.evaluation.report import metric_values
from recbole_edt.runs import RunFolder, RunRecord

_RANK_COLUMNS = {
    "user_id": str,
    "item_id": str,
    "domain": str,
    "rank": np.int64,
    "dominant_share": np.float64,
    "history_length": np.float64,
    "target_popularity": np.float64,
}


@dataclass(frozen=True)
class ComparedRun:
    """One finished run.

    Attributes
    ----------
    folder : RunFolder
        Its files.
    record : RunRecord
        Its metrics, protocol, phases and cost.
    """

    folder: RunFolder
    record: RunRecord

    @classmethod
    def read(cls, path: Path) -> "ComparedRun":
        """Read the run in a folder; `UserError` when it is not finished or damaged."""
        folder = RunFolder(path)
        return cls(folder, folder.read_record())

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @cached_property
    def fits(self) -> list["ComparedRun"]:
        """The runs that a model was trained in: those of the folds, in order, or only this one."""
        folds = self.record.folds
        return [self.read(self.folder.fold(f.fold).path) for f in folds] if folds else [self]

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The run's complete configuration, empty when the run kept none."""
        return self.folder.read_settings() if self.folder.config_path.is_file() else {}

    @cached_property
    def ranks(self) -> pd.DataFrame | None:
        """Rank, description and metrics of the list of each test target; None without a file.

        Of several folds with the column ``fold``, those of the first fold first.

        Raises
        ------
        UserError
            When the file is damaged, or its ranks do not give the metrics of the record.
        """
        path, overall = self.folder.ranks_path, self.record.test.overall
        if not path.is_file():
            return None
        measured = [name for name in overall.metrics if has_value_per_target(name)]
        of_lists = [name for name in measured if is_list_metric(name)]
        columns = {**_RANK_COLUMNS, **dict.fromkeys(of_lists, np.float64)}
        columns |= {"fold": np.int64} if self.record.folds else {}
        try:
            frame = pd.read_csv(
                path,
                dtype=columns,
                usecols=list(columns),
                keep_default_na=False,
                float_precision="round_trip",  # a share at the edge of a group stays there
            )
        except (ValueError, pd.errors.ParserError) as error:
            reason = one_line(error)
            raise UserError(f"{path}: not a table of ranks ({reason})") from None
        if len(frame) != overall.users:
            raise UserError(
                f"{path}: {len(frame)} targets, expected {overall.users} as in metrics.json"
            )
        for name in measured:
            value = overall.metrics[name]
            mean = mean_of_folds(frame, target_values(frame, name)) if len(frame) else 0.0
            if abs(mean - value) > 1e-6:
                raise UserError(
                    f"{path}: {name} of these ranks is {mean:.6f}, metrics.json has {value:.6f}"
                )
        return frame

    @cached_property
    def curves(self) -> pd.DataFrame | None:
        """Validation metrics per epoch, None when there is no ``curves.csv``."""
        path = self.folder.curves_path
        if not path.is_file():
            return None
        try:
            return pd.read_csv(path, dtype={"phase": str}, keep_default_na=False)
        except (ValueError, pd.errors.ParserError) as error:
            raise UserError(f"{path}: not a table of epochs ({error})") from None

    @property
    def converged(self) -> bool | None:
        """Whether every phase of each fold went on after its best epoch, None if nothing learns."""
        if self.record.folds:
            answers = [run.converged for run in self.fits if run.converged is not None]
            return all(answers) if answers else None
        phases, curves = self.record.phases, self.curves
        learns = curves is None or "loss" not in curves or bool((curves["loss"] != 0).any())
        if not (phases and learns):
            return None
        return all(phase.last_best_epoch < phase.epochs for phase in phases)


def target_values(ranks: pd.DataFrame, metric: str) -> np.ndarray:
    """Return a metric such as ``ndcg@10`` of each target of `ComparedRun.ranks`, [targets]."""
    if is_list_metric(metric):
        return ranks[metric].to_numpy()
    return metric_values(ranks["rank"].to_numpy(), metric)


def mean_of_folds(ranks: pd.DataFrame, values: np.ndarray) -> float:
    """Return the mean of some values per target, [targets]; of several folds that of their means.

    `ranks` is `ComparedRun.ranks`, of at least one target.
    """
    return float(np.average(values, weights=target_weights(ranks)))


def target_weights(ranks: pd.DataFrame) -> np.ndarray | None:
    """Return the weight of each target, float64 [targets], which add up to 1 in every fold.

    So each fold counts the same in a mean, however many targets it has. None without folds, where
    all targets count the same.
    """
    if "fold" not in ranks:
        return None
    folds = ranks["fold"].to_numpy()
    return 1 / np.bincount(folds)[folds]


def group_bounds(name: str) -> tuple[float, float]:
    """Return the edges of a group of targets, such as ``0.6-<0.8`` or ``>=20``."""
    if name.startswith(">="):
        return float(name[2:]), np.inf
    low, _, high = name.partition("-<")
    return float(low), float(high)


def in_group(ranks: pd.DataFrame, grouping: str, name: str) -> np.ndarray:
    """Return which targets belong to a group, bool [targets]."""
    low, high = group_bounds(name)
    return ((ranks[grouping] >= low) & (ranks[grouping] < high)).to_numpy()
