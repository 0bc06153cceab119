"""The part `augment` of a set: proposed interactions of users who lack items in a domain."""

import shutil
from collections.abc import Sequence

import numpy as np

from recbole_edt.artefacts.augmenter import report
from recbole_edt.artefacts.augmenter.inputs import SelectionInputs, selection_inputs
from recbole_edt.artefacts.augmenter.insertion import augmented_rows
from recbole_edt.artefacts.augmenter.questions import TEMPLATES, Questions, make_questions
from recbole_edt.artefacts.augmenter.selection import (
    SelectedItems,
    count_failed,
    read_answers,
    select_by_rule,
)
from recbole_edt.artefacts.augmenter.settings import AugmentSettings
from recbole_edt.artefacts.augmenter.transfer import make_by_representatives
from recbole_edt.artefacts.augmenter.writing import write_augmented
from recbole_edt.artefacts.embeddings import title_encoder
from recbole_edt.artefacts.settings import REPRESENTATIVES
from recbole_edt.artefacts.store import AUGMENT, Entry
from recbole_edt.artefacts.task import ArtefactTask, PartReport, reuse_part
from recbole_edt.llm import CUT_THOUGHT, Answer
from recbole_edt.progress import progress_of


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
        return make_by_representatives(task, settings, dry_run)
    inputs, counts = selection_inputs(task, settings)
    if settings.asks_model:
        return _make_by_model(task, settings, inputs, counts, dry_run)
    if dry_run:
        text = "no language model is asked; nothing to estimate"
        return _estimated(settings, counts, text)
    selected = select_by_rule(settings.augment_mode, inputs)
    return _write(task, settings, inputs, selected, counts)


def _make_by_model(
    task: ArtefactTask,
    settings: AugmentSettings,
    inputs: SelectionInputs,
    counts: Entry,
    dry_run: bool,
) -> PartReport:
    questions = make_questions(settings.augment_mode, inputs, settings.augment_cap)
    counts["without_history_titles"] = questions.without_history
    counts["cut_titles"] = questions.cut_titles
    of_shard = [i for i, d in enumerate(questions.deficits) if task.shard.holds(inputs.user(d))]
    asked = questions.part(of_shard)
    if dry_run:
        return _estimated(settings, counts, str(task.language_model.estimate(asked.requests)))
    # Loads the model, then the encoder: failing after hours of questions would be too late.
    model = task.language_model
    grounds = settings.augment_mode == "generate"
    encode = title_encoder(task.settings, inputs.unit.shape[1]) if grounds else None
    work = task.folder / ".work-augment"
    with task.exclusive_lock(work, "augmented interactions"):
        answers = answer_questions(asked, task, AUGMENT)
        if task.shard.count > 1:
            count = len(questions.prompts)
            return task.report_asked(
                AUGMENT, f"{len(of_shard):,} of {count:,} questions are answered"
            )
        thinks = model.thinking_tokens > 0
        selected = read_answers(questions, answers, inputs, encode, settings.augment_floor, thinks)
        of_model = task.model_entry(TEMPLATES[questions.mode].entry()) | {
            "questions": len(questions.prompts),
            "none_replies": selected.none,
            # with more tokens to think, a cut thought becomes an answer
            "failed": count_failed(selected.rejects) + selected.rejects[CUT_THOUGHT],
            "cut_thoughts": selected.rejects[CUT_THOUGHT],
            "spent": model.spent_on(questions.requests).rounded(),
        }
        made = _write(task, settings, inputs, selected, counts | of_model)
    shutil.rmtree(work, ignore_errors=True)
    return made


def answer_questions(questions: Questions, task: ArtefactTask, name: str) -> Sequence[Answer]:
    """Ask the language model and show the progress; one answer per question."""
    with progress_of(len(questions.prompts), name, "prompt", task.show_progress) as bar:
        return task.language_model.answer(questions.requests, bar.update)


def _estimated(settings: AugmentSettings, counts: Entry, text: str) -> PartReport:
    how = f"{settings.augment_mode} from candidates by {settings.augment_pool_by}"
    lines = [f"{AUGMENT}: {how}", *report.count_lines(counts), f"  {text}"]
    return PartReport(AUGMENT, "estimated", "\n".join(lines))


def _write(
    task: ArtefactTask,
    settings: AugmentSettings,
    inputs: SelectionInputs,
    selected: SelectedItems,
    counts: Entry,
) -> PartReport:
    users = inputs.deficits.users[np.array(selected.deficits, np.int64)]
    items = np.array(selected.items, np.int64)
    rows = augmented_rows(
        inputs.training,
        users,
        items,
        selected.scores,
        inputs.unit,
        task.catalogue.ids,
        settings.augment_mode,
    )
    counts = {"pool_by": settings.augment_pool_by, **counts}
    return write_augmented(task, settings.augment_mode, rows, counts, selected.rejects)
