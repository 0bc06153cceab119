"""One run from its configuration to its record: data, model, training, evaluation, files."""

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from recbole_edt import distributed
from recbole_edt.artefacts.store import ArtefactSettings, identity_now, refuse_other_artefacts
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.rolling_split import has_all_folds
from recbole_edt.data.split import Split, split_of
from recbole_edt.model.precision import FLOAT32, check_precision
from recbole_edt.recbole_bridge import init_seed
from recbole_edt.runs import assembly
from recbole_edt.runs.folders import RunFolder, Settings, choose_folder, exclusive_run, lock_path
from recbole_edt.runs.folds import combined_record, fold_configs, require_artefacts, write_all_ranks
from recbole_edt.runs.logs import logging_to, no_logging
from recbole_edt.runs.measuring import Fit, measure, write_record
from recbole_edt.runs.record import RunRecord
from recbole_edt.runs.reuse import reuse_first_phase
from recbole_edt.training.checkpoint import refuse_other_data
from recbole_edt.training.loop import ChosenEpochs
from recbole_edt.training.trainer import PhasedTrainer, get_trainer

_log = logging.getLogger(__name__)


class CompletedRun(NamedTuple):
    """A finished run: where it is and what it measured."""

    folder: RunFolder
    record: RunRecord


def execute(
    config: EDTConfig, resume: bool = False, wait: bool = False, shared_from: Path | None = None
) -> CompletedRun:
    """Train and evaluate one configuration.

    With all folds of a rolling split, each is trained and evaluated in a folder of its own within
    the run's, as a run of only that fold would be; the record holds the figures of all.

    Parameters
    ----------
    config : EDTConfig
        Of the run; it is not changed.
    resume : bool
        Go on with the newest run of exactly this configuration, if there is one; a finished run
        is returned as it is.
    wait : bool
        Wait for another process that is at work on this configuration and seed, in place of
        refusing. Two processes never are.
    shared_from : pathlib.Path, optional
        A finished run with the same shared phase, which is reused in place of training it once
        more; the numbers are the same.

    Raises
    ------
    UserError
        Bad data, artefacts or checkpoint; another process; training that diverges.
    """
    distributed.start()
    settings = config.to_dict()
    assembly.agree_on_settings(settings)
    check_precision(config["precision"], config["device"])
    assembly.check_gpus(config)
    if lock_path(settings).exists() and distributed.is_main():
        with exclusive_run(settings, wait):
            pass  # refused, or waited, before the work of reading data and not after it
    at = _Location(settings, resume, wait)
    if has_all_folds(settings):
        return _execute_folds(config, at, shared_from)
    return _execute_one(config, at, shared_from)


def _execute_folds(config: EDTConfig, at: "_Location", shared_from: Path | None) -> CompletedRun:
    """Run all folds, the earliest first, and write one record; a finished fold is not run again."""
    configs = fold_configs(config)
    with distributed.main_first():
        assembly.find_dataset(config)
        splits = [split_of(one) for one in configs]  # all can be made, or no fold is trained
    folder, _, is_finished = at.choose()
    if is_finished:
        return _checked_folds(folder, configs)
    require_artefacts(config, splits)
    with at.lock():
        folder, _, is_finished = at.choose()
        if is_finished:
            return _checked_folds(folder, configs)
        if distributed.is_main():
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.write_settings(at.settings)
        records = []
        for number, one in enumerate(configs, start=1):
            within = _Location(one.to_dict(), resume=True, wait=False, fixed=folder.fold(number))
            source = None if shared_from is None else RunFolder(shared_from).fold(number).path
            records.append(_execute_one(one, within, source).record)
        record = combined_record(config, records)
        if distributed.is_main():
            write_all_ranks(folder, len(configs))
            record.write(folder.metrics_path)
    return CompletedRun(folder, record)


def _execute_one(config: EDTConfig, at: "_Location", shared_from: Path | None) -> CompletedRun:
    """Train and evaluate on one split."""
    is_main = distributed.is_main()
    trainer_class = get_trainer(config["MODEL_TYPE"], config["model"])
    assembly.seed_everything(config)
    dataset = assembly.open_dataset(config)
    folder, is_earlier, is_finished = at.choose()
    if is_finished:
        return _checked(folder, config, dataset)
    train_data, valid, test = assembly.prepare_data(config, dataset)
    if config["sampled_candidates"]:  # a draw that cannot be made is no news for after training
        with distributed.main_first():
            for targets in (valid, test):
                targets.sampled_candidates(config["sampled_candidates"], config["candidates"])
    model, build_seconds = _seeded_model(config, train_data)
    # from here on the run's folder is written to
    with at.lock():
        folder, is_earlier, is_finished = at.choose()
        if is_finished:  # by another process meanwhile
            return _checked(folder, config, dataset)
        if is_main:
            folder.path.mkdir(parents=True, exist_ok=True)
        with logging_to(folder.log_path) if is_main else no_logging():
            if is_main:
                folder.write_settings(at.settings)
            if at.fixed is not None:
                _log.info(f"fold {config['fold']} of {config['folds']}")
            trainer = trainer_class(config, model, folder.path)
            if not (is_earlier and trainer.resume()):
                if is_earlier:
                    _log.info("nothing to resume yet: starting from the beginning")
                reuse_first_phase(trainer, shared_from, valid)
            precision = "" if config["precision"] == FLOAT32 else f", {config['precision']}"
            _log.info(f"device: {config['device']}{precision}")
            trainer.fit(train_data, valid, show_progress=_shows_progress(config))
            fits = [Fit.of(trainer, build_seconds)]
            if config["final_fit"]:
                chosen = trainer.chosen_epochs
                measured = measure(config, trainer, dataset, [valid])
                del model, trainer, train_data
                trainer, again = _fit_again(config, folder, dataset, chosen, is_earlier)
                on_test = measure(config, trainer, dataset, [test], measured.weights)
                measured, fits = measured.and_test_of(on_test), [*fits, again]
            else:
                measured = measure(config, trainer, dataset, [valid, test])
            record = write_record(config, folder, dataset, test, measured, fits)
    return CompletedRun(folder, record)


def _seeded_model(config: EDTConfig, train_data: Any) -> tuple[Any, float]:
    """Return a new model, its first weights drawn from the seed, and how long it took."""
    init_seed(config["seed"], config["reproducibility"])
    begun = time.perf_counter()
    model = assembly.build_model(config, train_data.dataset)
    return model, time.perf_counter() - begun


def _fit_again(
    config: EDTConfig,
    folder: RunFolder,
    dataset: CrossDomainDataset,
    chosen: ChosenEpochs,
    is_earlier: bool,
) -> tuple[PhasedTrainer, Fit]:
    """Train a new model on training and validation rows, or go on where an earlier process was."""
    train_data = assembly.prepare_final_data(config, dataset)
    model, build_seconds = _seeded_model(config, train_data)
    trainer_class = get_trainer(config["MODEL_TYPE"], config["model"])
    trainer = trainer_class(config, model, folder.final_fit.path, is_final=True)
    if is_earlier:
        trainer.resume()
    _log.info("final fit: training and validation rows, epochs as chosen on validation")
    trainer.fit_again(train_data, chosen, _shows_progress(config))
    return trainer, Fit.of(trainer, build_seconds)


def _shows_progress(config: EDTConfig) -> bool:
    return config["show_progress"] and sys.stderr.isatty() and distributed.is_main()


@dataclass(frozen=True)
class _Location:
    """Where a run is written.

    Attributes
    ----------
    settings : mapping
        The complete configuration as plain values.
    resume : bool
        Whether the newest run of this configuration is gone on with.
    wait : bool
        Whether another process that is at work there is waited for.
    fixed : RunFolder, optional
        The folder of a fold; whoever runs all folds has the lock.
    """

    settings: Settings
    resume: bool
    wait: bool
    fixed: RunFolder | None = None

    def choose(self) -> tuple[RunFolder, bool, bool]:
        """Return the folder that rank 0 chooses, whether it is an earlier run's, and finished."""

        def choose() -> tuple[str, bool, bool]:
            if self.fixed is None:
                folder, is_earlier = choose_folder(self.settings, self.resume)
            else:
                folder, is_earlier = self.fixed, self.fixed.path.exists()
            return str(folder.path), is_earlier, is_earlier and folder.is_finished

        path, is_earlier, is_finished = distributed.from_main(choose)
        return RunFolder(Path(path)), is_earlier, is_finished

    def lock(self) -> AbstractContextManager[None]:
        """Return the lock, for rank 0, without which nothing is written."""
        if self.fixed is not None or not distributed.is_main():
            return nullcontext()
        return exclusive_run(self.settings, self.wait)


def _checked_folds(folder: RunFolder, configs: Sequence[EDTConfig]) -> CompletedRun:
    """Return an earlier finished run over all folds, each of them checked."""
    for number, config in enumerate(configs, start=1):
        _checked(folder.fold(number), config, assembly.open_dataset(config))
    return CompletedRun(folder, _record_of(folder))


def _checked(folder: RunFolder, config: EDTConfig, dataset: CrossDomainDataset) -> CompletedRun:
    """Return an earlier finished run; refuse one of other data or artefacts than today's."""
    record = _record_of(folder)
    refuse_other_data(folder.path, record.protocol.data_hashes(), dataset)
    refuse_stale(folder, record, config, dataset.split)
    return CompletedRun(folder, record)


def _record_of(folder: RunFolder) -> RunRecord:
    content = distributed.from_main(lambda: folder.read_record().to_dict())
    return RunRecord.model_validate(content)


def refuse_stale(folder: RunFolder, record: RunRecord, config: EDTConfig, split: Split) -> None:
    """Refuse a finished run whose artefacts would be others today.

    Raises
    ------
    UserError
        When titles, domains or what makes the artefacts have changed.
    """
    if record.folds is not None:
        for number, one in enumerate(fold_configs(config), start=1):
            part = folder.fold(number)
            refuse_stale(part, part.read_record(), one, split_of(one))
        return
    if record.artefacts is None:
        return
    name, settings = config["dataset"], ArtefactSettings.from_config(config)
    identity = identity_now(config.dataset_dir, name, settings, split)
    refuse_other_artefacts(folder.path, record.artefacts.hash, config.dataset_dir, name, identity)
