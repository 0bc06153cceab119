"""The figures of a probe as text."""

from collections.abc import Sequence

import numpy as np

from recbole_edt.artefacts.augmenter.augment_settings import LLM_MODES
from recbole_edt.artefacts.probe.probe_case import Case
from recbole_edt.artefacts.probe.probe_stats import Hidden, Lift, Outcome, lift
from recbole_edt.artefacts.questions import Work

_BASES = ("random", "popularity", "similarity", "popularity, whole domain")


def report(
    name: str,
    case: Case,
    tables: Sequence[tuple[str, Work, Hidden, Sequence[Outcome]]],
    pool_by: str,
    seed: int,
) -> str:
    """Return the report of a probe.

    Parameters
    ----------
    name : str
        The dataset's name.
    case : Case
        What was hidden.
    tables : sequence
        Of each pool: its name, the work, the items to be found, and what was.
    pool_by : str
        What makes an item a candidate of the own pool.
    seed : int
        Of sample and bootstrap.
    """
    demands = case.demands
    names = case.training.domain_names
    per_domain = np.bincount(demands.domains, minlength=len(names))
    hidden_in = ", ".join(f"{names[k]} {n:,}" for k, n in enumerate(per_domain) if n)
    lines = [
        f"probe of {name}: {len(demands):,} of {case.eligible:,} users with items in two domains "
        f"(seed {seed})",
        f"  hidden: {case.rows:,} training interactions in the smallest domain of each "
        f"({hidden_in}), {len(case.hidden.items):,} distinct titled items",
        f"  own pool by {pool_by}; 'similarity' takes the first of a pool",
    ]
    for title, work, hidden, outcomes in tables:
        lines += ["", *_table(title, work, hidden, outcomes, seed)]
    lines += ["", "in words (95 % intervals of a paired bootstrap over users)"]
    for title, _, _, outcomes in tables:
        lines += [f"  {title}: {line}" for line in _verdicts(outcomes, seed)]
    return "\n".join(lines)


def _table(
    title: str, work: Work, hidden: Hidden, outcomes: Sequence[Outcome], seed: int
) -> list[str]:
    limit = int(work.demands.limits[0])
    reachable = int(hidden.found_by(work.pool.owners, work.pool.items).sum())
    wanted = len(hidden.items)
    lines = [
        f"{title}: {work.pool.sizes.mean():.1f} candidates per user, which hold {reachable:,} of "
        f"{wanted:,} hidden items ({reachable / wanted:.1%}, the upper bound of any choice)",
        f"{'':26}{f'recall@{limit}':>9}{'proposed':>10}{'found':>7}"
        f"{'over random':>26}{'over popularity':>26}{'over similarity':>26}"
        f"{'tokens':>10}{'seconds':>9}",
    ]
    by_name = {one.name: one for one in outcomes}
    for one in outcomes:
        if one.error:
            lines.append(f"  {one.name:24}could not be run: {one.error}")
            continue
        row = f"  {one.name:24}{one.recalls.mean():9.4f}"
        if one.choice is None:
            row += f"{'-':>10}{'-':>7}"
        else:
            found = (one.recalls * hidden.sizes).sum()
            row += f"{len(one.choice.items):10,}{found:7.0f}"
        for base in _BASES[:3]:
            known = lift(one.recalls, by_name[base].recalls, seed)
            row += f"{_interval(known) if base != one.name else '-':>26}"
        if one.choice is not None and one.name in LLM_MODES:
            tokens = one.choice.prompt_tokens + one.choice.generated_tokens
            row += f"{tokens:10,}{one.seconds:9.1f}"
        lines.append(row.rstrip())
    for one in outcomes:
        if one.choice is not None and (one.choice.rejects or one.choice.none):
            reasons = {"answered none": one.choice.none, **dict(sorted(one.choice.rejects.items()))}
            told = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items() if count)
            lines.append(f"  {one.name} turned away: {told}")
    return lines


def _interval(known: Lift) -> str:
    return f"{known.difference:+.4f} ({known.low:+.4f} {known.high:+.4f})"


def _verdicts(outcomes: Sequence[Outcome], seed: int) -> list[str]:
    by_name = {one.name: one for one in outcomes}
    lines = []
    for mode in LLM_MODES:
        if by_name[mode].error:
            continue
        for base in _BASES:
            if base not in by_name:
                continue
            known = lift(by_name[mode].recalls, by_name[base].recalls, seed)
            times = f", {known.ratio:.2f} times" if known.ratio is not None else ""
            lines.append(f"{mode} {known.verdict} {base}: {_interval(known)}{times}")
    return lines
