"""One run of a comparison or a search, its configuration checked before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recbole_edt.compare.plan import ComparisonPlan, ComparisonRow
from recbole_edt.config import EDTConfig
from recbole_edt.errors import UserError
from recbole_edt.files import digest
from recbole_edt.runs import choose_folder, finished_run_of
from recbole_edt.training.shared_run import shared_settings


@dataclass(frozen=True, eq=False)
class CellJob:
    """One run to be made in a process of its own: a row with one seed, or a trial of a search.

    Attributes
    ----------
    row : ComparisonRow
        The row that it belongs to.
    seed : int
        Its seed.
    name : str
        Its name in progress messages, such as ``SASRec, seed 1``.
    keys : dict
        The keys that the caller sets, as for a bare run.
    config : EDTConfig
        The checked configuration.
    is_trial : bool
        Whether it is a trial of a search: each trial may be refused for its own values.
    """

    row: ComparisonRow
    seed: int
    name: str
    keys: Mapping[str, Any]
    config: EDTConfig
    is_trial: bool = False

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The complete configuration as plain values; its hash makes the run id."""
        return self.config.to_dict()

    @property
    def run_dir(self) -> Path:
        """Folder of the first finished run, else of the run to resume or to make."""
        return self.finished or choose_folder(self.settings, resume=True)[0].path

    @property
    def finished(self) -> Path | None:
        """The folder of the first finished run of this configuration, None without one."""
        folder = finished_run_of(self.settings)
        return None if folder is None else folder.path

    @cached_property
    def shared_phase(self) -> str | None:
        """Hash of the shared phase's settings, equal for runs that can share it; None without."""
        settings = shared_settings(self.settings)
        return None if settings is None else digest(settings)

    @property
    def can_reuse_shared(self) -> bool:
        """Whether phases follow the shared one, which may then be reused from another run."""
        return len(self._phases) > 1 and not self.settings.get("shared_run")

    @property
    def epochs(self) -> int:
        """The most epochs that it can train, over all phases."""
        limits = (self.settings.get(f"{name}_epochs") for name in self._phases)
        return sum(self.settings["epochs"] if limit is None else limit for limit in limits)

    @property
    def _phases(self) -> Sequence[str]:
        return self.settings.get("phases", ("train",))


def make_job(
    row: ComparisonRow,
    dataset: str,
    keys: Mapping[str, Any],
    seed: int,
    name: str,
    is_trial: bool = False,
) -> CellJob:
    """Return a run of `row` with exactly these keys.

    Raises
    ------
    UserError
        An unknown model, key or value, with the row's label.
    """
    keys = {**keys, "model": row.model, "dataset": dataset, "seed": seed}
    try:
        config = EDTConfig(overrides=keys)
    except UserError as error:
        raise UserError(f"{row.label}: {error}") from None
    return CellJob(row, seed, name, keys, config, is_trial)


def job_of_plan(
    plan: ComparisonPlan, row: ComparisonRow, seed: int, tuned: Mapping[str, Any] | None = None
) -> CellJob:
    """Return the run of a row with one seed; `tuned` are the best values of its search."""
    keys = {**plan.keys, **row.keys, **(tuned or {})}
    return make_job(row, plan.dataset, keys, seed, f"{row.label}, seed {seed}")
