"""Grouped profiles: a text per group and domain, merged by the model into one per user [figure]."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_edt import fields, llm
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
from recbole_edt.artefacts.profiles.writing import write_profiles
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
        users, merging = _merging(task, settings, questions, groups)
        merged = task.ask(merging, f"{PROFILES}: merging", "question")
        if task.shard.count > 1:
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


def _merging(
    task: ArtefactTask, settings: ProfileSettings, questions: GroupQuestions, groups: ReplyTexts
) -> tuple[np.ndarray, llm.GenerateRequests]:
    """Return the users whose groups have texts, int64 [M], and the merging question of each.

    A user with a question that failed is not merged before it is answered: the text would change.
    Replies may have two sentences, hence twice the tokens [ours].
    """
    names, users = task.training.domain_names, questions.users.tolist()
    waiting = {users[index] for index in groups.failed}
    known: dict[int, list[tuple[str, str]]] = {}
    for user, domain, text in zip(users, questions.domains, groups.texts, strict=True):
        if text and user not in waiting:
            known.setdefault(user, []).append((names[domain], text))
    prompts = [llm.fill_merge(texts).prompt for texts in known.values()]
    generation = llm.Generation(
        2 * settings.profile_max_tokens, repetition_penalty=settings.llm_repetition_penalty
    )
    return np.array(list(known), dtype=np.int64), llm.GenerateRequests(prompts, generation)


def _read_merged(
    task: ArtefactTask,
    settings: ProfileSettings,
    titles: Sequence[str],
    questions: GroupQuestions,
    users: np.ndarray,
    replies: Sequence[llm.Reply],
    groups: ReplyTexts,
) -> ReplyTexts:
    """Read the merging replies, and count the users without one."""
    items: dict[int, set[int]] = {}
    for user, part in zip(questions.users.tolist(), questions.items, strict=True):
        items.setdefault(user, set()).update(part.tolist())
    of_users = (sorted(items[user]) for user in users.tolist())
    result = _read(task, settings, replies, _titles_of(of_users, titles), EMPTY_MERGE)
    waiting = len({int(questions.users[index]) for index in groups.failed})
    result.masked[FAILED_GROUP] += waiting
    result.masked[NO_GROUP_TEXT] += len(items) - len(users) - waiting
    result.refuse_if_empty(task.settings.llm["llm"], "merging replies")
    return result


def _write(
    task: ArtefactTask,
    settings: ProfileSettings,
    questions: GroupQuestions,
    groups: ReplyTexts,
    users: np.ndarray,
    overall: ReplyTexts,
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
    stages = {GROUP: questions.requests, OVERALL: merging}
    spent = {name: model.spent_on(requests).rounded() for name, requests in stages.items()}
    total = {key: round(sum(one[key] for one in spent.values()), 6) for key in spent[GROUP]}
    prompts = {GROUP: llm.GROUP.entry(), OVERALL: llm.MERGE.entry()}
    cut_thoughts = groups.cut_thoughts + overall.cut_thoughts
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
    head = {"mode": settings.profile_mode, OVERALL: True}
    return head | write_profiles(task, encoder, work, kept, users, None, counted, rows)


def _rows(
    task: ArtefactTask,
    questions: GroupQuestions,
    groups: ReplyTexts,
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
    estimate = model.estimate(questions.requests)
    tokens = round(estimate.generated_tokens / estimate.calls) if estimate.calls else 0
    expected = " ".join(["word"] * max(1, tokens))
    stored = model.stored(questions.requests)
    known = [reply if isinstance(reply, llm.Reply) else llm.Reply("") for reply in stored]
    only_thoughts = llm.thoughts_without_answer(known, model.thinks)
    groups = ReplyTexts()
    for was_stored, reply, only_thought in zip(stored, known, only_thoughts, strict=True):
        text = llm.parse_summary(reply.text, only_thought=only_thought).text
        groups.texts.append(text if was_stored else expected)
    second = model.estimate(_merging(task, settings, questions, groups)[1])
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
    has_augmented = find_source_set(task.dataset_dir, task.name, task.identity, AUGMENT)
    if settings.profile_augmented and not has_augmented:
        lines.append(
            "  counted without augmented interactions, which are not made yet: up to "
            "augment_cap items more for each user and pair of domains"
        )
    return PartReport(PROFILES, "estimated", "\n".join(lines))
