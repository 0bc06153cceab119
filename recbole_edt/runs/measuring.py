"""What is measured at the end of a run: test figures, cost, and the record of all of it."""

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
from recbole_edt.platforms import peak_rss_mb
from recbole_edt.requirements import versions
from recbole_edt.runs.commit import git_commit
from recbole_edt.runs.figures import ArtefactsRead, Cost, Phase, Protocol, Report, WithoutExpert
from recbole_edt.runs.folders import RunFolder
from recbole_edt.runs.record import RunRecord
from recbole_edt.training.trainer import PhasedTrainer


class _Evaluator:
    """Evaluates the model of a run; keeps the latest evaluation of each part."""

    def __init__(self, config: EDTConfig, trainer: PhasedTrainer):
        self.model, self.metrics = trainer.model, trainer.metrics
        self.candidates, self.sampled = config["candidates"], config["sampled_candidates"]
        self.latest: dict[str, Evaluation] = {}

    def __call__(self, targets: Targets, expert: ContentExpert | None = None) -> Report:
        found = evaluate(self.model, targets, self.metrics, self.candidates, self.sampled, expert)
        self.latest[targets.name] = found
        return Report.model_validate(found.report)


def measure(
    config: EDTConfig,
    folder: RunFolder,
    trainer: PhasedTrainer,
    dataset: CrossDomainDataset,
    valid: Targets,
    test: Targets,
    build_seconds: float,
) -> RunRecord:
    """Evaluate the chosen weights once on test and return the run's record.

    The rank of each test target is written to the run's folder.

    Parameters
    ----------
    config : EDTConfig
        Of the run.
    folder : RunFolder
        Takes the ranks.
    trainer : PhasedTrainer
        After training.
    dataset : CrossDomainDataset
        All interactions.
    valid, test : Targets
        What is ranked.
    build_seconds : float
        Of building the model, where EASE and ItemKNN do all of their work; part of the cost.
    """
    model, report_of = trainer.model, _Evaluator(config, trainer)
    phases = {phase["name"]: Phase.model_validate(phase) for phase in trainer.phases}
    for name in trainer.capabilities.kept_phases():
        trainer.capabilities.set_phase(name)
        after = {"valid": report_of(valid), "test": report_of(test)}
        phases[name] = phases[name].model_copy(update=after)
    trainer.capabilities.set_phase(trainer.capabilities.phases[-1])
    on_valid, on_test = report_of(valid), report_of(test)
    weights = without_expert = None
    if config["content_expert"]:
        expert = ContentExpert(dataset)
        metric, grid = trainer.valid_metric, config["expert_weights"]
        chosen = choose_weights(model, valid, config["candidates"], expert, grid, metric)
        weights = dict(zip(dataset.domains, chosen, strict=True))
        without_expert = WithoutExpert(valid=on_valid, test=on_test)
        on_valid, on_test = report_of(valid, expert), report_of(test, expert)
    if distributed.is_main():
        last = report_of.latest["test"]
        write_ranks(folder.ranks_path, last.ranks, test, last.per_target)
    artefacts, llm_tokens, llm_seconds = _artefacts_read(config, dataset)
    return RunRecord(
        model=config["model"],
        dataset=config["dataset"],
        seed=config["seed"],
        protocol=Protocol.model_validate(describe_protocol(test)),
        valid=on_valid,
        test=on_test,
        expert_weights=weights,
        without_expert=without_expert,
        phases=[*phases.values()],
        artefacts=artefacts,
        cost=Cost(
            train_seconds=round(build_seconds + sum(phase.seconds for phase in phases.values()), 6),
            peak_rss_mb=peak_rss_mb(),
            parameters=sum(p.numel() for p in model.parameters()),
            processes=distributed.size() if distributed.size() > 1 else None,
            llm_tokens=llm_tokens,
            llm_seconds=llm_seconds,
        ),
        versions=versions(),
        git=git_commit(),
        device=str(config["device"]),
    )


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
