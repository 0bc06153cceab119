"""Grouped profiles: a text per group and domain, merged by the model into one per user [figure]."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recbole_edt import llm
from recbole_edt.artefacts.augmenter import shown_titles
from recbole_edt.artefacts.embeddings import TextEncoder
from recbole_edt.artefacts.profiles import report
from recbole_edt.artefacts.profiles.groups import GroupQuestions, group_questions
from recbole_edt.artefacts.profiles.questions import ProfileSettings
from recbole_edt.artefacts.profiles.texts import (
    EMPTY_REPLY,
    ReplyTexts,
    leave_out_shared,
    read_texts,
    repetition,
)
from recbole_edt.artefacts.profiles.writing import profile_row, write_profiles
from recbole_edt.artefacts.store import AUGMENT, GROUP, OVERALL, PROFILES, Entry
from recbole_edt.artefacts.task import ArtefactTask, PartReport
from recbole_edt.errors import UserError

EMPTY_MERGE, SHARED_TEXT = "empty_merge", "shared_text"
NO_GROUP_TEXT, FAILED_GROUP = "no_group_text", "failed_group"
"""Reasons not to have a profile, beside those of questions and failures."""


def make_grouped(task: ArtefactTask, settings: ProfileSettings, dry_run: bool) -> PartReport:
    """Make grouped profiles, or estimate them; see `make.make_profiles`."""
    if dry_run and not task.has_item_vectors():
        return task.report_uncountable(PROFILES)
    titles = shown_titles(task.titles)
    questions = group_questions(task, settings, titles, dry_run)
    if dry_run:
        return _estimate(task, settings, questions)
    # Failing to load the encoder after hours of questions would be too late.
    encoder = TextEncoder.from_settings(task.settings)
    work = task.folder / ".work-profiles"
    with task.exclusive_lock(work, "profiles"):
        count = len(questions.prompts)
        questions = questions.part(task.positions_in_shard(questions.users))
        replies = task.ask(questions.requests, f"{PROFILES}: groups", "question")
        groups = _read(task, settings, replies, _titles_of(questions.items, titles))
        if replies:
            groups.refuse_if_empty(task.settings.llm["llm"], "replies about groups")
        known = GroupTexts(task, settings, questions, groups)
        merged = task.ask(known.merging, f"{PROFILES}: merging", "question")
        if task.shard.count > 1:
            return task.report_asked(
                PROFILES,
                f"{len(replies):,} of {count:,} questions about groups and {len(merged):,} about "
                "merging are answered",
            )
        overall = known.read_merged(merged, titles)
        repeated = {GROUP: repetition(groups.texts), OVERALL: repetition(overall.texts)}
        overall.texts, shared = leave_out_shared(overall.texts, settings.profile_most_shared)
        overall.masked[SHARED_TEXT] += shared
        if not any(overall.texts):
            raise UserError(
                f"profile_most_shared: {settings.profile_most_shared}, but every one of {shared} "
                "overall profiles is shared by more users than that; they are no profiles"
            )
        counted = known.entry(overall, repeated)
        rows, users = known.rows(overall.texts), np.array(list(known.by_user), dtype=np.int64)
        entry = {"mode": settings.profile_mode, OVERALL: True} | write_profiles(
            task, encoder, work, overall.texts, users, None, counted, rows
        )
    made = task.record(PROFILES, entry)
    shutil.rmtree(work)
    return PartReport(PROFILES, "made", f"{PROFILES}: made\n{report.describe(made)}")


def _read(
    task: ArtefactTask,
    settings: ProfileSettings,
    replies: Sequence[llm.Reply],
    titles: Iterable[Sequence[str]],
    empty: str = EMPTY_REPLY,
) -> ReplyTexts:
    hide, thinks = settings.profile_hide_titles, task.language_model.thinks
    return read_texts(replies, titles, hide, thinks, empty, quotes='" ')


def _titles_of(items: Iterable[Iterable[int]], titles: Sequence[str]) -> Iterator[list[str]]:
    return ([titles[item] for item in part] for part in items)


@dataclass(frozen=True)
class GroupTexts:
    """The texts about groups, and the questions that merge those of each user.

    Attributes
    ----------
    task : ArtefactTask
        The set.
    settings : ProfileSettings
        Length of a text, and what is hidden in it.
    questions : GroupQuestions
        The questions about groups.
    groups : ReplyTexts
        What was read of the replies.
    """

    task: ArtefactTask
    settings: ProfileSettings
    questions: GroupQuestions
    groups: ReplyTexts

    @cached_property
    def waiting(self) -> set[int]:
        """Users with a question that failed.

        They are not merged before it is answered: the text would change.
        """
        return {int(self.questions.users[index]) for index in self.groups.failed}

    @cached_property
    def by_user(self) -> dict[int, list[tuple[str, str]]]:
        """Domain and text of the groups of each user that is merged."""
        names, known = self.task.training.domain_names, dict[int, list[tuple[str, str]]]()
        columns = self.questions.users.tolist(), self.questions.domains, self.groups.texts
        for user, domain, text in zip(*columns, strict=True):
            if text and user not in self.waiting:
                known.setdefault(user, []).append((names[domain], text))
        return known

    @cached_property
    def merging(self) -> llm.GenerateRequests:
        """The merging question of each user, of two sentences, hence twice the tokens [ours]."""
        prompts = [llm.fill_merge(texts).prompt for texts in self.by_user.values()]
        most, penalty = 2 * self.settings.profile_max_tokens, self.settings.llm_repetition_penalty
        return llm.GenerateRequests(prompts, llm.Generation(most, repetition_penalty=penalty))

    def read_merged(self, replies: Sequence[llm.Reply], titles: Sequence[str]) -> ReplyTexts:
        """Read the merging replies, and count the users without one."""
        items: dict[int, set[int]] = {}
        for user, part in zip(self.questions.users.tolist(), self.questions.items, strict=True):
            items.setdefault(user, set()).update(part.tolist())
        quoted = _titles_of((sorted(items[user]) for user in self.by_user), titles)
        result = _read(self.task, self.settings, replies, quoted, EMPTY_MERGE)
        without_text = len(items) - len(self.by_user) - len(self.waiting)
        result.masked.update({FAILED_GROUP: len(self.waiting), NO_GROUP_TEXT: without_text})
        result.refuse_if_empty(self.task.settings.llm["llm"], "merging replies")
        return result

    def entry(self, overall: ReplyTexts, repeated: Entry) -> Entry:
        """Return what the manifest records of both stages."""
        groups, model = self.groups, self.task.language_model
        stages = {GROUP: self.questions.requests, OVERALL: self.merging}
        spent = {name: model.spent_on(requests).rounded() for name, requests in stages.items()}
        total = {key: round(sum(one[key] for one in spent.values()), 6) for key in spent[GROUP]}
        cut_thoughts = groups.cut_thoughts + overall.cut_thoughts
        return {
            **self.questions.entry(),
            "merges": len(self.merging.prompts),
            "masked": dict(sorted((+(self.questions.masked + overall.masked)).items())),
            "masked_groups": dict(sorted(groups.masked.items())),
            "repetition": repeated,
            # with more tokens to think, a cut thought is answered, and its user's texts merged anew
            "failed": len(groups.failed) + len(overall.failed) + cut_thoughts,
            "cut_thoughts": cut_thoughts,
            "unfinished": groups.unfinished + overall.unfinished,
            "hidden_titles": groups.hidden + overall.hidden,
            **self.task.model_entry({GROUP: llm.GROUP.entry(), OVERALL: llm.MERGE.entry()}),
            "spent": total,
            "spent_by_stage": spent,
        }

    def rows(self, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the lines of ``profiles.jsonl``: each user's merged text, then those of groups."""
        questions, training = self.questions, self.task.training
        merged = dict(zip(self.by_user, texts, strict=True))
        sizes = np.bincount(questions.users, weights=[len(part) for part in questions.items])
        columns = questions.users.tolist(), questions.groups.tolist(), questions.domains.tolist()
        for index, (user, group, domain) in enumerate(zip(*columns, strict=True)):
            name = training.user_tokens[user]
            if text := merged.pop(user, ""):  # before the user's first group
                yield profile_row(name, "", text, sizes[user], stage=OVERALL)
            if text := self.groups.texts[index]:
                in_domain, count = training.domain_names[domain], len(questions.items[index])
                yield profile_row(name, in_domain, text, count, stage=GROUP, group=group + 1)


def _estimate(
    task: ArtefactTask, settings: ProfileSettings, questions: GroupQuestions
) -> PartReport:
    """Forecast both stages; texts that are not written yet count as long as the forecast says."""
    model = task.language_model
    estimate = model.estimate(questions.requests)
    tokens = round(estimate.generated_tokens / estimate.calls) if estimate.calls else 0
    expected = " ".join(["word"] * max(1, tokens))
    stored = model.stored(questions.requests)
    known = [reply if isinstance(reply, llm.Reply) else llm.Reply("") for reply in stored]
    only_thoughts = llm.thoughts_without_answer(known, model.thinks)
    groups = ReplyTexts()
    for was_stored, reply, only_thought in zip(stored, known, only_thoughts, strict=True):
        text = "" if only_thought else llm.parse_summary(reply.text).text
        groups.texts.append(text if was_stored else expected)
    second = model.estimate(GroupTexts(task, settings, questions, groups).merging)
    lines = [
        f"{PROFILES}: would be made in {task.folder}",
        *report.count_lines(questions.entry()),
        f"  groups: {estimate}",
        f"  merging: {second}",
        f"  both: {estimate.calls + second.calls:,} calls, "
        f"{estimate.prompt_tokens + second.prompt_tokens:,} tokens read, "
        f"{estimate.generated_tokens + second.generated_tokens:,} written, about "
        f"{estimate.seconds + second.seconds:,.0f} s, cost {estimate.cost + second.cost:,.2f}",
        "  and the encoding of the merged texts",
    ]
    if settings.profile_augmented and task.source_set(AUGMENT) is None:
        lines.append(
            "  counted without augmented interactions, which are not made yet: up to "
            "augment_cap items more for each user and pair of domains"
        )
    return PartReport(PROFILES, "estimated", "\n".join(lines))
