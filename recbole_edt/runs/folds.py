"""Runs over several folds: the configuration of each, and one record of all of them."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from recbole_edt.artefacts.inputs import ArtefactInputs
from recbole_edt.artefacts.store import AUGMENT, PROFILES
from recbole_edt.config import EDTConfig
from recbole_edt.data.rolling_split import has_all_folds
from recbole_edt.data.split import Split, configured_split
from recbole_edt.files import digest, replacing
from recbole_edt.runs.figures import (
    ArtefactsRead,
    Cost,
    Fold,
    MetricScores,
    Protocol,
    Report,
    StdOverFolds,
    WithoutExpert,
)
from recbole_edt.runs.folders import RunFolder
from recbole_edt.runs.record import RunRecord

_READ = ((AUGMENT, "augment"), (PROFILES, "profiles"))
Combine = Callable[[Sequence[float]], float | None]
"""One number of those of several folds; None where they have none together."""


def fold_configs(config: EDTConfig) -> list[EDTConfig]:
    """Return the configuration of each fold, in order; runs of their own would have the same."""
    settings = config.to_dict()
    numbers = range(1, config["folds"] + 1)
    return [EDTConfig(overrides={**settings, "fold": number}) for number in numbers]


def configs_of_splits(config: EDTConfig) -> list[EDTConfig]:
    """Return a configuration per split that is asked for: those of all folds, or the only one."""
    return fold_configs(config) if has_all_folds(config.to_dict()) else [config]


def require_artefacts(config: EDTConfig, splits: Sequence[Split]) -> None:
    """Refuse folds whose artefacts are still to be made, before the first fold is trained.

    Augmented interactions and profiles follow from training rows, so that each fold has its own.

    Parameters
    ----------
    config : EDTConfig
        Of the run over all folds.
    splits : sequence of Split
        Of the folds.

    Raises
    ------
    UserError
        Names the command that makes those of all folds.
    """
    for part in (part for part, key in _READ if config[key]):
        for split in splits:
            ArtefactInputs(config, split).require(part)


def combined_record(config: EDTConfig, records: Sequence[RunRecord]) -> RunRecord:
    """Return the record of a run over several folds.

    Parameters
    ----------
    config : EDTConfig
        Of the run.
    records : sequence of RunRecord
        Of all its folds, in order.
    """
    last = records[-1]
    valid, test = [r.valid for r in records], [r.test for r in records]
    std = StdOverFolds(valid=combine(valid, _std), test=combine(test, _std))
    plain = [r.without_expert for r in records if r.without_expert is not None]
    costs = [record.cost for record in records]
    return last.model_copy(
        update={
            "protocol": _protocol(config, [record.protocol for record in records]),
            "valid": combine(valid, _mean),
            "test": combine(test, _mean),
            "folds": [
                Fold(fold=number, split_hash=r.protocol.split_hash, valid=r.valid, test=r.test)
                for number, r in enumerate(records, start=1)
            ],
            "std_over_folds": std if len(records) > 1 else None,
            "expert_weights": None,
            "without_expert": WithoutExpert(
                valid=combine([one.valid for one in plain], _mean),
                test=combine([one.test for one in plain], _mean),
            )
            if plain
            else None,
            "phases": [
                phase.model_copy(update={"valid": None, "test": None})
                for record in records
                for phase in record.phases
            ],
            "final_fit": [p for r in records for p in r.final_fit or ()] or None,
            "artefacts": _artefacts(records),
            "cost": Cost(
                train_seconds=round(sum(cost.train_seconds for cost in costs), 6),
                peak_rss_mb=max(cost.peak_rss_mb for cost in costs),
                parameters=last.cost.parameters,
                processes=last.cost.processes,
                llm_tokens=sum(cost.llm_tokens for cost in costs),
                llm_seconds=sum(cost.llm_seconds for cost in costs),
            ),
        }
    )


def write_all_ranks(folder: RunFolder, count: int) -> None:
    """Write the ranks of all folds into one file, with the number of the fold in ``fold``.

    Parameters
    ----------
    folder : RunFolder
        Of the run over all folds.
    count : int
        How many folds there are.
    """
    frames = []
    for number in range(1, count + 1):
        # as text, so that no digit changes
        ranks = pd.read_csv(folder.fold(number).ranks_path, dtype=str, keep_default_na=False)
        frames.append(ranks.assign(fold=number))
    with replacing(folder.ranks_path) as temporary:
        pd.concat(frames).to_csv(temporary, index=False, lineterminator="\n")


def combine(reports: Sequence[Report], function: Combine) -> Report:
    """Return a report whose metrics are a function of those of several folds.

    Parameters
    ----------
    reports : sequence of Report
        One per fold, of the same domains and groups.
    function : callable
        Is given the values of the folds that have targets; for no fold 0.0 as its only value.
    """
    first = reports[0]
    return Report(
        overall=_scores([r.overall for r in reports], function),
        domains={d: _scores([r.domains[d] for r in reports], function) for d in first.domains},
        groups={
            grouping: {
                group: _scores([r.groups[grouping][group] for r in reports], function)
                for group in groups
            }
            for grouping, groups in first.groups.items()
        },
    )


def _scores(scores: Sequence[MetricScores], function: Combine) -> MetricScores:
    """Combine the folds that have targets: 0 of a fold without any says nothing."""
    values = {
        name: function([one.metrics[name] for one in scores if one.users] or [0.0])
        for name in scores[0].metrics
    }
    return MetricScores(
        users=sum(one.users for one in scores),
        metrics={name: value for name, value in values.items() if value is not None},
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _std(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _protocol(config: EDTConfig, protocols: Sequence[Protocol]) -> Protocol:
    split, last = configured_split(config), protocols[-1]
    assert not isinstance(split, str)
    draws = [one.sampled_hash for one in protocols]
    return last.model_copy(
        update={
            # the name and the last fold's rows determine those of all other folds
            "split": split.kind,
            "sampled_hash": None if last.sampled_hash is None else digest(draws),
            "repeated": sum(one.repeated or 0 for one in protocols) or None,
        }
    )


def _artefacts(records: Sequence[RunRecord]) -> ArtefactsRead | None:
    read = [record.artefacts for record in records if record.artefacts is not None]
    if not read:
        return None
    hashes = ", ".join(dict.fromkeys(one.hash for one in read))
    return read[-1].model_copy(update={"hash": hashes})
