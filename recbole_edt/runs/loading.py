"""Loading a finished run: dataset, model and weights put together again."""

from dataclasses import dataclass
from typing import Any

from recbole_edt.artefacts import store
from recbole_edt.artefacts.catalogue import Catalogue, read_catalogue
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.errors import UserError, one_line
from recbole_edt.evaluation.evaluate import evaluate
from recbole_edt.evaluation.expert import ContentExpert
from recbole_edt.evaluation.list_metrics import is_list_metric
from recbole_edt.evaluation.report import flatten_metrics
from recbole_edt.evaluation.targets import Targets
from recbole_edt.model.precision import check_precision
from recbole_edt.model.protocols import capabilities_of
from recbole_edt.recbole_bridge import init_seed
from recbole_edt.recbole_bridge.model_state import has_other_state
from recbole_edt.runs import assembly
from recbole_edt.runs.figures import Report
from recbole_edt.runs.folders import RunFolder, Settings
from recbole_edt.runs.record import RunRecord
from recbole_edt.training import checkpoint

_TOLERANCE = 1e-6


@dataclass(frozen=True)
class LoadedRun:
    """A finished run that can score items again.

    Attributes
    ----------
    folder : RunFolder
        Where it is.
    record : RunRecord
        What it measured.
    config : EDTConfig
        Its configuration.
    dataset : CrossDomainDataset
        All interactions, as evaluation sees them.
    trained_on : CrossDomainDataset
        The training part; that of the final fit, where there was one.
    model : RecBole model
        With the run's chosen weights, or those of its final fit, in evaluation mode.
    expert : ContentExpert or None
        What the run adds to the model's scores, with the weights that it chose.
    catalogue : Catalogue
        The items with their titles.
    artefacts : ArtefactSet or None
        The set that the run read; None when it read none.
    """

    folder: RunFolder
    record: RunRecord
    config: EDTConfig
    dataset: CrossDomainDataset
    trained_on: CrossDomainDataset
    model: Any
    expert: ContentExpert | None
    catalogue: Catalogue
    artefacts: store.ArtefactSet | None


def load_run(folder: RunFolder, overrides: Settings) -> LoadedRun:
    """Load a finished run: its configuration, the dataset, and the model with its weights.

    Of a run over all folds of a rolling split the last one is loaded, which trained on most rows.

    Parameters
    ----------
    folder : RunFolder
        Where it is.
    overrides : mapping
        Keys that decide where and how to compute, such as ``data_path``.

    Raises
    ------
    UserError
        When the run is not finished or cannot be loaded, or the dataset is no longer the one
        that it was trained on.
    """
    folder = folder.loadable()
    folder.require_finished()
    record = folder.read_record()
    config = EDTConfig(None, None, [str(folder.config_path)], overrides)
    assembly.agree_on_settings(config.to_dict())
    check_precision(config["precision"], config["device"])
    if "gpu_id" in overrides:  # the run may have been made on a machine with more GPUs
        assembly.check_gpus(config)
    assembly.seed_everything(config)
    dataset = assembly.open_dataset(config)
    checkpoint.refuse_other_data(folder.path, record.protocol.data_hashes(), dataset)
    template = store.ArtefactSettings.from_config(config).catalogue_template
    catalogue = read_catalogue(config.dataset_dir, config["dataset"], template)
    artefacts = _artefacts_of(folder, record, config, dataset, catalogue)
    train_data, valid, test = assembly.prepare_data(config, dataset)
    weights, fitted = folder, (valid, record.model_valid)
    if config["final_fit"]:
        train_data = assembly.prepare_final_data(config, dataset)
        weights, fitted = folder.final_fit, (test, record.model_test)
    init_seed(config["seed"], config["reproducibility"])
    model = assembly.build_model(config, train_data.dataset)
    _load_weights(weights, model)
    model.eval()
    if has_other_state(model):
        _refuse_lost_state(folder, record, model, *fitted)
    expert = _expert_of(record, test.part)
    return LoadedRun(
        folder, record, config, test.part, train_data.dataset, model, expert, catalogue, artefacts
    )


def _artefacts_of(
    folder: RunFolder,
    record: RunRecord,
    config: EDTConfig,
    dataset: CrossDomainDataset,
    catalogue: Catalogue,
) -> store.ArtefactSet | None:
    """Return the set that a run read; refuse one of another catalogue or other settings."""
    if record.artefacts is None:
        return None
    name, dataset_dir = config["dataset"], config.dataset_dir
    identity = store.ArtefactSettings.from_config(config).identity(catalogue, dataset.split)
    read = record.artefacts.hash
    store.refuse_other_artefacts(folder.path, read, dataset_dir, name, identity)
    return store.find_set(dataset_dir, name, identity)


def _expert_of(record: RunRecord, dataset: CrossDomainDataset) -> ContentExpert | None:
    if record.expert_weights is None:
        return None
    return ContentExpert(dataset, [record.expert_weights[domain] for domain in dataset.domains])


def _load_weights(folder: RunFolder, model: Any) -> None:
    state = checkpoint.load_state(folder.checkpoint_dir)
    if state is None:
        raise UserError(f"run: {folder.path} has no checkpoint")
    capabilities_of(model).begin_phase(state.phase)
    try:
        model.load_state_dict(checkpoint.model_weights(state.tensors))
        checkpoint.unpack_outside(model, state.tensors)
    except RuntimeError as error:
        reason = one_line(error, 200)
        raise UserError(
            f"run: {folder.checkpoint_dir} does not fit the dataset as it is now ({reason})"
        ) from None


def _refuse_lost_state(
    folder: RunFolder, record: RunRecord, model: Any, targets: Targets, before: Report
) -> None:
    """Refuse a model whose state outside tensors does not come back with its construction.

    RecBole's EASE and ItemKNN compute theirs from the training rows when they are built; whether
    another does, only its scores show: targets are ranked again and compared with what they gave.
    """
    protocol = record.protocol
    names = list(before.overall.metrics)
    names = [name for name in names if not is_list_metric(name)] or names
    depth = max(int(name.split("@")[1]) for name in names)
    try:
        found = evaluate(model, targets, names, protocol.candidates, protocol.sampled, depth=depth)
        now, then = flatten_metrics(found.report), before.flat()
        # never for what is not a number
        same = all(abs(value - then[name]) < _TOLERANCE for name, value in now.items())
    except (UserError, TypeError, AttributeError):  # a count that was never made
        same = False
    if not same:
        raise UserError(
            f"run: {folder.path}: {record.model} keeps its state outside the checkpoint's "
            "tensors, so that it cannot be loaded again; expected a model that learns weights"
        )
