"""The part `augment` of a set: proposed interactions of users who lack items in a domain."""

import shutil
from collections.abc import Sequence

import numpy as np

from recbole_edt import fields
from recbole_edt.artefacts.augmenter import report
from recbole_edt.artefacts.augmenter.inputs import SelectionInputs, selection_inputs
from recbole_edt.artefacts.augmenter.insertion import augmented_rows
from recbole_edt.artefacts.augmenter.questions import make_questions
from recbole_edt.artefacts.augmenter.selection import (
    ModelQuestions,
    SelectedItems,
    count_failed,
    read_answers,
    select_by_rule,
)
from recbole_edt.artefacts.augmenter.settings import AugmentSettings
from recbole_edt.artefacts.augmenter.transfer import transfer_questions
from recbole_edt.artefacts.embeddings import TitleEncoder, title_encoder
from recbole_edt.artefacts.settings import ENCODING_MODES, PROMPTS, REPRESENTATIVES
from recbole_edt.artefacts.store import AUGMENT, Entry, save_augmented
from recbole_edt.artefacts.task import ArtefactTask, PartReport, reuse_part
from recbole_edt.llm import CUT_THOUGHT, Answer


def make_augmented(task: ArtefactTask, dry_run: bool) -> PartReport:
    """Make ``augmented.inter`` of a set, resuming an interrupted call.

    Every reply is kept, so that a call after a kill asks only what was not answered; questions
    that failed are asked again by the next call. With a shard, only its users' questions are
    asked and the replies kept; a call without a shard then finds them.

    Parameters
    ----------
    task : ArtefactTask
        The set.
    dry_run : bool
        Ask and write nothing; report what there is to do, and the tokens, time and cost of it.

    Raises
    ------
    UserError
        For missing item vectors or titles, or a model that cannot answer.
    """
    if dry_run and not task.has_item_vectors():
        return task.report_uncountable(AUGMENT)
    reused = reuse_part(task, AUGMENT, report.describe, "the rows", "ask", dry_run)
    if reused is not None:
        return reused
    settings = AugmentSettings.from_config(task.config)
    if settings.augment_mode == REPRESENTATIVES:
        return _make_by_model(task, settings, transfer_questions(task, settings), dry_run)
    inputs, counts = selection_inputs(task, settings)
    if settings.asks_model:
        return _make_by_model(task, settings, _questions(settings, inputs, counts), dry_run)
    if dry_run:
        text = "no language model is asked; nothing to estimate"
        return _estimated(settings, counts, text)
    selected = select_by_rule(settings.augment_mode, inputs)
    return _write(task, settings, inputs.unit, inputs.deficits.users, selected, counts)


def _questions(settings: AugmentSettings, inputs: SelectionInputs, counts: Entry) -> ModelQuestions:
    """Return the questions about candidate sets."""
    questions = make_questions(settings.augment_mode, inputs, settings.augment_cap)
    counts["without_history_titles"] = questions.without_history
    counts["cut_titles"] = questions.cut_titles

    def read(answers: Sequence[Answer], encode: TitleEncoder | None, thinks: bool) -> SelectedItems:
        return read_answers(questions, answers, inputs, encode, settings.augment_floor, thinks)

    return ModelQuestions(
        questions.requests,
        PROMPTS[questions.mode],
        owners=inputs.deficits.users,
        users=inputs.deficits.users[questions.deficits],
        unit=inputs.unit,
        counts=counts,
        read=read,
    )


def _make_by_model(
    task: ArtefactTask, settings: AugmentSettings, questions: ModelQuestions, dry_run: bool
) -> PartReport:
    of_shard = task.positions_in_shard(questions.users)
    asked = questions.requests.part(of_shard)
    if dry_run:
        estimate = task.language_model.estimate(asked)
        return _estimated(settings, questions.counts, str(estimate))
    # Loads the model, then the encoder: failing after hours of questions would be too late.
    model, encode = task.language_model, None
    if settings.augment_mode in ENCODING_MODES:
        encode = title_encoder(task.settings, questions.unit.shape[1])
    work = task.folder / ".work-augment"
    with task.exclusive_lock(work, "augmented interactions"):
        answers = task.ask(asked, AUGMENT, "prompt")
        if task.shard.count > 1:
            count = len(questions.users)
            return task.report_asked(
                AUGMENT, f"{len(of_shard):,} of {count:,} questions are answered"
            )
        selected = questions.read(answers, encode, model.thinks)
        of_model = task.model_entry(questions.template.entry()) | {
            "questions": len(questions.users),
            "none_replies": selected.none,
            # with more tokens to think, a cut thought becomes an answer
            "failed": count_failed(selected.rejects) + selected.rejects[CUT_THOUGHT],
            "cut_thoughts": selected.rejects[CUT_THOUGHT],
            "spent": model.spent_on(questions.requests).rounded(),
        }
        counts = questions.counts | of_model
        made = _write(task, settings, questions.unit, questions.owners, selected, counts)
    shutil.rmtree(work, ignore_errors=True)
    return made


def _estimated(settings: AugmentSettings, counts: Entry, text: str) -> PartReport:
    how: str = settings.augment_mode
    if how != REPRESENTATIVES:
        how += f" from candidates by {settings.augment_pool_by}"
    lines = [f"{AUGMENT}: {how}", *report.count_lines(counts), f"  {text}"]
    return PartReport(AUGMENT, "estimated", "\n".join(lines))


def _write(
    task: ArtefactTask,
    settings: AugmentSettings,
    unit: np.ndarray,
    owners: np.ndarray,
    selected: SelectedItems,
    counts: Entry,
) -> PartReport:
    """Write ``augmented.inter`` and the manifest's entry; `owners` has the user of each deficit."""
    mode, items = settings.augment_mode, np.array(selected.items, np.int64)
    users = owners[np.array(selected.deficits, np.int64)]
    scores, ids = selected.scores, task.catalogue.ids
    rows = augmented_rows(task.training, users, items, scores, unit, ids, mode)
    domains = rows[fields.DOMAIN].value_counts()
    entry = {
        "mode": mode,
        **counts,
        "accepted": len(rows),
        "accepted_by_domain": {str(name): int(domains[name]) for name in sorted(domains.index)},
        "augmented_users": int(rows[fields.USER].nunique()),
        "rejects": dict(sorted(selected.rejects.items())),
        "sha256": save_augmented(task.folder, rows),
    }
    made = task.record(AUGMENT, entry)
    head = f"{AUGMENT}: made by {mode} in {task.folder}"
    return PartReport(AUGMENT, "made", f"{head}\n{report.describe(made)}")
