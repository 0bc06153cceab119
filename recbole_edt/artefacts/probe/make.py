"""The probe: whether the augmenter finds behaviour that really happened.

Real training interactions of some users are hidden, the augmenter proposes items for these
users, and the recall of what was hidden is compared with choices that no language model made.
Held-out rows are not read.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from recbole_edt.artefacts.augmenter.augment import ask, assemble
from recbole_edt.artefacts.augmenter.augment_settings import LLM_MODES, AugmentSettings
from recbole_edt.artefacts.augmenter.choose import Choice, Encode, choose_by_rule, read_answers
from recbole_edt.artefacts.embeddings.title_vectors import title_encoder
from recbole_edt.artefacts.probe.probe_case import hide, plant
from recbole_edt.artefacts.probe.probe_report import report
from recbole_edt.artefacts.probe.probe_stats import Hidden, Outcome
from recbole_edt.artefacts.questions import Work, make_questions, shown_titles
from recbole_edt.artefacts.task import Task
from recbole_edt.errors import UserError


def run_probe(task: Task, users: int) -> str:
    """Measure all modes on a seeded sample of users.

    Users with training items in two domains or more are drawn by ``seed``; all training rows
    of the smallest of each one's domains are hidden (of equally small ones, the first in
    alphabetical order). Every mode proposes `augment_cap` items per user.

    Two pools are tried. The *own pool* is made as in the augmenter, among all items with a
    title and a vector (trained on or not, so that hiding a row takes no item away). The
    *planted pool* holds one hidden item among random ones of its domain: an easier task that
    says more about a model's judgement with few users.

    Parameters
    ----------
    task : Task
        The set; nothing of it is written but replies.
    users : int
        Size of the sample; all users when there are fewer.

    Returns
    -------
    str
        A report to print.

    Raises
    ------
    UserError
        When there is nothing to hide, or no mode can be run.
    """
    if users < 1:
        raise UserError(f"probe: {users} users; expected 1 or more")
    settings = AugmentSettings.from_config(task.config)
    titles, seed = shown_titles(task.titles()), int(task.config["seed"])
    has_vector = np.asarray(task.item_vectors().any(axis=1))
    usable = has_vector & np.fromiter(map(bool, titles), dtype=bool, count=len(titles))
    case = hide(task.training(), usable, users, settings.augment_cap, seed)
    own = assemble(task, settings, case.training, case.demands, titles, usable)
    planted, target = plant(own, case.hidden, usable, settings, seed)
    encode = title_encoder(task, own.unit.shape[1])
    tables = [
        ("own pool", own, case.hidden, measure(task, settings, own, case.hidden, encode)),
        ("planted pool", planted, target, measure(task, settings, planted, target, encode)),
    ]
    tables[0][3].extend(whole_domain(own, case.hidden, usable))
    errors = [one.error for one in tables[0][3] if one.error]
    if len(errors) == len(LLM_MODES):
        raise UserError(errors[0])
    return report(task.name, case, tables, settings.augment_pool_by, seed)


def measure(
    task: Task, settings: AugmentSettings, work: Work, hidden: Hidden, encode: Encode
) -> list[Outcome]:
    """Return what each mode finds, between the best possible choice and a random one.

    The recall of random choice is its expectation, not one draw.
    """
    sizes, limits = work.pool.sizes, work.demands.limits
    reachable = hidden.found_by(work.pool.owners, work.pool.items)
    best = np.minimum(reachable, limits) / hidden.sizes
    chance = np.minimum(limits, sizes) / np.maximum(sizes, 1) * reachable / hidden.sizes
    outcomes = [Outcome("perfect choice", best)]
    for mode in LLM_MODES:
        choose = partial(_choose_by_model, task, settings, work, mode, encode)
        outcomes.append(_timed(mode, hidden, choose))
    for mode in ("similarity", "popularity"):
        outcomes.append(_timed(mode, hidden, partial(choose_by_rule, mode, work)))
    return [*outcomes, Outcome("random", chance)]


def whole_domain(work: Work, hidden: Hidden, usable: np.ndarray) -> list[Outcome]:
    """Return what the most popular, and random, items of the whole hidden domain would find."""
    chosen = Choice()
    chance = np.zeros(len(work.demands))
    for domain in np.unique(work.demands.domains):
        items = np.flatnonzero(usable & (work.training.item_domains == domain))
        ranked = items[np.argsort(-work.popularity[items], kind="stable")]
        for demand in np.flatnonzero(work.demands.domains == domain).tolist():
            limit = int(work.demands.limits[demand])
            chance[demand] = min(limit / len(items), 1)
            for item in ranked[:limit]:
                chosen.accept(demand, item, work.popularity[item])
    return [
        _timed("popularity, whole domain", hidden, lambda: chosen),
        Outcome("random, whole domain", chance),
    ]


def _choose_by_model(
    task: Task, settings: AugmentSettings, work: Work, mode: str, encode: Encode
) -> Choice:
    questions = make_questions(mode, work, settings.augment_cap)
    answers = ask(questions, task.client(), task, f"probe {mode}")
    return read_answers(questions, answers, work, encode, settings.augment_floor)


def _timed(name: str, hidden: Hidden, choose: Callable[[], Choice]) -> Outcome:
    start = time.perf_counter()
    try:
        choice = choose()
    except UserError as error:
        # A server that cannot score can still select.
        return Outcome(name, np.zeros(hidden.count), error=str(error))
    seconds = time.perf_counter() - start
    owners, items = np.array(choice.demands, np.int64), np.array(choice.items, np.int64)
    return Outcome(name, hidden.found_by(owners, items) / hidden.sizes, choice, seconds)
