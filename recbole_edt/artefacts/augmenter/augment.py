"""The transferable item augmenter: proposed interactions in the domains that a user lacks.

Budget, pool, questions, choice and placement, in this order; docs/augmenter.md explains them.
Nothing but the catalogue and the training rows is read.
"""

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from recbole_edt import fields
from recbole_edt.artefacts import store
from recbole_edt.artefacts.augmenter import augmented_file
from recbole_edt.artefacts.augmenter.augment_settings import USERS, AugmentSettings
from recbole_edt.artefacts.augmenter.budget import Demands, count_by_domain, find_demands
from recbole_edt.artefacts.augmenter.choose import FAILED, Choice, choose_by_rule, read_answers
from recbole_edt.artefacts.augmenter.nearness import ByTitles, ByUsers
from recbole_edt.artefacts.augmenter.place import place
from recbole_edt.artefacts.augmenter.pool import make_pool, unit_vectors
from recbole_edt.artefacts.embeddings.title_vectors import title_encoder
from recbole_edt.artefacts.questions import (
    TEMPLATES,
    Questions,
    Work,
    make_questions,
    shown_titles,
)
from recbole_edt.artefacts.task import Task, Training, alone, take_over
from recbole_edt.llm.cached import CachedClient
from recbole_edt.llm.client import Answer
from recbole_edt.progress import progress_of

_FOR_GOOD = FAILED + "prompt_too_long"
"""The one failure that asking again cannot mend."""


def make_augmented(task: Task, dry_run: bool) -> str:
    """Make ``augmented.inter`` of a set, going on where an interrupted call stopped.

    Every reply is kept, so that a call after a kill asks only what was not answered; questions
    that failed are asked again by the next call. With a shard that is a part of the work, its
    users' questions are asked and the replies kept; a call without a shard then finds them.

    Parameters
    ----------
    task : Task
        The set.
    dry_run : bool
        Ask and write nothing; report what there is to do, and the tokens, time and cost of it.

    Returns
    -------
    str
        A report to print.

    Raises
    ------
    UserError
        For bad settings, missing item vectors or titles, or a model that cannot answer.
    """
    settings = AugmentSettings.from_config(task.config)
    if (ready := _ready_made(task, dry_run)) is not None:
        return ready
    work, counts = plan_work(task, settings)
    how = f"{settings.augment_mode} from a pool by {settings.augment_pool_by}"
    head = [f"{store.AUGMENT}: {how}", *_count_lines(counts)]
    if not settings.asks:
        if dry_run:
            return "\n".join([*head, "  no language model is asked; nothing to estimate"])
        return _write(task, work, choose_by_rule(settings.augment_mode, work), settings, counts)
    questions = make_questions(settings.augment_mode, work, settings.augment_cap)
    counts["without_history_titles"] = questions.without_history
    counts["cut_titles"] = questions.cut_titles
    mine = [i for i, d in enumerate(questions.demands) if task.shard.holds(work.user(d))]
    client = task.client()
    if dry_run:
        rate = task.llm_settings().llm_tokens_per_second
        return "\n".join([*head, f"  {questions.part(mine).estimate(client, rate)}"])
    # An encoder that cannot be loaded is no news for after hours of questions.
    grounds = settings.augment_mode == "generate"
    encode = title_encoder(task, work.unit.shape[1]) if grounds else None
    folder = task.folder / ".work-augment"
    with alone(task, folder, "augmented interactions"):
        answers = ask(questions.part(mine), client, task, store.AUGMENT)
        if task.shard.count > 1:
            part = f"part {task.shard.index} of {task.shard.count}"
            return (
                f"{store.AUGMENT}: {part}: {len(mine):,} of {len(questions.prompts):,} questions "
                "are answered; when all parts are, run the command without a shard"
            )
        choice = read_answers(questions, answers, work, encode, settings.augment_floor)
        model = _model_entry(questions, client, choice)
        report = _write(task, work, choice, settings, counts, model)
    shutil.rmtree(folder, ignore_errors=True)
    return report


def plan_work(task: Task, settings: AugmentSettings) -> tuple[Work, dict[str, int]]:
    """Return demands and pools of all users, and what was counted on the way.

    Candidates need a title and at least one training interaction. An item that is seen in
    held-out rows only is thereby treated like one that is never seen, so that neither the
    split nor the held-out rows show in a pool [ours].
    """
    training, titles = task.training(), shown_titles(task.titles())
    popularity = np.bincount(training.items, minlength=len(titles))
    titled = np.fromiter(map(bool, titles), dtype=bool, count=len(titles))
    demands = find_demands(count_by_domain(training), settings)
    work = assemble(task, settings, training, demands, titles, titled & (popularity > 0))
    of_demands = np.isin(training.users, demands.users)
    sizes = work.pool.sizes
    counts = {
        "users": len(training.user_tokens),
        "imbalanced_users": len(np.unique(demands.users)),
        "demands": len(demands),
        "budget": int(demands.limits.sum()),
        "demands_without_pool": int((sizes == 0).sum()),
        "pool_items": int(sizes.sum()),
        "items_without_title": int((~titled).sum()),
        "items_without_training_row": int((popularity == 0).sum()),
        "history_rows_without_title": int((~titled[training.items[of_demands]]).sum()),
    }
    return work, counts


def assemble(
    task: Task,
    settings: AugmentSettings,
    training: Training,
    demands: Demands,
    titles: list[str],
    allowed: np.ndarray,
) -> Work:
    """Return demands with their pools among the allowed items, bool [N]."""
    unit = unit_vectors(task.item_vectors())
    near: ByTitles | ByUsers = ByTitles(training, unit, settings.augment_floor)
    if settings.augment_pool_by == USERS:
        near = ByUsers(training)
    pool = make_pool(training, demands, allowed, settings.augment_pool, near)
    popularity = np.bincount(training.items, minlength=len(titles))
    history, seed = settings.augment_history, settings.augment_seed
    return Work(training, demands, pool, titles, unit, popularity, history, seed)


def ask(questions: Questions, client: CachedClient, task: Task, name: str) -> Sequence[Answer]:
    """Put the questions and show the progress."""
    shown = task.config["show_progress"]
    with progress_of(len(questions.prompts), name, "prompt", shown) as bar:
        return questions.put(client, bar.update)


def _ready_made(task: Task, dry_run: bool) -> str | None:
    lender = store.find_lender(task.dataset_dir, task.name, task.identity, store.AUGMENT)
    if lender is None or lender.manifest[store.AUGMENT].get("failed"):
        return None
    return take_over(task, lender, store.AUGMENT, _describe, "the rows", "ask", dry_run)


def _describe(found: store.ArtefactSet) -> str:
    return "\n".join(_lines(found.manifest[store.AUGMENT]))


def _model_entry(questions: Questions, client: CachedClient, choice: Choice) -> dict[str, Any]:
    template = TEMPLATES[questions.mode]
    spent = client.store.spent_on(questions.keys(client)).as_dict()
    failures = {reason: n for reason, n in choice.rejects.items() if reason.startswith(FAILED)}
    return {
        "llm": dict(client.client.source),
        "llm_identity": dict(client.identity),
        "prompt": {"name": template.name, "version": template.version, "hash": template.hash},
        "questions": len(questions.prompts),
        "none_replies": choice.none,
        "failed": sum(n for reason, n in failures.items() if reason != _FOR_GOOD),
        "spent": {key: round(value, 6) for key, value in spent.items()},
    }


def _write(
    task: Task,
    work: Work,
    choice: Choice,
    settings: AugmentSettings,
    counts: dict[str, int],
    model: dict[str, Any] | None = None,
) -> str:
    rows = place(work, choice, task.catalogue.ids, settings.augment_mode)
    domains = rows[fields.DOMAIN].value_counts()
    made = {
        "mode": settings.augment_mode,
        "pool_by": settings.augment_pool_by,
        **counts,
        **(model or {}),
        "accepted": len(rows),
        "accepted_by_domain": {str(name): int(domains[name]) for name in sorted(domains.index)},
        "augmented_users": int(rows[fields.USER].nunique()),
        "rejects": dict(sorted(choice.rejects.items())),
        "sha256": augmented_file.save_augmented(task.folder, rows),
    }
    store.record_part(task.folder, task.name, task.identity, store.AUGMENT, made)
    head = f"{store.AUGMENT}: made by {settings.augment_mode} in {task.folder}"
    return "\n".join([head, *_lines(made)])


def _count_lines(counts: dict[str, Any]) -> list[str]:
    lines = [
        f"  {counts['imbalanced_users']:,} of {counts['users']:,} users lack items in a domain: "
        f"{counts['demands']:,} demands, at most {counts['budget']:,} items, "
        f"{counts['pool_items']:,} candidates"
    ]
    told = {
        "demands_without_pool": "demands have no candidate near what the user has",
        "without_history_titles": "demands are of users without a titled item",
        "items_without_title": "items without title are neither candidates nor shown",
    }
    lines += [f"  {counts[key]:,} {text}" for key, text in told.items() if counts.get(key)]
    return lines


def _lines(made: dict[str, Any]) -> list[str]:
    lines = _count_lines(made)
    by_domain = ", ".join(f"{name} {n:,}" for name, n in made["accepted_by_domain"].items())
    lines.append(
        f"  {made['accepted']:,} interactions accepted for {made['augmented_users']:,} users"
        + (f" ({by_domain})" if by_domain else "")
    )
    if made["rejects"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in made["rejects"].items())
        lines.append(f"  turned away: {reasons}")
    if "questions" in made:
        spent = made["spent"]
        lines.append(
            f"  {made['questions']:,} questions ({made['none_replies']:,} answered none), "
            f"{spent['calls']:,} calls, {spent['prompt_tokens']:,} tokens read, "
            f"{spent['generated_tokens']:,} written or scored, {spent['seconds']:,.0f} s, "
            f"cost {spent['cost']:,.2f}"
        )
    if made.get("failed"):
        lines.append(
            f"  {made['failed']:,} questions failed; the same command asks only those again"
        )
    return lines
