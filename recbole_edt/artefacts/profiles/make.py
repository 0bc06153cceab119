"""Domain-aware profiles: what a user likes inside each domain, in words and as a vector.

A prompt shows the titles of one user's training items in one domain and nothing else, so no
item can reach the profile of another user or domain. Users without enough items in a domain
have no profile there, and neither have those whose reply is not usable: nothing is made up.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import recbole_edt
from recbole_edt import fields as columns
from recbole_edt.artefacts import store
from recbole_edt.artefacts.embeddings.encoder import Encoder, locate
from recbole_edt.artefacts.embeddings.make import encode_items, plan_encoding
from recbole_edt.artefacts.profiles import profile_files
from recbole_edt.artefacts.profiles.profile_plan import (
    LLM,
    ProfilePlan,
    ProfileSettings,
    plan_profiles,
)
from recbole_edt.artefacts.quoted import MARK, hide_titles
from recbole_edt.artefacts.store import PROFILES
from recbole_edt.artefacts.task import Task, Training, alone, take_over
from recbole_edt.errors import UserError
from recbole_edt.llm.client import Generation, Reply
from recbole_edt.llm.estimate import estimate_generate
from recbole_edt.llm.parsing import parse_summary
from recbole_edt.llm.prompts import PROFILE
from recbole_edt.progress import progress_of

ONLY_TITLES = "only_titles"
"""Reason to drop a reply: without the titles that it quotes nothing is left."""

_FOR_GOOD = {"prompt_too_long"}
"""Failures that asking again would not mend."""


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
    asks = settings.profile_mode == LLM
    generation = Generation(settings.profile_max_tokens)
    if dry_run:
        lines = [f"{PROFILES}: would be made in {task.folder}", *_lines(_counts(plan))]
        if not asks:
            return "\n".join([*lines, "  no language model is asked; their titles are encoded"])
        client, rate = task.client(), task.llm_settings().llm_tokens_per_second
        estimate = estimate_generate(client, plan.prompts, generation, rate)
        return "\n".join([*lines, f"  {estimate}", "  and the encoding of the replies"])
    location = locate(task.settings.encoder, task.settings.encoder_revision)
    # An encoder that cannot be loaded is no news for after hours of questions.
    encoder = Encoder(location, task.settings.encoder_max_length)
    work = task.folder / ".work-profiles"
    with alone(task, work, "profiles"):
        if not asks:
            written = _Written([_joined(titles) for titles in plan.titles])
        else:
            replies = _ask(task, plan, generation)
            if task.shard.count > 1:
                asked = len(replies)
                return (
                    f"{PROFILES}: part {task.shard.index} of {task.shard.count}: {asked:,} of "
                    f"{len(plan.prompts):,} questions are answered; when all parts are, run the "
                    "command without a shard"
                )
            written = _read(task, plan, replies, settings)
        made = _finish(task, plan, written, settings, encoder, work)
    done = store.record_part(task.folder, task.name, task.identity, PROFILES, made)
    shutil.rmtree(work)
    return f"{PROFILES}: made\n{_describe(done)}"


def _joined(titles: Sequence[str]) -> str:
    """Return titles as one text, the latest first: an encoder cuts a long text at its end."""
    return "; ".join(reversed(titles))


def _ask(task: Task, plan: ProfilePlan, generation: Generation) -> list[Reply]:
    """Return the reply to each question of this process's share."""
    tokens = task.training().user_tokens
    own = [
        prompt
        for user, prompt in zip(plan.users, plan.prompts, strict=True)
        if task.shard.holds(tokens[user])
    ]
    with progress_of(len(own), PROFILES, "profile", task.config["show_progress"]) as bar:
        return task.client().generate(own, generation, bar.update)


@dataclass(frozen=True)
class _Written:
    """The text of each pair, ``""`` where there is none, and what a model has to do with it."""

    texts: list[str]
    masked: Counter[str] = field(default_factory=Counter)
    entry: Mapping[str, Any] = field(default_factory=dict)


def _read(
    task: Task, plan: ProfilePlan, replies: Sequence[Reply], settings: ProfileSettings
) -> _Written:
    """Read the replies of a language model."""
    texts, masked = [], Counter[str]()
    cut = hidden = 0
    for reply, titles in zip(replies, plan.own_titles, strict=True):
        if reply.failure is not None:
            masked[reply.failure] += 1
            texts.append("")
            continue
        summary = parse_summary(reply.text)
        masked += summary.rejects
        cut += summary.cut
        text = summary.text
        if settings.profile_hide_titles:
            text, count = hide_titles(text, titles, cut=summary.cut or reply.finish == "length")
            hidden += count
            if count and not any(map(str.isalnum, text.replace(MARK, ""))):
                masked[ONLY_TITLES] += 1
                text = ""
        texts.append(text)
    if not any(texts):
        raise UserError(
            f"llm: {task.settings.llm['llm']}: none of {len(replies)} replies is usable "
            f"({_by_reason(masked)})"
        )
    client = task.client()
    generation = Generation(settings.profile_max_tokens)
    spent = client.store.spent_on([client.generation_key(p, generation) for p in plan.prompts])
    failures = [reply.failure for reply in replies if reply.failure is not None]
    entry = {
        "failed": sum(failure not in _FOR_GOOD for failure in failures),
        "unfinished": sum(reply.finish == "length" for reply in replies),
        "cut_replies": cut,
        "hidden_titles": hidden,
        "llm": dict(client.client.source),
        "llm_identity": dict(client.identity),
        "prompt": {"name": PROFILE.name, "version": PROFILE.version, "hash": PROFILE.hash},
        "spent": {key: round(value, 6) for key, value in spent.as_dict().items()},
    }
    return _Written(texts, masked, entry)


def _finish(
    task: Task,
    plan: ProfilePlan,
    written: _Written,
    settings: ProfileSettings,
    encoder: Encoder,
    work: Path,
) -> dict[str, Any]:
    """Encode the texts and write everything; return the part's entry for the manifest."""
    training = task.training()
    encoding = plan_encoding(written.texts, encoder, task.settings.encoder_batch_size)
    show = task.config["show_progress"]
    encoded, seconds = encode_items(encoding, encoder, work, show, "profile vectors")
    shape = (len(training.user_tokens), len(training.domain_names))
    vectors = np.zeros((*shape, encoder.dim), dtype=np.float16)
    present = np.zeros(shape, dtype=bool)
    vectors[plan.users, plan.domains] = encoded
    present[plan.users, plan.domains] = encoding.rows >= 0
    return {
        "mode": settings.profile_mode,
        "users": shape[0],
        "domains": training.domain_names,
        "dim": encoder.dim,
        "profiles": int(present.sum()),
        **_counts(plan),
        "masked": dict(sorted((plan.masked + written.masked).items())),
        **written.entry,
        "encoder": task.settings.encoder,
        "encoder_revision": encoder.folder.revision,
        "weights_sha256": encoder.weights_sha256,
        "encoder_cut_texts": int((encoding.tokens > encoder.max_length).sum()),
        "encoder_seconds": round(seconds, 2),
        "made_with": {"recbole_edt": recbole_edt.__version__},
        "sha256": profile_files.save_profiles(
            task.folder,
            training.user_tokens,
            vectors,
            present,
            _rows(training, plan, written.texts),
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
    lines = [
        f"  set {found.hash} in {found.path}",
        f"  {made['profiles']:,} profiles of {made['users']:,} users "
        f"in {len(made['domains'])} domains ({', '.join(made['domains'])})",
        *_lines(made),
    ]
    if made["mode"] == LLM:
        lines += _cost_lines(made)
    else:
        lines.append("  made of the titles themselves, without a language model")
    if made["encoder_cut_texts"]:
        lines.append(f"  {made['encoder_cut_texts']:,} texts were cut at encoder_max_length")
    return "\n".join(lines)


def _cost_lines(made: Mapping[str, Any]) -> list[str]:
    spent, model = made["spent"], made["llm"]
    lines = [
        f"  {spent['calls']:,} calls of {model['llm']} {model.get('revision') or ''}".rstrip()
        + f", {spent['prompt_tokens']:,} tokens read, {spent['generated_tokens']:,} written, "
        f"{spent['seconds']:,.0f} s, cost {spent['cost']:,.2f}"
    ]
    if made["hidden_titles"]:
        lines.append(f"  {made['hidden_titles']:,} quoted titles were hidden")
    if made["unfinished"]:
        lines.append(f"  {made['unfinished']:,} replies were cut at profile_max_tokens")
    if made["failed"]:
        lines.append(f"  {made['failed']:,} questions failed; the same command asks them again")
    return lines


def _lines(counts: Mapping[str, Any]) -> list[str]:
    lines = [f"  {counts['asked']:,} pairs of user and domain"]
    if counts["masked"]:
        lines.append(f"  without a profile: {_by_reason(counts['masked'])}")
    if counts["untitled"]:
        lines.append(f"  {counts['untitled']:,} items without title were left out")
    if counts["cut_titles"]:
        lines.append(f"  {counts['cut_titles']:,} titles were cut")
    return lines


def _by_reason(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()))
