"""One run: data, model, phases, evaluation, and the files that are left behind."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
import yaml

from recbole_edt.artefacts.inputs import ArtefactInputs, attach_artefacts
from recbole_edt.artefacts.store import (
    AUGMENT,
    PROFILES,
    ArtefactSettings,
    identity_now,
    refuse_other_artefacts,
)
from recbole_edt.config.edt_config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.loaders import training_loader
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError, nearest
from recbole_edt.evaluation.expert import ContentExpert
from recbole_edt.evaluation.ranking import choose_weights, rank_targets
from recbole_edt.evaluation.report import describe_protocol, report_metrics, write_ranks
from recbole_edt.evaluation.targets import Targets
from recbole_edt.files import digest, read_json, write_json, write_text
from recbole_edt.model.protocols import trains_on_windows
from recbole_edt.model.registry import get_model
from recbole_edt.platforms import peak_rss_mb
from recbole_edt.prepare.movielens import DEFAULT_DATASET
from recbole_edt.prepare.pipeline import ensure_default
from recbole_edt.recbole_bridge import init_seed
from recbole_edt.recbole_bridge.stock import is_stock
from recbole_edt.requirements import versions
from recbole_edt.training.checkpoint import refuse_other_data
from recbole_edt.training.trainer import PhasedTrainer, get_trainer

SCHEMA = 1
_log = logging.getLogger()


def run_recbole_edt(
    model: str | None = None,
    dataset: str | None = None,
    config_files: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Train and evaluate one model; the Python face of ``recbole-edt run``.

    Parameters
    ----------
    model, dataset : str, optional
        Names, unless a file or key gives them.
    config_files : sequence of str
        YAML files, the last one wins.
    overrides : mapping, optional
        Keys above all files.
    resume : bool
        Go on with the newest run of exactly this configuration, if there is one; a finished
        run is returned as it is.

    Returns
    -------
    dict
        The content of ``metrics.json``, and under ``run_dir`` where it was written.

    Raises
    ------
    UserError
        Bad configuration, data, artefacts or checkpoint.
    """
    config = EDTConfig(model, dataset, config_files, overrides)
    return run(config, resume)


def run(
    config: EDTConfig,
    resume: bool = False,
    wait: bool = False,
    shared_from: Path | None = None,
) -> dict[str, Any]:
    """Run one configuration; see `run_recbole_edt`.

    Two processes never work on runs of one configuration and seed: `wait` says whether to wait for
    the other one or to refuse. `shared_from` is a finished run with the same shared phase, which
    is taken over in place of training it once more; the numbers are the same.
    """
    settings = config.to_dict()
    config["show_progress"] = config["show_progress"] and sys.stderr.isatty()
    if _lock_path(settings).exists():
        with _only_process(settings, wait):
            pass  # refused, or waited, before the work of reading data and not after it
    use_deterministic_algorithms(config["reproducibility"])
    init_seed(config["seed"], config["reproducibility"])
    find_dataset(config)
    dataset = CrossDomainDataset(config)
    finished = _place(config, settings, resume, dataset)[1]
    if finished is not None:
        return finished
    train_data, valid, test = prepare_data(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    if config["sampled_candidates"]:  # a draw that cannot be made is no news for after training
        for targets in (valid, test):
            targets.sampled_candidates(config["sampled_candidates"], config["candidates"])
    begun = time.perf_counter()
    model = build_model(config, train_data.dataset)
    build_seconds = time.perf_counter() - begun
    trainer_class = get_trainer(config["MODEL_TYPE"], config["model"])
    with _only_process(settings, wait):  # from here on the run's folder is written to
        found, finished = _place(config, settings, resume, dataset)
        if finished is not None:  # by another process meanwhile
            return finished
        run_dir = Path(config["run_dir"])
        run_dir.mkdir(parents=True, exist_ok=True)
        with logging_to(run_dir / "train.log"):
            write_text(run_dir / "config.yaml", yaml.safe_dump(settings))
            trainer = trainer_class(config, model, shared_from)
            if found and not trainer.resume():
                _log.info("nothing to resume yet: starting from the beginning")
            trainer.fit(train_data, valid, show_progress=config["show_progress"])
            metrics = collect_metrics(config, trainer, dataset, valid, test, build_seconds)
            write_json(run_dir / "metrics.json", metrics)
    return {**metrics, "run_dir": str(run_dir)}


def _place(
    config: EDTConfig, settings: Mapping[str, Any], resume: bool, dataset: CrossDomainDataset
) -> tuple[bool, dict[str, Any] | None]:
    """Set the run's folder; return whether it is an earlier run's, and what that one found.

    A finished run of other data than today's is refused.
    """
    run_dir, found = choose_run_dir(settings, resume)
    config["run_dir"], config["checkpoint_dir"] = str(run_dir), str(run_dir / "checkpoint")
    path = run_dir / "metrics.json"
    if not (found and path.exists()):
        return found, None
    metrics = read_json(path)
    refuse_other_data(run_dir, metrics["protocol"], dataset)
    refuse_stale(run_dir, metrics, config, dataset.split)
    return found, {**metrics, "run_dir": str(run_dir)}


def refuse_stale(
    run_dir: Path, metrics: Mapping[str, Any], config: EDTConfig, split: Split
) -> None:
    """Refuse a finished run that read artefacts of other titles or domains than today's."""
    if metrics["artefacts"] is not None:
        name, settings = config["dataset"], ArtefactSettings.from_config(config)
        identity = identity_now(config.dataset_dir, name, settings, split)
        refuse_other_artefacts(run_dir, metrics, config.dataset_dir, name, identity)


def use_deterministic_algorithms(wanted: bool) -> None:
    """Make torch add in one order: on several threads gradients of lookups differ otherwise."""
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    # filling fresh memory costs time and changes no result
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def build_model(config: EDTConfig, dataset: CrossDomainDataset) -> Any:
    """Return the model on its device; what a stock model refuses is a user error."""
    model_class = get_model(config["model"])
    try:
        return model_class(config, dataset).to(config["device"])
    except (KeyError, ValueError, NotImplementedError) as error:
        if not is_stock(model_class):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"model: {config['model']} refuses its settings or {config['dataset']}: {reason}"
        ) from error


def choose_run_dir(settings: Mapping[str, Any], resume: bool) -> tuple[Path, bool]:
    """Return the folder of this run and whether it is an earlier one to go on with.

    A run's id is its seed and a hash of its configuration; a second run of the same
    configuration gets ``-2`` and so on.
    """
    first = _first_run_dir(settings)
    path, previous, number = first, None, 1
    while path.exists():
        previous, number = path, number + 1
        path = first.with_name(f"{first.name}-{number}")
    return (previous, True) if resume and previous else (path, False)


def _first_run_dir(settings: Mapping[str, Any]) -> Path:
    unique = {k: v for k, v in settings.items() if k not in ("data_path", "output_dir")}
    base = Path(settings["output_dir"], settings["dataset"], settings["model"])
    return base / f"seed{settings['seed']}-{digest(unique)[:8]}"


def _lock_path(settings: Mapping[str, Any]) -> Path:
    run_dir = _first_run_dir(settings)
    return run_dir.parents[1] / ".locks" / f"{settings['model']}-{run_dir.name}.lock"


@contextmanager
def _only_process(settings: Mapping[str, Any], wait: bool) -> Iterator[None]:
    path = _lock_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except filelock.Timeout:
        raise UserError(
            f"run: another process is at work on {_first_run_dir(settings)}; "
            "expected one per configuration and seed"
        ) from None
    try:
        yield
    finally:
        lock.release()


def find_dataset(config: EDTConfig) -> None:
    """Make the embedded default dataset when it is missing; refuse any other missing one."""
    name, folder = config["dataset"], config.dataset_dir
    if (folder / f"{name}.inter").is_file():
        return
    if name == DEFAULT_DATASET:
        ensure_default(config.data_root)
        return
    known = [DEFAULT_DATASET]
    if config.data_root.is_dir():
        known += [p.name for p in config.data_root.iterdir() if (p / f"{p.name}.inter").is_file()]
    raise UserError(
        f"dataset: {folder}/{name}.inter does not exist{nearest(name, known)}; "
        "make it with 'recbole-edt prepare'"
    )


def prepare_data(config: EDTConfig, dataset: CrossDomainDataset) -> tuple[Any, Targets, Targets]:
    """Return the training loader of the model and the targets of validation and test."""
    attach_artefacts(dataset)
    parts = dataset.build()
    loader = training_loader(dataset, parts, trains_on_windows(config.model_class))
    return loader, Targets(parts[1], "valid"), Targets(parts[2], "test")


def collect_metrics(
    config: EDTConfig,
    trainer: PhasedTrainer,
    dataset: CrossDomainDataset,
    valid: Targets,
    test: Targets,
    build_seconds: float,
) -> dict[str, Any]:
    """Evaluate the chosen weights once on test and return the content of ``metrics.json``.

    The rank of each test target is written to ``test_ranks.csv`` beside it. Training costs the
    seconds of all phases and of building the model, where EASE and ItemKNN do all of their work.
    """
    scope, sampled, model = config["candidates"], config["sampled_candidates"], trainer.model
    expert = ContentExpert(dataset) if config["content_expert"] else None
    ranks: dict[str, np.ndarray] = {}  # of the latest evaluation

    def evaluate(targets: Targets, expert: ContentExpert | None = None) -> dict[str, Any]:
        ranks[targets.name] = rank_targets(model, targets, scope, sampled, expert)
        return report_metrics(ranks[targets.name], targets, trainer.metrics)

    phases = {phase["name"]: dict(phase) for phase in trainer.phases}
    for name in trainer.capabilities.kept_phases():
        trainer.capabilities.set_phase(name)
        phases[name] |= {"valid": evaluate(valid), "test": evaluate(test)}
    trainer.capabilities.set_phase(trainer.capabilities.phases[-1])
    scores = {"valid": evaluate(valid), "test": evaluate(test)}
    if expert is not None:
        grid, metric = config["expert_weights"], trainer.valid_metric
        weights = choose_weights(model, valid, scope, expert, grid, metric)
        chosen = dict(zip(dataset.domains, weights, strict=True))
        scores = {
            "valid": evaluate(valid, expert),
            "test": evaluate(test, expert),
            "expert_weights": chosen,
            "without_expert": scores,
        }
    write_ranks(trainer.run_dir / "test_ranks.csv", ranks["test"], test)
    artefacts, llm_cost = describe_artefacts(config, dataset)
    return {
        "schema": SCHEMA,
        "model": config["model"],
        "dataset": config["dataset"],
        "seed": config["seed"],
        "protocol": describe_protocol(test),
        **scores,
        "phases": [*phases.values()],
        "artefacts": artefacts,
        "cost": {
            "train_seconds": round(build_seconds + sum(p["seconds"] for p in phases.values()), 6),
            "peak_rss_mb": peak_rss_mb(),
            "parameters": sum(p.numel() for p in model.parameters()),
            **llm_cost,
        },
        "versions": versions(),
        "git": git_commit(),
    }


def describe_artefacts(
    config: EDTConfig, dataset: CrossDomainDataset
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return what the model read (None if nothing) and what the LLM's share of it cost."""
    inputs = dataset.text_inputs
    read = inputs.parts_read if isinstance(inputs, ArtefactInputs) else set()
    found = inputs.find() if isinstance(inputs, ArtefactInputs) and read else None
    used = [found.manifest[part] for part in (AUGMENT, PROFILES) if part in read] if found else []
    spent = [part.get("spent", {}) for part in used]
    cost = {
        "llm_tokens": sum(s.get("prompt_tokens", 0) + s.get("generated_tokens", 0) for s in spent),
        "llm_seconds": sum(s.get("seconds", 0.0) for s in spent),
    }
    if found is None:
        return None, cost
    llm = next((part["llm"] for part in used if part.get("llm")), None)
    return {"hash": found.hash, "llm": llm, "encoder": config["encoder"]}, cost


def git_commit() -> str | None:
    """Return the commit of the checkout this package runs from, None outside one."""
    folder = Path(__file__).parent
    if not (folder.parent / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Log to the terminal's error stream and to a file while the block runs."""
    console, file = logging.StreamHandler(), logging.FileHandler(path, encoding="utf-8")
    console.setFormatter(logging.Formatter("%(message)s"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = _log.level
    _log.setLevel(logging.INFO)
    for handler in (console, file):
        _log.addHandler(handler)
    try:
        yield
    finally:
        for handler in (console, file):
            _log.removeHandler(handler)
            handler.close()
        _log.setLevel(level)
