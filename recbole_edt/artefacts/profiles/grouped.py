"""Grouped profiles: a text per group and domain, merged by the model into one per user [figure]."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recbole_edt import fields, llm
from recbole_edt.artefacts.augmenter import shown_titles
from recbole_edt.artefacts.embeddings import TextEncoder
from recbole_edt.artefacts.profiles import report
from recbole_edt.artefacts.profiles.groups import GroupQuestions, group_questions
from recbole_edt.artefacts.profiles.questions import ProfileSettings
from recbole_edt.artefacts.profiles.repetition import leave_out_shared, repetition
from recbole_edt.artefacts.profiles.texts import ONLY_TITLES, without_titles
from recbole_edt.artefacts.profiles.writing import ProfileTable, write_profiles
from recbole_edt.artefacts.store import (
    AUGMENT,
    GROUP,
    OVERALL,
    PROFILES,
    Entry,
    find_source_set,
)
from recbole_edt.artefacts.task import ArtefactTask, PartReport
from recbole_edt.errors import UserError
from recbole_edt.progress import progress_of

EMPTY_MERGE, SHARED_TEXT = "empty_merge", "shared_text"
NO_GROUP_TEXT, FAILED_GROUP = "no_group_text", "failed_group"
"""Reasons not to have a profile, beside those of questions and failures."""


@dataclass
class StageTexts:
    """What was read of the replies of one stage.

    Attributes
    ----------
    texts : list of str
        Text of each question, ``""`` where there is none.
    masked : collections.Counter
        Questions without a usable reply, by reason.
    failed : set of int
        Questions whose failures are worth asking again.
    hidden, unfinished : int
        Titles that were replaced, replies that were cut.
    """

    texts: list[str] = field(default_factory=list)
    masked: Counter[str] = field(default_factory=Counter)
    failed: set[int] = field(default_factory=set)
    hidden: int = 0
    unfinished: int = 0


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
        tokens = task.training.user_tokens
        mine = np.array([task.shard.holds(tokens[user]) for user in questions.users])
        replies = _ask(task, "groups", _part(questions, np.flatnonzero(mine)))
        groups = _read(task, settings, titles, questions, np.flatnonzero(mine), replies)
        users, prompts = _merging(task, questions, np.flatnonzero(mine), groups)
        merging = llm.GenerateRequests(prompts, _merge_generation(settings))
        merged = _ask(task, "merging", merging)
        if task.shard.count > 1:
            count = len(questions.prompts)
            return task.report_asked(
                PROFILES,
                f"{len(replies):,} of {count:,} questions about groups and {len(merged):,} about "
                "merging are answered",
            )
        overall = _read_merged(task, settings, titles, questions, users, merged, groups)
        entry = _write(task, settings, questions, groups, users, overall, merging, encoder, work)
    made = task.record(PROFILES, entry)
    shutil.rmtree(work)
    return PartReport(PROFILES, "made", f"{PROFILES}: made\n{report.describe(made)}")


def _part(questions: GroupQuestions, indices: np.ndarray) -> llm.GenerateRequests:
    prompts = [questions.prompts[index] for index in indices]
    return llm.GenerateRequests(prompts, questions.generation)


def _merge_generation(settings: ProfileSettings) -> llm.Generation:
    """Return how merging replies are generated: two sentences, hence twice the tokens [ours]."""
    return llm.Generation(
        2 * settings.profile_max_tokens, repetition_penalty=settings.llm_repetition_penalty
    )


def _ask(task: ArtefactTask, stage: str, requests: llm.GenerateRequests) -> list[llm.Reply]:
    name = f"{PROFILES}: {stage}"
    with progress_of(len(requests.prompts), name, "question", task.show_progress) as bar:
        return task.language_model.generate(requests.prompts, requests.settings, bar.update)


def _read(
    task: ArtefactTask,
    settings: ProfileSettings,
    titles: Sequence[str],
    questions: GroupQuestions,
    indices: np.ndarray,
    replies: Sequence[llm.Reply],
) -> StageTexts:
    """Read the replies about groups; `texts` is as long as all questions."""
    result = StageTexts([""] * len(questions.prompts))
    for index, (reply, only_thought) in zip(
        indices.tolist(), _with_thoughts(task, replies), strict=True
    ):
        quoted = [titles[item] for item in questions.items[index]]
        result.texts[index] = _text(reply, only_thought, quoted, settings, result, "empty_reply")
        if reply.failure not in (None, llm.PROMPT_TOO_LONG):
            result.failed.add(index)
    if len(replies) and not any(result.texts):
        raise UserError(
            f"llm: {task.settings.llm['llm']}: none of {len(replies)} replies about groups is "
            f"usable ({report.by_reason(result.masked)}){_hint(result)}"
        )
    return result


def _with_thoughts(
    task: ArtefactTask, replies: Sequence[llm.Reply]
) -> list[tuple[llm.Reply, bool]]:
    """Return each reply and whether it is a thought that was cut."""
    thinks = task.language_model.thinking_tokens > 0
    return list(zip(replies, llm.thoughts_without_answer(replies, thinks), strict=True))


def _hint(result: StageTexts) -> str:
    return "; raise llm_thinking_tokens" if result.masked[llm.CUT_THOUGHT] else ""


def _text(
    reply: llm.Reply,
    only_thought: bool,
    titles: Sequence[str],
    settings: ProfileSettings,
    result: StageTexts,
    empty: str,
) -> str:
    """Return the text of a reply, and count in `result` what becomes of it."""
    if reply.failure is not None:
        result.masked[reply.failure] += 1
        return ""
    summary = llm.parse_summary(reply.text, only_thought=only_thought)
    was_cut = summary.cut or reply.finish == "length"
    result.unfinished += reply.finish == "length"
    text = summary.text.strip('" ')
    if not text:
        result.masked[llm.CUT_THOUGHT if summary.rejects[llm.CUT_THOUGHT] else empty] += 1
        return ""
    if settings.profile_hide_titles:
        text, count = without_titles(text, titles, was_cut)
        result.hidden += count
        if not text:
            result.masked[ONLY_TITLES] += 1
    return text


def _merging(
    task: ArtefactTask, questions: GroupQuestions, indices: np.ndarray, groups: StageTexts
) -> tuple[np.ndarray, list[llm.Prompt]]:
    """Return the users whose groups have texts, int64 [M], and the merging question of each.

    A user with a question that failed is not merged before it is answered: the text would change.
    """
    names = task.training.domain_names
    waiting = {int(questions.users[index]) for index in groups.failed}
    known: dict[int, list[tuple[str, str]]] = {}
    for index in indices.tolist():
        if groups.texts[index] and int(questions.users[index]) not in waiting:
            domain = names[questions.domains[index]]
            known.setdefault(int(questions.users[index]), []).append((domain, groups.texts[index]))
    prompts = [llm.fill_merge(texts).prompt for texts in known.values()]
    return np.array(list(known), dtype=np.int64), prompts


def _read_merged(
    task: ArtefactTask,
    settings: ProfileSettings,
    titles: Sequence[str],
    questions: GroupQuestions,
    users: np.ndarray,
    replies: Sequence[llm.Reply],
    groups: StageTexts,
) -> StageTexts:
    """Read the merging replies; texts that too many users share are left out."""
    items: dict[int, set[int]] = {}
    for user, part in zip(questions.users.tolist(), questions.items, strict=True):
        items.setdefault(user, set()).update(part.tolist())
    result = StageTexts()
    thoughts = _with_thoughts(task, replies)
    for number, (user, (reply, only_thought)) in enumerate(
        zip(users.tolist(), thoughts, strict=True)
    ):
        quoted = [titles[item] for item in sorted(items[user])]
        text = _text(reply, only_thought, quoted, settings, result, EMPTY_MERGE)
        result.texts.append(text)
        if reply.failure not in (None, llm.PROMPT_TOO_LONG):
            result.failed.add(number)
    waiting = len({int(questions.users[index]) for index in groups.failed})
    result.masked[FAILED_GROUP] += waiting
    result.masked[NO_GROUP_TEXT] += len(items) - len(users) - waiting
    if not any(result.texts):
        raise UserError(
            f"llm: {task.settings.llm['llm']}: none of {len(replies)} merging replies is usable "
            f"({report.by_reason(+result.masked)}){_hint(result)}"
        )
    return result


def _write(
    task: ArtefactTask,
    settings: ProfileSettings,
    questions: GroupQuestions,
    groups: StageTexts,
    users: np.ndarray,
    overall: StageTexts,
    merging: llm.GenerateRequests,
    encoder: TextEncoder,
    work: Path,
) -> Entry:
    """Leave out shared texts and write the rest; return the part's entry for the manifest."""
    model = task.language_model
    repeated = {GROUP: repetition(groups.texts), OVERALL: repetition(overall.texts)}
    kept, shared = leave_out_shared(overall.texts, settings.profile_most_shared)
    overall.masked[SHARED_TEXT] += shared
    if not any(kept):
        raise UserError(
            f"profile_most_shared: {settings.profile_most_shared}, but every one of {shared} "
            "overall profiles is shared by more users than that; they are no profiles"
        )
    stages = {
        GROUP: llm.GenerateRequests(questions.prompts, questions.generation),
        OVERALL: merging,
    }
    spent = {name: model.spent_on(requests).rounded() for name, requests in stages.items()}
    total = {key: round(sum(one[key] for one in spent.values()), 6) for key in spent[GROUP]}
    prompts = {GROUP: llm.GROUP.entry(), OVERALL: llm.MERGE.entry()}
    cut_thoughts = groups.masked[llm.CUT_THOUGHT] + overall.masked[llm.CUT_THOUGHT]
    counted = {
        **questions.entry(),
        "merges": len(merging.prompts),
        "masked": dict(sorted((+(questions.masked + overall.masked)).items())),
        "masked_groups": dict(sorted(groups.masked.items())),
        "repetition": repeated,
        # with more tokens to think, a cut thought is answered, and its user's texts merged anew
        "failed": len(groups.failed) + len(overall.failed) + cut_thoughts,
        "cut_thoughts": cut_thoughts,
        "unfinished": groups.unfinished + overall.unfinished,
        "hidden_titles": groups.hidden + overall.hidden,
        **task.model_entry(prompts),
        "spent": total,
        "spent_by_stage": spent,
    }
    rows = _rows(task, questions, groups, users, kept)
    table = ProfileTable(kept, users, np.zeros_like(users), 1)
    head = {"mode": settings.profile_mode, OVERALL: True}
    return head | write_profiles(task, table, encoder, work, counted, rows)


def _rows(
    task: ArtefactTask,
    questions: GroupQuestions,
    groups: StageTexts,
    users: np.ndarray,
    texts: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the lines of ``profiles.jsonl``: each user's overall text, then those of groups."""
    training = task.training
    merged = dict(zip(users.tolist(), texts, strict=True))
    rows: list[dict[str, Any]] = []
    sizes = np.bincount(questions.users, weights=[len(part) for part in questions.items])
    last = -1
    columns = questions.users.tolist(), questions.groups.tolist(), questions.domains.tolist()
    for index, (user, group, domain) in enumerate(zip(*columns, strict=True)):
        name = training.user_tokens[user]
        if user != last and merged.get(user):
            rows.append(
                {
                    fields.USER: name,
                    fields.DOMAIN: "",
                    "text": merged[user],
                    "n_items": int(sizes[user]),
                    "stage": OVERALL,
                }
            )
        last = user
        if groups.texts[index]:
            rows.append(
                {
                    fields.USER: name,
                    fields.DOMAIN: training.domain_names[domain],
                    "text": groups.texts[index],
                    "n_items": len(questions.items[index]),
                    "stage": GROUP,
                    "group": group + 1,
                }
            )
    return rows


def _estimate(
    task: ArtefactTask, settings: ProfileSettings, questions: GroupQuestions
) -> PartReport:
    """Forecast both stages; texts that are not written yet count as long as the forecast says."""
    model = task.language_model
    everything = np.arange(len(questions.prompts))
    first = _part(questions, everything)
    estimate = model.estimate(first)
    tokens = round(estimate.generated_tokens / estimate.calls) if estimate.calls else 0
    expected = " ".join(["word"] * max(1, tokens))
    groups = StageTexts()
    stored = [r if isinstance(r, llm.Reply) else None for r in model.stored(first)]
    known = [reply or llm.Reply("") for reply in stored]
    for was_stored, (reply, only_thought) in zip(stored, _with_thoughts(task, known), strict=True):
        text = llm.parse_summary(reply.text, only_thought=only_thought).text
        groups.texts.append(text if was_stored else expected)
    _, prompts = _merging(task, questions, everything, groups)
    second = model.estimate(llm.GenerateRequests(prompts, _merge_generation(settings)))
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
    if settings.profile_augmented and not _has_augmented(task):
        lines.append(
            "  counted without augmented interactions, which are not made yet: up to "
            "augment_cap items more for each user and pair of domains"
        )
    return PartReport(PROFILES, "estimated", "\n".join(lines))


def _has_augmented(task: ArtefactTask) -> bool:
    return find_source_set(task.dataset_dir, task.name, task.identity, AUGMENT) is not None
