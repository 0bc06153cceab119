"""Runs: their typed record, their folders, executing one and loading a finished one.

Public, and all that other packages use; names of files and keys of ``metrics.json`` stay in here:

- `RunRecord`: the content of ``metrics.json``, with `Report`, `MetricScores`, `Protocol`, `Phase`;
- `RunFolder`: the paths of a run's files, ``read_record()``, ``read_settings()``, ``is_finished``;
- `runs_of`, `finished_run_of`, `choose_folder`, `first_folder`, `newest_finished`: runs on disk;
- `exclusive_run`, `lock_path`: one process per configuration and seed;
- `FOLDER_KEYS`, `without_folders`: keys that say where files are, which no hash has;
- `execute`: train and evaluate; returns a `CompletedRun` of folder and record;
- `load_run`: dataset, model and weights of a finished run as a `LoadedRun`;
- `refuse_stale`: refuse a finished run whose artefacts would be others today;
- `configs_of_splits`: the configuration of each fold of a rolling split, or the only one;
- `find_dataset`, `dataset_files`: a dataset's folder, made where it is the embedded one; its files;
- `reevaluate`: a finished run's test targets by another protocol.

The last seven import torch and RecBole, and are imported when they are first asked for.
"""

from typing import TYPE_CHECKING

from recbole_edt.lazy import lazy_names
from recbole_edt.runs.figures import MetricScores, Phase, Protocol, Report, ScopedScores
from recbole_edt.runs.folders import (
    FOLDER_KEYS,
    RunFolder,
    choose_folder,
    exclusive_run,
    finished_run_of,
    first_folder,
    lock_path,
    newest_finished,
    runs_of,
    without_folders,
)
from recbole_edt.runs.record import FINAL, WITHOUT_EXPERT, NamedReport, RunRecord, fold_variant

if TYPE_CHECKING:
    from recbole_edt.runs.assembly import dataset_files, find_dataset
    from recbole_edt.runs.execution import CompletedRun, execute, refuse_stale
    from recbole_edt.runs.folds import configs_of_splits
    from recbole_edt.runs.loading import LoadedRun, load_run
    from recbole_edt.runs.reevaluation import reevaluate

__all__ = [
    "FINAL", "FOLDER_KEYS", "WITHOUT_EXPERT", "CompletedRun", "LoadedRun", "MetricScores",
    "NamedReport", "Phase", "Protocol", "Report", "RunFolder", "RunRecord", "ScopedScores",
    "choose_folder", "configs_of_splits", "dataset_files", "exclusive_run", "execute",
    "find_dataset", "finished_run_of", "first_folder", "fold_variant", "load_run", "lock_path",
    "newest_finished", "reevaluate", "refuse_stale", "runs_of", "without_folders",
]  # fmt: skip

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "dataset_files": ".assembly",
        "find_dataset": ".assembly",
        "CompletedRun": ".execution",
        "execute": ".execution",
        "refuse_stale": ".execution",
        "LoadedRun": ".loading",
        "configs_of_splits": ".folds",
        "load_run": ".loading",
        "reevaluate": ".reevaluation",
    },
)
