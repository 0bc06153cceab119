"""The parts of a run's record: metrics, protocol, phases, artefacts and cost."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainValidator,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a finite number")
    return value  # an integer stays one, so that a record is written as it was read


def _epoch(value: object) -> int | dict[str, int]:
    epochs = value.values() if isinstance(value, dict) else [value]
    if not all(type(epoch) is int for epoch in epochs):
        raise ValueError("an epoch, or one per domain")
    return value  # type: ignore[return-value]


Number = Annotated[float, PlainValidator(_number)]
BestEpoch = Annotated[int | dict[str, int], PlainValidator(_epoch)]


class Part(BaseModel):
    """A part of a record: types are exact, nothing can be changed, keys of later versions pass."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", populate_by_name=True)

    OMITTED: ClassVar[frozenset[str]] = frozenset()
    """Keys that are not written when they have their default; others are, None as ``null``."""

    @model_serializer(mode="wrap")
    def _without_omitted(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content = handler(self)
        defaults = {k: type(self).model_fields[k].default for k in self.OMITTED}
        return {k: v for k, v in content.items() if k not in defaults or v != defaults[k]}

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return self.model_dump(by_alias=True)


class MetricScores(Part):
    """Mean metrics of some test or validation targets; one flat object in the file.

    Attributes
    ----------
    users : int
        Number of targets.
    metrics : dict of str to float
        By name, such as ``ndcg@10``; ranges are in docs/metrics.md.
    """

    users: int
    metrics: dict[str, Number]

    @model_validator(mode="before")
    @classmethod
    def _nest(cls, content: object) -> object:
        if not isinstance(content, dict) or isinstance(content.get("metrics"), dict):
            return content
        users = {"users": content["users"]} if "users" in content else {}
        return {**users, "metrics": {k: v for k, v in content.items() if k != "users"}}

    @model_serializer(mode="plain")
    def _flatten(self) -> dict[str, float]:
        return {"users": self.users, **self.metrics}


class ScopedScores(NamedTuple):
    """Scores and what they are of: ``overall``, a domain, or a group of one grouping."""

    scope: str
    domain: str
    group: str
    scores: MetricScores


class Report(Part):
    """One evaluation: overall, per domain, and per group of each grouping of targets."""

    overall: MetricScores
    domains: dict[str, MetricScores]
    groups: dict[str, dict[str, MetricScores]] = {}

    def scopes(self) -> Iterator[ScopedScores]:
        """Yield all scores; ``scope`` is ``overall``, ``domain`` or the name of a grouping."""
        yield ScopedScores("overall", "", "", self.overall)
        for domain, scores in self.domains.items():
            yield ScopedScores("domain", domain, "", scores)
        for grouping, groups in self.groups.items():
            for group, scores in groups.items():
                yield ScopedScores(grouping, "", group, scores)

    def flat(self) -> dict[str, float]:
        """Return the metrics overall and per domain, as ``ndcg@10`` and ``ndcg@10/DOMAIN``."""
        values = dict(self.overall.metrics)
        for domain, scores in self.domains.items():
            values |= {f"{name}/{domain}": value for name, value in scores.metrics.items()}
        return values

    def value(self, metric: str, domain: str | None = None) -> float | None:
        """Return one metric, overall when `domain` is None; None when there is none."""
        scores = self.overall if domain is None else self.domains.get(domain)
        return None if scores is None else scores.metrics.get(metric)


class Protocol(Part):
    """How targets were chosen and ranked; runs of one table have all of it but `topk` in common."""

    split: str
    candidates: str
    sampled: int | None
    topk: list[int]
    split_hash: str
    items_hash: str | None = None  # older runs lack it
    sampled_hash: str | None = None  # of sampled candidates only
    valid_users: int | None = None  # of a sample of the validation users only
    repeated: int | None = None  # test targets that are in their history; None for none

    final_fit: bool = False  # whether validation rows were trained on before test was ranked

    OMITTED = frozenset(("items_hash", "sampled_hash", "valid_users", "repeated", "final_fit"))
    COMPARED: ClassVar[tuple[str, ...]] = (
        "split", "split_hash", "items_hash", "candidates", "sampled", "sampled_hash",
        "valid_users", "final_fit",
    )  # fmt: skip
    """What runs of one table have in common, in the order in which it is compared."""

    def compared(self) -> dict[str, str | int | bool | None]:
        """Return `COMPARED` with values, without ``items_hash`` where the run has none."""
        values = {key: getattr(self, key) for key in self.COMPARED}
        return {k: v for k, v in values.items() if k != "items_hash" or v is not None}

    @property
    def candidate_set(self) -> str:
        """What each target is ranked among, in words."""
        scope = {"target_domain": "the target's domain", "all": "all domains"}[self.candidates]
        items = f"{self.sampled} sampled items" if self.sampled else "all items"
        chosen = f"; epochs chosen on {self.valid_users} users" if self.valid_users else ""
        fit = "; final fit on training and validation rows" if self.final_fit else ""
        return f"{items} of {scope}{chosen}{fit}"

    def data_hashes(self) -> dict[str, str]:
        """Return the hashes of the rows and items that the run was trained on, if it has them."""
        hashes = {"split_hash": self.split_hash, "items_hash": self.items_hash}
        return {key: value for key, value in hashes.items() if value is not None}


class Phase(Part):
    """One training phase.

    Attributes
    ----------
    name : str
        Such as ``shared``.
    epochs : int
        Epochs trained.
    best_epoch : int or dict
        The epoch whose weights were kept, per domain where each has its own.
    seconds : float
        Training without evaluation.
    valid, test : Report, optional
        After this phase; of phases before the last one only. With a final fit, test figures are
        those after its phase.
    """

    name: str
    epochs: int
    best_epoch: BestEpoch
    seconds: Number
    valid: Report | None = None
    test: Report | None = None

    OMITTED = frozenset(("valid", "test"))

    @property
    def last_best_epoch(self) -> int:
        """The best epoch, the latest where each domain has its own."""
        best = self.best_epoch
        return max(best.values()) if isinstance(best, dict) else best


class Fold(Part):
    """One fold of a rolling split; its own record is in the folder ``fold-N`` of the run.

    Attributes
    ----------
    fold : int
        Its number, from 1, the earliest.
    split_hash : str
        Of its rows.
    valid, test : Report
        As in its own record.
    """

    fold: int
    split_hash: str
    valid: Report
    test: Report


class StdOverFolds(Part):
    """Standard deviation (of the sample) of each metric over the folds that have targets for it.

    A metric that fewer than two folds have targets for is left out.
    """

    valid: Report
    test: Report


class FinalPhase(Part):
    """One phase of the final fit: its name, how many epochs, per domain where separate, seconds."""

    name: str
    epochs: BestEpoch
    seconds: Number


class ArtefactsRead(Part):
    """The set of artefacts that a model read: its hash, the language model, the encoder."""

    hash: str
    llm: dict[str, Any] | None
    encoder: str | None


class Cost(Part):
    """What a run took: seconds, MiB, trained parameters, tokens of a language model.

    Of several processes ``processes`` is their number, and ``peak_rss_mb`` that of rank 0.
    """

    train_seconds: Number
    peak_rss_mb: int
    parameters: int | None = None  # older runs lack it
    processes: int | None = None  # of torchrun
    llm_tokens: int
    llm_seconds: Number

    OMITTED = frozenset(("parameters", "processes"))


class WithoutExpert(Part):
    """The model's own scores, where a content expert is added to them."""

    valid: Report
    test: Report
