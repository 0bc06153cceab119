"""The part `profiles` of a set: a text per user and domain, or one per user, and its vector.

A prompt shows the titles of one user's training items in one domain and nothing else, so no
item can reach the profile of another user or domain. Users without enough items in a domain
have no profile there, and neither have those whose reply is not usable: nothing is made up.
"""

import shutil
from collections.abc import Iterable, Sequence
from typing import Any

from recbole_edt.artefacts.embeddings import TextEncoder
from recbole_edt.artefacts.profiles import report
from recbole_edt.artefacts.profiles.grouped import make_grouped
from recbole_edt.artefacts.profiles.questions import (
    ProfileQuestions,
    ProfileSettings,
    profile_questions,
)
from recbole_edt.artefacts.profiles.texts import ReplyTexts, joined_titles, read_texts, repetition
from recbole_edt.artefacts.profiles.writing import profile_row, write_profiles
from recbole_edt.artefacts.settings import GROUPED, profile_mode_of
from recbole_edt.artefacts.store import PROFILES, Entry
from recbole_edt.artefacts.task import ArtefactTask, PartReport, reuse_part
from recbole_edt.artefacts.training_rows import TrainingRows
from recbole_edt.llm import PROFILE


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
            of_shard = task.positions_in_shard(questions.users)
            replies = task.ask(questions.requests.part(of_shard), PROFILES, "profile")
            if task.shard.count > 1:
                count = len(questions.prompts)
                return task.report_asked(
                    PROFILES, f"{len(replies):,} of {count:,} questions are answered"
                )
            read = read_texts(
                replies,
                questions.all_titles,
                settings.profile_hide_titles,
                task.language_model.thinks,
            )
            read.refuse_if_empty(task.settings.llm["llm"], "replies")
            of_replies = _entry(task, questions, read)
        else:
            read = ReplyTexts([joined_titles(titles) for titles in questions.titles])
            of_replies = {}
        entry = {"mode": profile_mode_of(task.config)} | write_profiles(
            task,
            encoder,
            work,
            read.texts,
            questions.users,
            questions.domains,
            questions.entry()
            | {"masked": dict(sorted((questions.masked + read.masked).items()))}
            | of_replies,
            _rows(task.training, questions, read.texts),
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


def _entry(task: ArtefactTask, questions: ProfileQuestions, read: ReplyTexts) -> Entry:
    """Return what the manifest records of the replies."""
    return {
        # a part with failures is made again; with more tokens to think, a cut thought is answered
        "failed": len(read.failed) + read.cut_thoughts,
        "cut_thoughts": read.cut_thoughts,
        "unfinished": read.unfinished,
        "cut_replies": read.cut,
        "hidden_titles": read.hidden,
        "repetition": repetition(read.texts),
        **task.model_entry(PROFILE.entry()),
        "spent": task.language_model.spent_on(questions.requests).rounded(),
    }


def _rows(
    training: TrainingRows, questions: ProfileQuestions, texts: Sequence[str]
) -> Iterable[dict[str, Any]]:
    columns = questions.users, questions.domains, questions.counts, texts
    for user, domain, count, text in zip(*columns, strict=True):
        if text:
            yield profile_row(
                training.user_tokens[user], training.domain_names[domain], text, count
            )
