"""The typed record of a finished run: reading, writing and checking ``metrics.json``.

Older runs lack some keys; every such field has the default None here, and is left out again when
the record is written. A change that needs more raises `SCHEMA` and rewrites old content in
`_migrate`, so that nothing else has to know how files looked before.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, ValidationError

from recbole_edt.errors import UserError
from recbole_edt.files import read_json, write_json
from recbole_edt.runs.figures import (
    ArtefactsRead,
    Cost,
    FinalPhase,
    Fold,
    Number,
    Part,
    Phase,
    Protocol,
    Report,
    StdOverFolds,
    WithoutExpert,
)

SCHEMA = 1
FINAL, WITHOUT_EXPERT = "final", "without_expert"
Subset = Literal["valid", "test"]


def fold_variant(number: int) -> str:
    """Return the `variant` of the figures of one fold."""
    return f"fold {number}"


class NamedReport(NamedTuple):
    """One evaluation of a run.

    `variant` is ``final``, ``without_expert``, ``after PHASE`` or ``fold N``.
    """

    variant: str
    subset: Subset
    report: Report


class RunRecord(Part):
    """The content of a finished run's ``metrics.json``.

    Attributes
    ----------
    schema_version : int
        ``schema`` in the file.
    model, dataset : str
        Names.
    seed : int
        Of training.
    protocol : Protocol
        Split and candidates of the evaluation.
    valid, test : Report
        Of the chosen weights, with the content expert where there is one. Of several folds the
        mean over folds, each of the same weight; ``users`` counts the targets of all of them.
    folds : list of Fold, optional
        Of a run over all folds of a rolling split, in order; None for any other.
    std_over_folds : StdOverFolds, optional
        None for fewer than two folds.
    expert_weights : dict, optional
        Weight of the content expert per domain, as chosen on validation; of several folds each
        has its own, in its own record.
    without_expert : WithoutExpert, optional
        The model's own figures beside those with the expert.
    phases : list of Phase
        In the order of training; of several folds all of each, one fold after the other, and
        without figures, which are in the records of the folds.
    final_fit : list of FinalPhase, optional
        Phases of the final fit; None without one. Its weights are those that `test` is of, and
        what is loaded; `valid` and `phases` are of the fit before, which chose epochs.
    artefacts : ArtefactsRead, optional
        None when the model read none.
    cost : Cost
        Seconds, memory, parameters, tokens.
    versions : dict
        Version of Python and of each package that results depend on.
    git : str, optional
        Commit of the checkout, None outside one.
    device : str, optional
        What the run used, such as ``cpu`` or ``cuda``; None in records of earlier versions.
    precision : str, optional
        Value of that key, None for float32.
    """

    schema_version: int = Field(default=SCHEMA, alias="schema")
    model: str
    dataset: str
    seed: int
    protocol: Protocol
    valid: Report
    test: Report
    folds: list[Fold] | None = None
    std_over_folds: StdOverFolds | None = None
    expert_weights: dict[str, Number] | None = None
    without_expert: WithoutExpert | None = None
    phases: list[Phase]
    final_fit: list[FinalPhase] | None = None
    artefacts: ArtefactsRead | None
    cost: Cost
    versions: dict[str, str]
    git: str | None
    device: str | None = None
    precision: str | None = None

    OMITTED = frozenset((
        "folds", "std_over_folds", "expert_weights", "without_expert", "final_fit", "device",
        "precision",
    ))  # fmt: skip

    @classmethod
    def read(cls, path: Path) -> "RunRecord":
        """Read the record of a run.

        Raises
        ------
        UserError
            A missing or malformed file: names it, the key, what was found and what was expected.
        """
        content = _migrate(path, read_json(path))
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise UserError(f"{path}: {_first_problem(error)}") from None

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        write_json(path, self.to_dict())

    def reports(self) -> Iterator[NamedReport]:
        """Yield every evaluation: the final one, after earlier phases, without expert, by fold."""
        sources: list[tuple[str, RunRecord | Phase | WithoutExpert | Fold | None]] = [(FINAL, self)]
        sources += [(f"after {phase.name}", phase) for phase in self.phases]
        sources.append((WITHOUT_EXPERT, self.without_expert))
        sources += [(fold_variant(fold.fold), fold) for fold in self.folds or ()]
        for variant, source in sources:
            if source is not None and source.valid is not None:
                yield NamedReport(variant, "valid", source.valid)
            if source is not None and source.test is not None:
                yield NamedReport(variant, "test", source.test)

    def value(
        self, metric: str, domain: str | None = None, subset: Subset = "test", variant: str = FINAL
    ) -> float | None:
        """Return one metric, overall when `domain` is None; None when the run has none."""
        for named in self.reports():
            if (named.variant, named.subset) == (variant, subset):
                return named.report.value(metric, domain)
        return None

    @property
    def model_valid(self) -> Report:
        """Validation figures of the model's own scores, without a content expert."""
        return self.without_expert.valid if self.without_expert else self.valid

    @property
    def model_test(self) -> Report:
        """Test figures of the model's own scores, without a content expert."""
        return self.without_expert.test if self.without_expert else self.test


def _migrate(path: Path, content: object) -> dict[str, object]:
    """Return the content of a file of any known schema as today's schema has it."""
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {type(content).__name__}, expected a run's metrics")
    if content.get("schema", SCHEMA) != SCHEMA:
        raise UserError(f"{path}: schema: found {content['schema']!r}, expected {SCHEMA}")
    return content


def _first_problem(error: ValidationError) -> str:
    """Return key, what was found and what was expected of the first thing that is wrong."""
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(name) for name in problem["loc"] if name != "metrics")
    if problem["type"] == "missing":
        parent, _, last = key.rpartition(".")
        return f"{parent + ': ' if parent else ''}lacks {last!r}"
    expected = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if problem["type"] in ("model_type", "dict_type", "model_attributes_type"):
        expected = "an object"
    found = repr(problem["input"])
    found = found if len(found) <= 40 else f"{found[:37]}..."
    return f"{key}: found {found}, expected {expected}"
