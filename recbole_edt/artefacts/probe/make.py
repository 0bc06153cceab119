"""The probe: whether the augmenter finds behaviour that really happened.

Real training interactions of some users are hidden, the augmenter proposes items for these
users, and the recall of what was hidden is compared with selections without a language model.
Held-out rows are not read.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from recbole_edt.artefacts.augmenter import (
    LLM_MODES,
    AugmentSettings,
    SelectedItems,
    SelectionInputs,
    make_questions,
    read_answers,
    select_by_rule,
    shown_titles,
)
from recbole_edt.artefacts.embeddings import TitleEncoder, title_encoder
from recbole_edt.artefacts.probe.recall import HiddenItems, ModeRecall
from recbole_edt.artefacts.probe.report import ProbeTable, report
from recbole_edt.artefacts.probe.sample import hide_rows, plant
from recbole_edt.artefacts.task import ArtefactTask
from recbole_edt.errors import UserError


def run_probe(task: ArtefactTask, users: int) -> str:
    """Measure all modes on a seeded sample of users.

    Users with training items in two domains or more are drawn by ``seed``; all training rows
    of the smallest of each one's domains are hidden (of equally small ones, the first in
    alphabetical order). Every mode proposes `augment_cap` items per user.

    Two kinds of candidate sets are tried. The *own candidates* are made as in the augmenter, among
    all items with a title and a vector (trained on or not, so that hiding a row takes no item
    away). The *planted candidates* hold one hidden item among random ones of its domain: an easier
    task that shows more of a model's judgement with few users.

    Parameters
    ----------
    task : ArtefactTask
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
    titles, seed = shown_titles(task.titles), int(task.config["seed"])
    has_vector = np.asarray(task.item_vectors().any(axis=1))
    usable = has_vector & np.fromiter(map(bool, titles), dtype=bool, count=len(titles))
    sample = hide_rows(task.training, usable, users, settings.augment_cap, seed)
    own = SelectionInputs.retrieve(task, settings, sample.training, sample.deficits, titles, usable)
    planted, target = plant(own, sample.hidden, usable, settings, seed)
    encode = title_encoder(task.settings, own.unit.shape[1])
    tables = []
    for title, inputs, hidden in (
        ("own candidates", own, sample.hidden),
        ("planted candidates", planted, target),
    ):
        modes = measure(task, settings, inputs, hidden, encode)
        tables.append(ProbeTable(title, inputs, hidden, modes))
    errors = [mode.error for mode in tables[0].modes if mode.error]
    if len(errors) == len(LLM_MODES):
        raise UserError(errors[0])
    tables[0].modes.extend(whole_domain(own, sample.hidden, usable))
    return report(task.name, sample, tables, settings.augment_pool_by, seed)


def measure(
    task: ArtefactTask,
    settings: AugmentSettings,
    inputs: SelectionInputs,
    hidden: HiddenItems,
    encode: TitleEncoder,
) -> list[ModeRecall]:
    """Return the recall of each mode, between the best possible selection and a random one.

    The recall of random choice is its expectation, not one draw.
    """
    candidates, limits = inputs.candidates, inputs.deficits.limits
    reachable = hidden.count_hits(candidates.owners, candidates.items)
    best = np.minimum(reachable, limits) / hidden.sizes
    drawn = np.minimum(limits, candidates.sizes) / np.maximum(candidates.sizes, 1)
    modes = [ModeRecall("perfect choice", best)]

    def by_model(mode: str) -> SelectedItems:
        questions = make_questions(mode, inputs, settings.augment_cap)
        answers = task.ask(questions.requests, f"probe {mode}", "prompt")
        return read_answers(questions, answers, inputs, encode, settings.augment_floor)

    for mode in LLM_MODES:
        modes.append(_timed(mode, hidden, partial(by_model, mode)))
    for mode in ("similarity", "popularity"):
        modes.append(_timed(mode, hidden, partial(select_by_rule, mode, inputs)))
    return [*modes, ModeRecall("random", drawn * reachable / hidden.sizes)]


def whole_domain(
    inputs: SelectionInputs, hidden: HiddenItems, usable: np.ndarray
) -> list[ModeRecall]:
    """Return the recall of the most popular, and of random, items of the whole hidden domain."""
    selected = SelectedItems()
    deficits, popularity = inputs.deficits, inputs.popularity
    chance = np.zeros(len(deficits))
    for domain in np.unique(deficits.domains):
        items = np.flatnonzero(usable & (inputs.training.item_domains == domain))
        ranked = items[np.argsort(-popularity[items], kind="stable")]
        for deficit in np.flatnonzero(deficits.domains == domain).tolist():
            limit = int(deficits.limits[deficit])
            chance[deficit] = min(limit / len(items), 1)
            for item in ranked[:limit]:
                selected.accept(deficit, item, popularity[item])
    return [
        _timed("popularity, whole domain", hidden, lambda: selected),
        ModeRecall("random, whole domain", chance),
    ]


def _timed(name: str, hidden: HiddenItems, select: Callable[[], SelectedItems]) -> ModeRecall:
    start = time.perf_counter()
    try:
        selected = select()
    except UserError as error:
        # A server that cannot score can still select.
        return ModeRecall(name, np.zeros(hidden.count), error=str(error))
    seconds = time.perf_counter() - start
    owners, items = np.array(selected.deficits, np.int64), np.array(selected.items, np.int64)
    return ModeRecall(name, hidden.count_hits(owners, items) / hidden.sizes, selected, seconds)
