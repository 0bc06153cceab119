"""Ranking a finished run's test targets once more, by another protocol."""

from pathlib import Path
from typing import NamedTuple

from recbole_edt import distributed
from recbole_edt.errors import UserError
from recbole_edt.evaluation.evaluate import evaluate
from recbole_edt.evaluation.expert import ContentExpert
from recbole_edt.evaluation.report import describe_protocol, metric_names
from recbole_edt.evaluation.targets import Targets
from recbole_edt.files import write_json
from recbole_edt.runs.figures import Number, Part, Protocol, Report
from recbole_edt.runs.folders import RunFolder, Settings
from recbole_edt.runs.loading import load_run


class TestOnly(Part):
    """The model's own test figures beside those with a content expert."""

    __test__ = False  # no test class of pytest

    test: Report


class Reevaluation(Part):
    """Content of the file that `reevaluate` writes; keys are those of `RunRecord`."""

    model: str
    dataset: str
    seed: int
    protocol: Protocol
    test: Report
    expert_weights: dict[str, Number] | None = None
    without_expert: TestOnly | None = None

    OMITTED = frozenset(("expert_weights", "without_expert"))


class WrittenReevaluation(NamedTuple):
    """What was measured, the names of the metrics, and where it was written."""

    figures: Reevaluation
    metrics: list[str]
    path: Path


def reevaluate(folder: RunFolder, keys: Settings) -> WrittenReevaluation:
    """Rank a finished run's test targets again and write the figures beside the run.

    Weights of model and content expert stay as the run chose them on its own validation.

    Parameters
    ----------
    folder : RunFolder
        Of the finished run.
    keys : mapping
        The protocol (``candidates``, ``sampled_candidates``, ``metrics``, ``topk``,
        ``tail_ratio``), and keys that decide where and how to compute.

    Raises
    ------
    UserError
        A protocol that does not exist, a run over several folds, and whatever `load_run` refuses.
    """
    distributed.start()
    if folder.has_folds:
        raise UserError(
            f"run: {folder.path} is a run over several folds; expected the folder of one of them, "
            f"such as {folder.fold(1).path}"
        )
    run = load_run(folder, keys)
    config, targets = run.config, Targets(run.dataset, "test")
    names = metric_names(config["metrics"], config["topk"])
    candidates, sampled = config["candidates"], config["sampled_candidates"]

    def report_of(expert: ContentExpert | None) -> Report:
        found = evaluate(run.model, targets, names, candidates, sampled, expert)
        return Report.model_validate(found.report)

    plain = report_of(None)
    figures = Reevaluation(
        model=run.record.model,
        dataset=run.record.dataset,
        seed=run.record.seed,
        protocol=Protocol.model_validate(describe_protocol(targets)),
        test=plain if run.expert is None else report_of(run.expert),
        expert_weights=run.record.expert_weights,
        without_expert=None if run.expert is None else TestOnly(test=plain),
    )
    path = folder.reevaluation_path(candidates, sampled)
    if distributed.is_main():
        write_json(path, figures.to_dict())
    return WrittenReevaluation(figures, names, path)
