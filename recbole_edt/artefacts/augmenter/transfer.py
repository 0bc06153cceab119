"""The augmenter as its authors draw it: representatives, generation, noise filter, insertion."""

import shutil
from collections.abc import Sequence

import numpy as np

from recbole_edt import llm
from recbole_edt.artefacts.augmenter import report
from recbole_edt.artefacts.augmenter.inputs import shown_titles
from recbole_edt.artefacts.augmenter.insertion import augmented_rows
from recbole_edt.artefacts.augmenter.noise_filter import (
    OTHER_SCRIPT,
    NoiseFilter,
    TransferredItems,
)
from recbole_edt.artefacts.augmenter.representatives import find_pairs
from recbole_edt.artefacts.augmenter.selection import FAILED, count_failed
from recbole_edt.artefacts.augmenter.settings import AugmentSettings
from recbole_edt.artefacts.augmenter.transfer_questions import (
    TransferQuestions,
    transfer_questions,
)
from recbole_edt.artefacts.augmenter.writing import write_augmented
from recbole_edt.artefacts.embeddings import TitleEncoder, title_encoder, unit_vectors
from recbole_edt.artefacts.store import AUGMENT, Entry
from recbole_edt.artefacts.task import ArtefactTask, PartReport
from recbole_edt.progress import progress_of

_ENCODED_AT_ONCE = 4096


def make_by_representatives(
    task: ArtefactTask, settings: AugmentSettings, dry_run: bool
) -> PartReport:
    """Make ``augmented.inter`` by the mode `representatives`; see `make.make_augmented`."""
    training, titles = task.training, shown_titles(task.titles)
    unit = unit_vectors(task.item_vectors())
    titled = np.fromiter(map(bool, titles), dtype=bool, count=len(titles))
    usable = titled & np.asarray(unit.any(axis=1))
    # An item that is seen in held-out rows only is treated like one that is never seen.
    allowed = usable & (np.bincount(training.items, minlength=len(titles)) > 0)
    pairs = find_pairs(training, usable, allowed, unit, settings)
    questions = transfer_questions(training, titles, usable, unit, pairs, settings)
    counts: Entry = {
        "users": len(training.user_tokens),
        "asked_users": len(np.unique(pairs.users)),
        "pairs": len(pairs),
        "budget": int(pairs.limits.sum()),
        "representatives": sum(map(len, pairs.representatives)),
        "items_without_title": int((~titled).sum()),
        "cut_titles": questions.cut_titles,
    }
    tokens = training.user_tokens
    of_shard = [i for i, user in enumerate(pairs.users) if task.shard.holds(tokens[user])]
    asked = questions.part(of_shard)
    if dry_run:
        estimate = task.language_model.estimate(asked.requests)
        lines = [f"{AUGMENT}: representatives", *report.count_lines(counts), f"  {estimate}"]
        return PartReport(AUGMENT, "estimated", "\n".join(lines))
    # Loads the model, then the encoder: failing after hours of questions would be too late.
    model = task.language_model
    encode = title_encoder(task.settings, unit.shape[1])
    work = task.folder / ".work-augment"
    with task.exclusive_lock(work, "augmented interactions"):
        with progress_of(len(asked.prompts), AUGMENT, "prompt", task.show_progress) as bar:
            replies = model.generate(asked.prompts, asked.settings, bar.update)
        if task.shard.count > 1:
            count = len(questions.prompts)
            return task.report_asked(
                AUGMENT, f"{len(of_shard):,} of {count:,} questions are answered"
            )
        noise = NoiseFilter(training, allowed, unit, titles, settings)
        thinks = model.thinking_tokens > 0
        result = read_transfers(questions, replies, noise, encode, thinks)
        rows = augmented_rows(
            training,
            np.array(result.users, np.int64),
            np.array(result.items, np.int64),
            result.scores,
            unit,
            task.catalogue.ids,
            settings.augment_mode,
        )
        counts |= _of_model(task, questions, result)
        made = write_augmented(task, settings.augment_mode, rows, counts, result.rejects)
    shutil.rmtree(work, ignore_errors=True)
    return made


def _of_model(task: ArtefactTask, questions: TransferQuestions, result: TransferredItems) -> Entry:
    return task.model_entry(llm.TRANSFER.entry()) | {
        "questions": len(questions.prompts),
        "none_replies": result.none,
        # with more tokens to think, a cut thought becomes an answer
        "failed": count_failed(result.rejects) + result.rejects[llm.CUT_THOUGHT],
        "cut_thoughts": result.rejects[llm.CUT_THOUGHT],
        "spent": task.language_model.spent_on(questions.requests).rounded(),
    }


def read_transfers(
    questions: TransferQuestions,
    replies: Sequence[llm.Reply],
    noise: NoiseFilter,
    encode: TitleEncoder,
    thinks: bool = False,
) -> TransferredItems:
    """Read the titles in all replies, encode each once, and filter them.

    Parameters
    ----------
    questions, replies : TransferQuestions, sequence of Reply
        What was asked and what came back.
    noise : NoiseFilter
        Decides about the titles of each reply.
    encode : callable
        The item encoder.
    thinks : bool
        Whether the model is known to think aloud before it answers.
    """
    result = TransferredItems()
    by_question: list[tuple[int, list[str]]] = []
    only_thoughts = llm.thoughts_without_answer(replies, thinks)
    for number, (reply, only_thought) in enumerate(zip(replies, only_thoughts, strict=True)):
        if reply.failure is not None:
            result.rejects[FAILED + reply.failure] += 1
            continue
        # More than asked for are read, so that a bad one does not cost a good one its place.
        limit = 2 * int(questions.pairs.limits[number])
        parsed = llm.parse_titles(reply.text, limit, only_thought=only_thought)
        result.none += parsed.none
        result.rejects.update(parsed.rejects)
        titles = [title for title in parsed.titles if noise.has_known_script(title)]
        if len(titles) < len(parsed.titles):
            result.rejects[OTHER_SCRIPT] += len(parsed.titles) - len(titles)
        if titles:
            by_question.append((number, titles))
    distinct = list(dict.fromkeys(title for _, titles in by_question for title in titles))
    row = {title: n for n, title in enumerate(distinct)}
    parts = [
        encode(distinct[start : start + _ENCODED_AT_ONCE])
        for start in range(0, len(distinct), _ENCODED_AT_ONCE)
    ]
    vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    for number, titles in by_question:
        of_reply = vectors[[row[title] for title in titles]]
        noise.accept(questions.pairs, number, of_reply, result)
    return result
