"""The figures of a probe as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.augmenter import LLM_MODES, SelectionInputs
from recbole_edt.artefacts.probe.recall import HiddenItems, Lift, ModeRecall, lift
from recbole_edt.artefacts.probe.sample import ProbeSample

_BASES = ("random", "popularity", "similarity", "popularity, whole domain")


@dataclass(frozen=True)
class ProbeTable:
    """The recall of all modes on one kind of candidate sets.

    Attributes
    ----------
    title : str
        Kind of the candidate sets.
    inputs : SelectionInputs
        The candidate sets.
    hidden : HiddenItems
        The items to be found.
    modes : list of ModeRecall
        One per mode and reference.
    """

    title: str
    inputs: SelectionInputs
    hidden: HiddenItems
    modes: list[ModeRecall]


def report(
    name: str,
    sample: ProbeSample,
    tables: Sequence[ProbeTable],
    candidates_by: str,
    seed: int,
) -> str:
    """Return the report of a probe.

    Parameters
    ----------
    name : str
        The dataset's name.
    sample : ProbeSample
        What was hidden.
    tables : sequence of ProbeTable
        One per kind of candidate sets.
    candidates_by : str
        The key `augment_pool_by`.
    seed : int
        Seed of sample and bootstrap.
    """
    deficits = sample.deficits
    names = sample.training.domain_names
    per_domain = np.bincount(deficits.domains, minlength=len(names))
    hidden_in = ", ".join(f"{names[k]} {n:,}" for k, n in enumerate(per_domain) if n)
    lines = [
        f"probe of {name}: {len(deficits):,} of {sample.eligible:,} users with items in two "
        f"domains (seed {seed})",
        f"  hidden: {sample.rows:,} training interactions in the smallest domain of each "
        f"({hidden_in}), {len(sample.hidden.items):,} distinct titled items",
        f"  own candidates by {candidates_by}; 'similarity' takes the first of them",
    ]
    for table in tables:
        lines += ["", *_table(table, seed)]
    lines += ["", "in words (95 % intervals of a paired bootstrap over users)"]
    for table in tables:
        lines += [f"  {table.title}: {line}" for line in _verdicts(table.modes, seed)]
    return "\n".join(lines)


def _table(table: ProbeTable, seed: int) -> list[str]:
    inputs, hidden = table.inputs, table.hidden
    candidates, limit = inputs.candidates, int(inputs.deficits.limits[0])
    reachable = int(hidden.count_hits(candidates.owners, candidates.items).sum())
    wanted = len(hidden.items)
    lines = [
        f"{table.title}: {candidates.sizes.mean():.1f} candidates per user, which hold "
        f"{reachable:,} of {wanted:,} hidden items ({reachable / wanted:.1%}, the upper bound of "
        "any choice)",
        f"{'':26}{f'recall@{limit}':>9}{'proposed':>10}{'found':>7}"
        f"{'over random':>26}{'over popularity':>26}{'over similarity':>26}"
        f"{'tokens':>10}{'seconds':>9}",
    ]
    by_name = {mode.name: mode for mode in table.modes}
    lines += [_row(mode, by_name, hidden, seed) for mode in table.modes]
    for mode in table.modes:
        selected = mode.selected
        if selected is not None and (selected.rejects or selected.none):
            reasons = {"answered none": selected.none, **dict(sorted(selected.rejects.items()))}
            counts = ", ".join(f"{reason} {n:,}" for reason, n in reasons.items() if n)
            lines.append(f"  {mode.name} rejected: {counts}")
    return lines


def _row(
    mode: ModeRecall, by_name: Mapping[str, ModeRecall], hidden: HiddenItems, seed: int
) -> str:
    if mode.error:
        return f"  {mode.name:24}could not be run: {mode.error}"
    row = f"  {mode.name:24}{mode.recalls.mean():9.4f}"
    if mode.selected is None:
        row += f"{'-':>10}{'-':>7}"
    else:
        hits = (mode.recalls * hidden.sizes).sum()
        row += f"{len(mode.selected.items):10,}{hits:7.0f}"
    for base in _BASES[:3]:
        gain = lift(mode.recalls, by_name[base].recalls, seed)
        row += f"{_interval(gain) if base != mode.name else '-':>26}"
    if mode.selected is not None and mode.name in LLM_MODES:
        tokens = mode.selected.prompt_tokens + mode.selected.generated_tokens
        row += f"{tokens:10,}{mode.seconds:9.1f}"
    return row.rstrip()


def _interval(gain: Lift) -> str:
    return f"{gain.difference:+.4f} ({gain.low:+.4f} {gain.high:+.4f})"


def _verdicts(modes: Sequence[ModeRecall], seed: int) -> list[str]:
    by_name = {mode.name: mode for mode in modes}
    lines = []
    for mode in LLM_MODES:
        if by_name[mode].error:
            continue
        for base in _BASES:
            if base not in by_name:
                continue
            gain = lift(by_name[mode].recalls, by_name[base].recalls, seed)
            times = f", {gain.ratio:.2f} times" if gain.ratio is not None else ""
            lines.append(f"{mode} {gain.verdict} {base}: {_interval(gain)}{times}")
    return lines
