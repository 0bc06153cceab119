"""Reuse of the first training phase of a finished run."""

import logging
from pathlib import Path

from recbole_edt import distributed
from recbole_edt.config import EDTConfig
from recbole_edt.errors import UserError
from recbole_edt.evaluation.targets import Targets
from recbole_edt.runs.folders import RunFolder
from recbole_edt.training.shared_run import ReusableRun
from recbole_edt.training.trainer import PhasedTrainer

_log = logging.getLogger(__name__)


def reuse_first_phase(trainer: PhasedTrainer, candidate: Path | None, valid: Targets) -> None:
    """Give a trainer the first phase of a finished run, where there is one that fits.

    The run that the key ``shared_run`` names has to fit. One that a comparison has selected only
    saves time: where it does not fit, the phase is trained.

    Parameters
    ----------
    trainer : PhasedTrainer
        Of a new run.
    candidate : pathlib.Path, optional
        Folder of a run that a comparison has selected.
    valid : Targets
        Validation targets of the new run.

    Raises
    ------
    UserError
        When the run of ``shared_run`` does not fit.
    """
    named = trainer.config["shared_run"]
    path = Path(named) if named else candidate
    if path is None or not trainer.capabilities.can_reuse_phase:
        return
    try:
        trainer.reuse_first_phase(_reusable_run(_same_fold(path, trainer.config)), valid)
    except UserError as error:
        if named:
            raise
        _log.info(f"{trainer.capabilities.phases[0]} phase is trained anew; {error}")
    distributed.agree("reused phase", {"shared_run": [p["epochs"] for p in trainer.phases]})


def _same_fold(path: Path, config: EDTConfig) -> RunFolder:
    """Return the folder of a run; of one over several folds that of the fold in training."""
    folder = RunFolder(path)
    return folder.fold(config["fold"]) if folder.has_folds and config["fold"] else folder


def _reusable_run(folder: RunFolder) -> ReusableRun:
    if not folder.is_finished:
        missing = folder.metrics_path.name
        raise UserError(f"shared_run: {folder.path}: found no {missing}, expected a finished run")
    record = folder.read_record()
    return ReusableRun(
        path=folder.path,
        checkpoint_dir=folder.checkpoint_dir,
        config=EDTConfig(config_files=[str(folder.config_path)]),
        split_hash=record.protocol.split_hash,
        artefacts_hash=record.artefacts.hash if record.artefacts else None,
    )
