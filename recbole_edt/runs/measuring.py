"""What is measured at the end of a run: test figures, cost, and the record of all of it."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from recbole_edt import distributed
from recbole_edt.artefacts.inputs import ArtefactInputs
from recbole_edt.artefacts.store import AUGMENT, PROFILES
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.evaluation.evaluate import Evaluation, evaluate
from recbole_edt.evaluation.expert import ContentExpert
from recbole_edt.evaluation.ranking import choose_weights
from recbole_edt.evaluation.report import describe_protocol, write_ranks
from recbole_edt.evaluation.targets import Targets
from recbole_edt.model.precision import FLOAT32
from recbole_edt.platforms import peak_rss_mb
from recbole_edt.requirements import versions
from recbole_edt.runs.figures import (
    ArtefactsRead,
    Cost,
    FinalPhase,
    Phase,
    Protocol,
    Report,
    WithoutExpert,
)
from recbole_edt.runs.folders import RunFolder
from recbole_edt.runs.record import RunRecord
from recbole_edt.training.trainer import PhasedTrainer


class Fit(NamedTuple):
    """What a fit has trained, after it.

    Attributes
    ----------
    phases : list of dict
        Its phases; see `recbole_edt.training.phase.History`.
    build_seconds : float
        Of building the model, where EASE and ItemKNN do all of their work.
    parameters : int
        Of the model.
    """

    phases: list[dict[str, Any]]
    build_seconds: float
    parameters: int

    @classmethod
    def of(cls, trainer: PhasedTrainer, build_seconds: float) -> "Fit":
        """Return the fit of a trainer that has trained."""
        count = sum(p.numel() for p in trainer.model.parameters())
        return cls(trainer.phases, build_seconds, count)

    @property
    def seconds(self) -> float:
        """Seconds of building and training, without evaluation."""
        seconds: float = self.build_seconds + sum(phase["seconds"] for phase in self.phases)
        return seconds


class Measured(NamedTuple):
    """What a trained model was measured to give on some targets.

    Attributes
    ----------
    after : dict
        By phase that can still be evaluated and by name of the targets, the model's scores then.
    plain, final : dict
        By name of the targets: the model's own scores, and those with the content expert.
    evaluations : dict
        By name of the targets: what `final` is computed from.
    weights : list of float, optional
        Weight of the content expert per domain; None without one.
    """

    after: dict[str, dict[str, Report]]
    plain: dict[str, Report]
    final: dict[str, Report]
    evaluations: dict[str, Evaluation]
    weights: list[float] | None

    def and_test_of(self, other: "Measured") -> "Measured":
        """Return this with the figures that another model has on other targets."""
        after = {name: by | other.after[name] for name, by in self.after.items()}
        plain, final = self.plain | other.plain, self.final | other.final
        evaluations = self.evaluations | other.evaluations
        return Measured(after, plain, final, evaluations, self.weights)


def measure(
    config: EDTConfig,
    trainer: PhasedTrainer,
    dataset: CrossDomainDataset,
    targets: Sequence[Targets],
    weights: Sequence[float] | None = None,
) -> Measured:
    """Rank some targets with the weights that training ended with, each once per variant.

    Parameters
    ----------
    config : EDTConfig
        Of the run.
    trainer : PhasedTrainer
        After training.
    dataset : CrossDomainDataset
        Gives the content expert its item vectors.
    targets : sequence of Targets
        What is ranked. Validation comes first, where weights are to be chosen on it.
    weights : sequence of float, optional
        Of the content expert per domain, as chosen earlier; by default chosen now.
    """
    model, candidates = trainer.model, config["candidates"]
    latest: dict[str, Evaluation] = {}

    def reports(expert: ContentExpert | None = None) -> dict[str, Report]:
        sampled = config["sampled_candidates"]
        for some in targets:
            latest[some.name] = evaluate(model, some, trainer.metrics, candidates, sampled, expert)
        return {name: Report.model_validate(found.report) for name, found in latest.items()}

    after = {}
    for name in trainer.capabilities.kept_phases():
        trainer.capabilities.set_phase(name)
        after[name] = reports()
    trainer.capabilities.set_phase(trainer.capabilities.phases[-1])
    plain = reports()
    if not config["content_expert"]:
        return Measured(after, plain, plain, latest, None)
    expert = ContentExpert(dataset, weights)
    if weights is None:
        metric, grid = trainer.valid_metric, config["expert_weights"]
        weights = choose_weights(model, targets[0], candidates, expert, grid, metric)
    return Measured(after, plain, reports(expert), latest, [*weights])


def write_record(
    config: EDTConfig,
    folder: RunFolder,
    dataset: CrossDomainDataset,
    test: Targets,
    measured: Measured,
    fits: Sequence[Fit],
) -> RunRecord:
    """Write a run's record and the rank of each test target; return the record.

    Parameters
    ----------
    config : EDTConfig
        Of the run.
    folder : RunFolder
        Takes the files.
    dataset : CrossDomainDataset
        All interactions.
    test : Targets
        The test targets.
    measured : Measured
        On validation and test.
    fits : sequence of Fit
        The fit that chose epochs and, if there was one, the final fit.
    """
    first, *again = fits
    after, plain = measured.after, measured.plain
    weights = without_expert = None
    if measured.weights is not None:
        weights = dict(zip(dataset.domains, measured.weights, strict=True))
        without_expert = WithoutExpert(valid=plain["valid"], test=plain["test"])
    artefacts, llm_tokens, llm_seconds = _artefacts_read(config, dataset)
    record = RunRecord(
        model=config["model"],
        dataset=config["dataset"],
        seed=config["seed"],
        protocol=Protocol.model_validate(describe_protocol(test)),
        valid=measured.final["valid"],
        test=measured.final["test"],
        expert_weights=weights,
        without_expert=without_expert,
        phases=[
            Phase.model_validate(phase).model_copy(update=after.get(phase["name"], {}))
            for phase in first.phases
        ],
        final_fit=[
            FinalPhase(name=p["name"], epochs=p["best_epoch"], seconds=p["seconds"])
            for fit in again
            for p in fit.phases
        ]
        or None,
        artefacts=artefacts,
        cost=Cost(
            train_seconds=round(sum(fit.seconds for fit in fits), 6),
            peak_rss_mb=peak_rss_mb(),
            parameters=first.parameters,
            processes=distributed.size() if distributed.size() > 1 else None,
            llm_tokens=llm_tokens,
            llm_seconds=llm_seconds,
        ),
        versions=versions(),
        git=_git_commit(),
        device=str(config["device"]),
        precision=None if config["precision"] == FLOAT32 else config["precision"],
    )
    if distributed.is_main():
        last = measured.evaluations["test"]
        write_ranks(folder.ranks_path, last.ranks, test, last.per_target)
        record.write(folder.metrics_path)
    return record


def _artefacts_read(
    config: EDTConfig, dataset: CrossDomainDataset
) -> tuple[ArtefactsRead | None, int, float]:
    """Return what the model read (None if nothing), and tokens and seconds of the LLM for it."""
    inputs = dataset.text_inputs
    if not isinstance(inputs, ArtefactInputs) or not inputs.parts_read:
        return None, 0, 0
    artefacts = inputs.find()
    if artefacts is None:
        return None, 0, 0
    parts = [part for part in (AUGMENT, PROFILES) if part in inputs.parts_read]
    made = [artefacts.manifest[part] for part in parts]
    spent = [part.get("spent", {}) for part in made]
    llm = next((part["llm"] for part in made if part.get("llm")), None)
    return (
        ArtefactsRead(hash=artefacts.hash, llm=llm, encoder=config["encoder"]),
        sum(s.get("prompt_tokens", 0) + s.get("generated_tokens", 0) for s in spent),
        sum(s.get("seconds", 0.0) for s in spent),
    )


def _git_commit() -> str | None:
    """Return the commit of the checkout this package runs from, None outside one."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
