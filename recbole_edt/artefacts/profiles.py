"""Domain-aware profiles: what a user likes inside each domain, in words and as a vector.

A prompt shows the titles of one user's training items in one domain and nothing else, so no
item can reach the profile of another user or domain. Users without enough items in a domain
have no profile there, and neither have those whose reply is not usable: nothing is made up.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import recbole_edt
from recbole_edt import fields as columns
from recbole_edt.artefacts import profile_files, store
from recbole_edt.artefacts.embeddings import encode_items, plan_encoding
from recbole_edt.artefacts.encoder import Encoder, locate
from recbole_edt.artefacts.store import PROFILES
from recbole_edt.artefacts.task import Task, Training, alone, take_over
from recbole_edt.errors import UserError
from recbole_edt.llm.client import Generation, Prompt, Reply
from recbole_edt.llm.estimate import estimate_generate
from recbole_edt.llm.parsing import parse_summary
from recbole_edt.llm.prompts import PROFILE, clean_title, fill

TOO_FEW, NO_TITLE = "too_few_items", "no_title"
"""Reasons to ask nothing about a user and domain; those of a bad reply stand in `llm.parsing`."""

_FOR_GOOD = {"prompt_too_long"}
"""Failures that asking again would not mend."""


@dataclass(frozen=True)
class ProfileSettings:
    """The configuration keys that start with ``profile_``; `properties/overall.yaml` explains them.

    Attributes
    ----------
    profile_min_items : int
        Training items in a domain below which there is no profile.
    profile_history : int
        Titles in a prompt: the latest ones.
    profile_max_tokens : int
        Tokens after which a reply is cut.
    """

    profile_min_items: int
    profile_history: int
    profile_max_tokens: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ProfileSettings":
        """Read the settings from a configuration.

        Raises
        ------
        UserError
            For a value that is not a whole number of 1 or more; the message names the key.
        """
        values = {one.name: config[one.name] for one in fields(cls)}
        for key, value in values.items():
            if type(value) is not int or value < 1:
                raise UserError(f"{key}: {value!r} is not a whole number of 1 or more")
        return cls(**values)


@dataclass(frozen=True)
class ProfilePlan:
    """The questions about Q pairs of user and domain.

    Attributes
    ----------
    users, domains : numpy.ndarray
        int64 [Q], index into the user tokens and domain names of the training rows.
    counts : numpy.ndarray
        int64 [Q], training items of the user in the domain.
    prompts : list of Prompt
        One per pair.
    masked : collections.Counter
        Pairs without a question, by reason.
    untitled : int
        Training rows of the Q pairs that no prompt shows, for want of a title.
    cut_titles : int
        Titles in the prompts that were cut.
    """

    users: np.ndarray
    domains: np.ndarray
    counts: np.ndarray
    prompts: list[Prompt]
    masked: Counter[str]
    untitled: int
    cut_titles: int


def plan_profiles(
    training: Training, titles: Sequence[str], settings: ProfileSettings
) -> ProfilePlan:
    """Write the questions: one per user and domain with enough training items.

    Parameters
    ----------
    training : Training
        The rows that may be learnt from.
    titles : sequence of str
        The title of each catalogue row, ``""`` where there is none.
    settings : ProfileSettings
        How many items are needed, and shown.

    Raises
    ------
    UserError
        When no user has enough items in any domain.
    """
    width = len(training.domain_names)
    cells = len(training.user_tokens) * width
    pair = training.users * width + training.domains
    count = np.bincount(pair, minlength=cells)
    enough = count >= settings.profile_min_items
    if not enough.any():
        raise UserError(
            f"profile_min_items: {settings.profile_min_items}, but no user has so many training "
            f"items in one domain; the most are {count.max(initial=0)}"
        )
    shown = [clean_title(title)[0] != "" for title in titles]
    titled = np.asarray(shown, dtype=bool)[training.items]
    rows = np.flatnonzero(titled & enough[pair])
    rows = rows[np.argsort(pair[rows], kind="stable")]  # the order of time stays within a pair
    asked, starts = np.unique(pair[rows], return_index=True)
    prompts, cut_titles = [], 0
    for cell, of_pair in zip(asked, np.split(rows, starts[1:]), strict=True):
        latest = training.items[of_pair[-settings.profile_history :]]
        domain = training.domain_names[cell % width]
        filled = fill(PROFILE, domain, [titles[item] for item in latest])
        prompts.append(filled.prompt)
        cut_titles += filled.cut_titles
    masked = Counter({TOO_FEW: int((~enough).sum()), NO_TITLE: int(enough.sum()) - len(asked)})
    untitled = int((~titled & enough[pair]).sum())
    users, domains = asked // width, asked % width
    return ProfilePlan(users, domains, count[asked], prompts, +masked, untitled, cut_titles)


def make_profiles(task: Task, dry_run: bool) -> str:
    """Make the profiles of a set, or resume them, or say what they would take.

    Parameters
    ----------
    task : Task
        The set. When its shard is a part of the work only, that part's questions are asked and
        their replies kept; the run without a shard then finds all of them.
    dry_run : bool
        Write nothing.

    Returns
    -------
    str
        A report to print.

    Raises
    ------
    UserError
        Bad input, a model that cannot be used, no usable reply, or a damaged set.
    """
    settings = ProfileSettings.from_config(task.config)
    lender = store.find_lender(task.dataset_dir, task.name, task.identity, PROFILES)
    # What failed the last time is asked again.
    if lender is not None and not lender.manifest[PROFILES].get("failed"):
        return take_over(task, lender, PROFILES, _describe, "those", "ask", dry_run)
    plan = plan_profiles(task.training(), task.titles(), settings)
    generation = Generation(settings.profile_max_tokens)
    if dry_run:
        client, rate = task.client(), task.llm_settings().llm_tokens_per_second
        estimate = estimate_generate(client, plan.prompts, generation, rate)
        lines = [f"{PROFILES}: would be made in {task.folder}", *_lines(_counts(plan))]
        return "\n".join([*lines, f"  {estimate}", "  and the encoding of the replies"])
    location = locate(task.settings.encoder, task.settings.encoder_revision)
    # An encoder that cannot be loaded is no news for after hours of questions.
    encoder = Encoder(location, task.settings.encoder_max_length)
    work = task.folder / ".work-profiles"
    with alone(task, work, "profiles"):
        replies = _ask(task, plan, generation)
        if task.shard.count > 1:
            asked = len(replies)
            return (
                f"{PROFILES}: part {task.shard.index} of {task.shard.count}: {asked:,} of "
                f"{len(plan.prompts):,} questions are answered; when all parts are, run the "
                "command without a shard"
            )
        made = _finish(task, plan, replies, encoder, work)
    done = store.record_part(task.folder, task.name, task.identity, PROFILES, made)
    shutil.rmtree(work)
    return f"{PROFILES}: made\n{_describe(done)}"


def _ask(task: Task, plan: ProfilePlan, generation: Generation) -> list[Reply]:
    """Return the reply to each question of this process's share."""
    tokens = task.training().user_tokens
    own = [
        prompt
        for user, prompt in zip(plan.users, plan.prompts, strict=True)
        if task.shard.holds(tokens[user])
    ]
    hidden = None if task.config["show_progress"] else True
    with tqdm(total=len(own), desc=PROFILES, unit="profile", disable=hidden) as bar:
        return task.client().generate(own, generation, bar.update)


def _finish(
    task: Task, plan: ProfilePlan, replies: Sequence[Reply], encoder: Encoder, work: Path
) -> dict[str, Any]:
    """Read the replies, encode and write them; return the part's entry for the manifest."""
    training, settings = task.training(), ProfileSettings.from_config(task.config)
    parsed = [parse_summary(reply.text) for reply in replies]
    masked, failed = Counter(plan.masked), 0
    texts = []
    for reply, summary in zip(replies, parsed, strict=True):
        if reply.failure is not None:
            masked[reply.failure] += 1
            failed += reply.failure not in _FOR_GOOD
        else:
            masked += summary.rejects
        texts.append(summary.text if reply.failure is None else "")
    usable = np.array([text != "" for text in texts])
    if not usable.any():
        raise UserError(
            f"llm: {task.settings.llm['llm']}: none of {len(replies)} replies is usable "
            f"({_by_reason(masked - plan.masked)})"
        )
    encoding = plan_encoding(texts, encoder, task.settings.encoder_batch_size)
    show = task.config["show_progress"]
    encoded, seconds = encode_items(encoding, encoder, work, show, "profile vectors")
    shape = (len(training.user_tokens), len(training.domain_names))
    vectors = np.zeros((*shape, encoder.dim), dtype=np.float16)
    present = np.zeros(shape, dtype=bool)
    vectors[plan.users, plan.domains] = encoded
    present[plan.users, plan.domains] = usable
    client = task.client()
    keys = [
        client.generation_key(prompt, Generation(settings.profile_max_tokens))
        for prompt in plan.prompts
    ]
    spent = client.store.spent_on(keys).as_dict()
    return {
        "users": shape[0],
        "domains": training.domain_names,
        "dim": encoder.dim,
        "profiles": int(usable.sum()),
        **_counts(plan),
        "masked": dict(sorted(masked.items())),
        "failed": failed,
        "unfinished": sum(r.finish == "length" for r in replies),
        "cut_replies": sum(summary.cut for summary in parsed),
        "llm": dict(client.client.source),
        "llm_identity": dict(client.identity),
        "prompt": {"name": PROFILE.name, "version": PROFILE.version, "hash": PROFILE.hash},
        "spent": {key: round(value, 6) for key, value in spent.items()},
        "encoder": task.settings.encoder,
        "encoder_revision": encoder.folder.revision,
        "weights_sha256": encoder.weights_sha256,
        "encoder_seconds": round(seconds, 2),
        "made_with": {"recbole_edt": recbole_edt.__version__},
        "sha256": profile_files.save_profiles(
            task.folder, training.user_tokens, vectors, present, _rows(training, plan, texts)
        ),
    }


def _rows(training: Training, plan: ProfilePlan, texts: Sequence[str]) -> Iterable[dict[str, Any]]:
    for user, domain, count, text in zip(plan.users, plan.domains, plan.counts, texts, strict=True):
        if text:
            yield {
                columns.USER: training.user_tokens[user],
                columns.DOMAIN: training.domain_names[domain],
                "text": text,
                "n_items": int(count),
            }


def _counts(plan: ProfilePlan) -> dict[str, Any]:
    return {
        "asked": len(plan.prompts),
        "masked": dict(sorted(plan.masked.items())),
        "untitled": plan.untitled,
        "cut_titles": plan.cut_titles,
    }


def _describe(found: store.ArtefactSet) -> str:
    made = found.manifest[PROFILES]
    spent, model = made["spent"], made["llm"]
    lines = [
        f"  set {found.hash} in {found.path}",
        f"  {made['profiles']:,} profiles of {made['users']:,} users "
        f"in {len(made['domains'])} domains ({', '.join(made['domains'])})",
        *_lines(made),
        f"  {spent['calls']:,} calls of {model['llm']} {model.get('revision') or ''}".rstrip()
        + f", {spent['prompt_tokens']:,} tokens read, {spent['generated_tokens']:,} written, "
        f"{spent['seconds']:,.0f} s, cost {spent['cost']:,.2f}",
    ]
    if made["unfinished"]:
        lines.append(f"  {made['unfinished']:,} replies were cut at profile_max_tokens")
    if made["failed"]:
        lines.append(f"  {made['failed']:,} questions failed; the same command asks them again")
    return "\n".join(lines)


def _lines(counts: Mapping[str, Any]) -> list[str]:
    lines = [f"  {counts['asked']:,} pairs of user and domain to ask about"]
    if counts["masked"]:
        lines.append(f"  without a profile: {_by_reason(counts['masked'])}")
    if counts["untitled"]:
        lines.append(f"  {counts['untitled']:,} items without title were left out of prompts")
    if counts["cut_titles"]:
        lines.append(f"  {counts['cut_titles']:,} titles were cut")
    return lines


def _by_reason(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()))
