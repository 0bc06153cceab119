"""The part `profiles` of a set: a text per user and domain, or one per user, and its vector.

A prompt shows the titles of one user's training items in one domain and nothing else, so no
item can reach the profile of another user or domain. Users without enough items in a domain
have no profile there, and neither have those whose reply is not usable: nothing is made up.
"""

import shutil
from collections.abc import Iterable, Sequence
from typing import Any

from recbole_edt import fields
from recbole_edt.artefacts.embeddings import TextEncoder
from recbole_edt.artefacts.profiles import report
from recbole_edt.artefacts.profiles.grouped import make_grouped
from recbole_edt.artefacts.profiles.questions import (
    ProfileQuestions,
    ProfileSettings,
    profile_questions,
)
from recbole_edt.artefacts.profiles.texts import ProfileTexts, joined_titles, read_replies
from recbole_edt.artefacts.profiles.writing import ProfileTable, write_profiles
from recbole_edt.artefacts.settings import GROUPED
from recbole_edt.artefacts.store import PROFILES, Entry
from recbole_edt.artefacts.task import ArtefactTask, PartReport, reuse_part
from recbole_edt.artefacts.training_rows import TrainingRows
from recbole_edt.llm import PROFILE, Reply
from recbole_edt.progress import progress_of


def make_profiles(task: ArtefactTask, dry_run: bool) -> PartReport:
    """Make the profiles of a set, or resume, reuse or estimate them.

    Parameters
    ----------
    task : ArtefactTask
        The set. With a shard, only its users' questions are asked and their replies kept; the
        run without a shard then finds all of them.
    dry_run : bool
        Write nothing.

    Raises
    ------
    UserError
        Bad input, a model that cannot be used, no usable reply, or a damaged set.
    """
    reused = reuse_part(task, PROFILES, report.describe, "those", "ask", dry_run)
    if reused is not None:
        return reused
    settings = ProfileSettings.from_config(task.config)
    if settings.profile_mode == GROUPED:
        return make_grouped(task, settings, dry_run)
    questions = profile_questions(task.training, task.titles, settings)
    if dry_run:
        return _estimate(task, settings, questions)
    # Failing to load the encoder after hours of questions would be too late.
    encoder = TextEncoder.from_settings(task.settings)
    work = task.folder / ".work-profiles"
    with task.exclusive_lock(work, "profiles"):
        if settings.asks_model:
            replies = _ask(task, questions)
            if task.shard.count > 1:
                count = len(questions.prompts)
                return task.report_asked(
                    PROFILES, f"{len(replies):,} of {count:,} questions are answered"
                )
            hide = settings.profile_hide_titles
            texts = read_replies(questions, replies, hide, task.settings.llm["llm"], _thinks(task))
            texts.entry.update(_model_entry(task, questions))
        else:
            texts = ProfileTexts([joined_titles(titles) for titles in questions.titles])
        table = ProfileTable(
            texts.texts, questions.users, questions.domains, len(task.training.domain_names)
        )
        counted = {
            **questions.entry(),
            "masked": dict(sorted((questions.masked + texts.masked).items())),
            **texts.entry,
        }
        rows = _rows(task.training, questions, texts.texts)
        entry = {"mode": settings.profile_mode} | write_profiles(
            task, table, encoder, work, counted, rows
        )
    made = task.record(PROFILES, entry)
    shutil.rmtree(work)
    return PartReport(PROFILES, "made", f"{PROFILES}: made\n{report.describe(made)}")


def _estimate(
    task: ArtefactTask, settings: ProfileSettings, questions: ProfileQuestions
) -> PartReport:
    lines = [f"{PROFILES}: would be made in {task.folder}", *report.count_lines(questions.entry())]
    if settings.asks_model:
        estimate = task.language_model.estimate(questions.requests)
        lines += [f"  {estimate}", "  and the encoding of the replies"]
    else:
        lines.append("  no language model is asked; their titles are encoded")
    return PartReport(PROFILES, "estimated", "\n".join(lines))


def _ask(task: ArtefactTask, questions: ProfileQuestions) -> list[Reply]:
    """Return the reply to each question of this process's shard."""
    tokens = task.training.user_tokens
    of_shard = [i for i, user in enumerate(questions.users) if task.shard.holds(tokens[user])]
    prompts = [questions.prompts[index] for index in of_shard]
    with progress_of(len(of_shard), PROFILES, "profile", task.show_progress) as bar:
        return task.language_model.generate(prompts, questions.generation, bar.update)


def _model_entry(task: ArtefactTask, questions: ProfileQuestions) -> Entry:
    return task.model_entry(PROFILE.entry()) | {
        "spent": task.language_model.spent_on(questions.requests).rounded(),
    }


def _thinks(task: ArtefactTask) -> bool:
    return task.language_model.thinking_tokens > 0


def _rows(
    training: TrainingRows, questions: ProfileQuestions, texts: Sequence[str]
) -> Iterable[dict[str, Any]]:
    columns = questions.users, questions.domains, questions.counts, texts
    for user, domain, count, text in zip(*columns, strict=True):
        if text:
            yield {
                fields.USER: training.user_tokens[user],
                fields.DOMAIN: training.domain_names[domain],
                "text": text,
                "n_items": int(count),
            }
