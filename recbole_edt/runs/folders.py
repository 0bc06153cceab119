"""Where a run's files are: run ids, the layout of a run's folder, and finding earlier runs.

``<output_dir>/<dataset>/<model>/<run id>/`` holds the files of one run.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recbole_edt.config import identity, load_yaml
from recbole_edt.data.rolling_split import has_all_folds
from recbole_edt.errors import UserError, nearest
from recbole_edt.files import digest, exclusive_lock, write_text
from recbole_edt.runs.record import RunRecord

Settings = Mapping[str, Any]
"""A complete configuration as plain values, such as ``EDTConfig.to_dict()`` returns."""

FOLDER_KEYS = ("data_path", "output_dir")
"""Keys that say where files are; they change no number and enter no hash."""

_METRICS = "metrics.json"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, finished or not.

    Attributes
    ----------
    path : pathlib.Path
        ``<output_dir>/<dataset>/<model>/<run id>``.
    """

    path: Path

    @property
    def metrics_path(self) -> Path:
        """The record of a finished run; see `RunRecord`."""
        return self.path / _METRICS

    @property
    def config_path(self) -> Path:
        """The complete configuration as YAML."""
        return self.path / "config.yaml"

    @property
    def ranks_path(self) -> Path:
        """The rank of each test target as CSV."""
        return self.path / "test_ranks.csv"

    @property
    def curves_path(self) -> Path:
        """Loss and validation metrics per epoch as CSV."""
        return self.path / "curves.csv"

    @property
    def log_path(self) -> Path:
        """What was logged during training."""
        return self.path / "train.log"

    @property
    def checkpoint_dir(self) -> Path:
        """Weights and state of training."""
        return self.path / "checkpoint"

    @property
    def final_fit(self) -> "RunFolder":
        """The folder of the final fit (key ``final_fit``): its weights and its curves."""
        return RunFolder(self.path / "final")

    def fold(self, number: int) -> "RunFolder":
        """Return the folder of one fold of a rolling split, from 1: a run like any other."""
        return RunFolder(self.path / f"fold-{number}")

    @property
    def has_folds(self) -> bool:
        """Whether it is the folder of a run over all folds of a rolling split."""
        return self.config_path.is_file() and has_all_folds(self.read_settings())

    def loadable(self) -> "RunFolder":
        """Return the folder whose weights are loaded: of several folds that of the last one.

        Raises
        ------
        UserError
            When there are several folds, and not all of them are finished.
        """
        if not self.has_folds:
            return self
        self._require(self.metrics_path)
        return self.fold(self.read_settings()["folds"])

    @property
    def export_dir(self) -> Path:
        """Where the run is exported to, unless another folder is named."""
        return self.path / "export"

    def reevaluation_path(self, candidates: str, sampled: int | None) -> Path:
        """Return where test figures by another protocol are written."""
        return self.path / f"evaluate-{candidates}-{sampled or 'full'}.json"

    @property
    def is_finished(self) -> bool:
        """Whether the run has a record."""
        return self.metrics_path.is_file()

    def read_record(self) -> RunRecord:
        """Return the record of a finished run; `UserError` when it is missing or malformed."""
        return RunRecord.read(self.metrics_path)

    def read_settings(self) -> Settings:
        """Return the run's complete configuration; `UserError` when it has none."""
        return load_yaml(self.config_path)

    def write_settings(self, settings: Settings) -> None:
        """Write the complete configuration, whole or not at all."""
        write_text(self.config_path, yaml.safe_dump(dict(settings)))

    def require_finished(self) -> None:
        """Refuse a folder of no run, or of a run without record or checkpoint.

        Raises
        ------
        UserError
            Names the file that is missing.
        """
        state = self.checkpoint_dir / "state.json"
        for path in (self.config_path, self.metrics_path, state):
            self._require(path)

    def _require(self, path: Path) -> None:
        if not path.is_file():
            what = "is no folder of a run" if path == self.config_path else "is not finished"
            raise UserError(f"run: {self.path} {what}: it has no {path.relative_to(self.path)}")


def first_folder(settings: Settings) -> RunFolder:
    """Return the folder of the first run of a configuration; its id is seed and hash.

    Parameters
    ----------
    settings : mapping
        The complete configuration as plain values; `identity` says which of them count, and
        where data and output are does not.
    """
    hashed = without_folders(identity(settings))
    base = Path(settings["output_dir"], settings["dataset"], settings["model"])
    return RunFolder(base / f"seed{settings['seed']}-{digest(hashed)[:8]}")


def without_folders(settings: Settings) -> dict[str, Any]:
    """Return settings without `FOLDER_KEYS`."""
    return {k: v for k, v in settings.items() if k not in FOLDER_KEYS}


def _numbered(settings: Settings) -> Iterator[RunFolder]:
    """Yield the folders of the first, second (``-2``), ... run of a configuration, without end."""
    first, number = first_folder(settings), 1
    yield first
    while True:
        number += 1
        yield RunFolder(first.path.with_name(f"{first.path.name}-{number}"))


def runs_of(settings: Settings) -> list[RunFolder]:
    """Return the folders of all runs of exactly this configuration, the oldest first."""
    found = []
    for folder in _numbered(settings):
        if not folder.path.exists():
            break
        found.append(folder)
    return found


def finished_run_of(settings: Settings) -> RunFolder | None:
    """Return the oldest finished run of exactly this configuration, None without one."""
    return next((folder for folder in runs_of(settings) if folder.is_finished), None)


def choose_folder(settings: Settings, resume: bool) -> tuple[RunFolder, bool]:
    """Return the folder to run in, and whether it is an earlier run's that is gone on with.

    Parameters
    ----------
    settings : mapping
        The complete configuration as plain values.
    resume : bool
        Take the newest run of this configuration, if there is one; otherwise a new folder.
    """
    earlier = runs_of(settings)
    if resume and earlier:
        return earlier[-1], True
    return next(folder for folder in _numbered(settings) if not folder.path.exists()), False


def newest_finished(output_dir: Path, dataset: str, model: str) -> RunFolder:
    """Return the folder of the model's newest finished run on a dataset.

    Raises
    ------
    UserError
        When there is none.
    """
    parent = output_dir / dataset
    written = {p: p.stat().st_mtime_ns for p in parent.glob(f"{model}/*/{_METRICS}")}
    if not written:
        known = sorted({path.parent.parent.name for path in parent.glob(f"*/*/{_METRICS}")})
        raise UserError(
            f"models: no finished run of {model} in {parent}{nearest(model, known)}; "
            f"there are {known}"
        )
    return RunFolder(max(written, key=lambda path: (written[path], path)).parent)


def lock_path(settings: Settings) -> Path:
    """Return the lock file of a configuration and seed; it is outside the run's folder."""
    folder = first_folder(settings).path
    return folder.parents[1] / ".locks" / f"{settings['model']}-{folder.name}.lock"


def exclusive_run(settings: Settings, wait: bool) -> AbstractContextManager[None]:
    """Exclusive lock per configuration and seed.

    Raises
    ------
    UserError
        When another process has it and `wait` is False.
    """
    refusal = (
        f"run: another process is at work on {first_folder(settings).path}; "
        "expected one per configuration and seed"
    )
    return exclusive_lock(lock_path(settings), refusal, wait)
