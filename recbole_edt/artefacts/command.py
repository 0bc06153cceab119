"""What ``recbole-edt artefacts`` does: make, resume or estimate the artefacts of a dataset."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

import recbole_edt
from recbole_edt.artefacts import store
from recbole_edt.artefacts.catalogue import Catalogue, read_catalogue
from recbole_edt.artefacts.embeddings.encoder import Encoder, locate
from recbole_edt.artefacts.embeddings.make import (
    Plan,
    encode_items,
    estimate_seconds,
    finished_batches,
    plan_encoding,
)
from recbole_edt.artefacts.profiles.make import make_profiles
from recbole_edt.artefacts.store import AUGMENT, EMBEDDINGS, PROFILES, ArtefactSettings
from recbole_edt.artefacts.task import Task, take_over
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError, nearest
from recbole_edt.files import digest
from recbole_edt.llm.sharding import Shard

PROBED_USERS = 200
"""Users that a probe draws unless it is told another number."""


def run_artefacts(
    config: Mapping[str, Any],
    dataset_dir: Path,
    name: str,
    split: Split,
    only: Sequence[str],
    dry_run: bool,
    probe: int | None = None,
    shard: Shard | None = None,
) -> str:
    """Make the wanted parts of the set that the configuration asks for.

    What is complete is left alone, what was interrupted goes on, and a part that another set
    has already, made from the same things, is shared with it.

    Parameters
    ----------
    config : mapping
        The configuration; the keys of `ArtefactSettings`, those of the parts and of the
        language model, and ``show_progress`` are read.
    dataset_dir : pathlib.Path
        The folder that holds ``NAME.inter`` and ``NAME.item``.
    name : str
        The dataset's name.
    split : Split
        The split that the set is for.
    only : sequence of str
        The parts to make; all when empty.
    dry_run : bool
        Write nothing and report what there is to do and how long it would take here.
    probe : int, optional
        Make nothing; measure the augmenter on hidden interactions of so many users.
    shard : Shard, optional
        The share of the questions to a language model that this process asks; all by default.

    Returns
    -------
    str
        A report to print.

    Raises
    ------
    UserError
        Bad input, a model that cannot be used, a damaged set, or a disk that is full.
    """
    for part in only:
        if part not in _PARTS:
            raise UserError(
                f"only: {part!r} is unknown; expected {', '.join(_PARTS)}{nearest(part, _PARTS)}"
            )
    settings = ArtefactSettings.from_config(config)
    catalogue = read_catalogue(dataset_dir, name, settings.text_template)
    identity = settings.identity(catalogue, split)
    folder = store.set_folder(dataset_dir, identity)
    shard = shard or Shard()
    task = Task(config, dataset_dir, name, settings, catalogue, split, identity, folder, shard)
    try:
        if probe is not None:
            from recbole_edt.artefacts.probe.make import run_probe

            return run_probe(task, probe)
        wanted = [part for part in _PARTS if not only or part in only]
        return "\n".join(_PARTS[part](task, dry_run) for part in wanted)
    except OSError as error:
        where = error.filename or folder
        raise UserError(
            f"{where}: cannot be read or written ({error.strerror or error}); "
            "what was done so far is kept"
        ) from error


def parse_shard(text: str) -> Shard:
    """Read ``I/N``: part I, counted from 0, of N.

    Raises
    ------
    UserError
        When it is not of that form, or I is not below N.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise UserError(f"shard: {text!r}, expected I/N, such as 0/4 for the first of four parts")
    return Shard(int(index), int(count))


def _make_augmented(task: Task, dry_run: bool) -> str:
    from recbole_edt.artefacts.augmenter.augment import make_augmented

    if dry_run and not task.has_item_vectors():
        return (
            f"{AUGMENT}: cannot be counted before the item vectors are there; "
            f"make them with '--only {EMBEDDINGS}' and repeat the dry run"
        )
    return make_augmented(task, dry_run)


def _make_embeddings(task: Task, dry_run: bool) -> str:
    lender = store.find_lender(task.dataset_dir, task.name, task.identity, EMBEDDINGS)
    if lender is not None:
        return take_over(task, lender, EMBEDDINGS, _describe, "the vectors", "encode", dry_run)
    if task.shard.count > 1 and not dry_run:
        raise UserError(
            "shard: item vectors are not made in parts; "
            f"make them first, with '--only {EMBEDDINGS}'"
        )
    settings = task.settings
    location = locate(settings.encoder, settings.encoder_revision)
    encoder = Encoder(location, settings.encoder_max_length)
    plan = plan_encoding(task.catalogue.texts, encoder, settings.encoder_batch_size)
    work = task.folder / ".work"
    counts = _count(task.catalogue, task.config["DOMAIN_FIELD"], plan, encoder)
    if dry_run:
        finished = finished_batches(plan, encoder, work)
        lines = [f"{EMBEDDINGS}: would be made in {task.folder}", *_lines(counts)]
        lines.append(
            f"  {finished:,} of {len(plan):,} batches are done, the others take "
            f"about {estimate_seconds(plan, encoder, finished):.0f} s on {encoder.device}"
        )
        return "\n".join(lines)
    vectors, seconds = encode_items(plan, encoder, work, task.config["show_progress"])
    made = {
        "encoder": settings.encoder,
        "revision": location.revision,
        "weights_sha256": encoder.weights_sha256,
        "pooling": "mean",
        "declared_pooling": encoder.declared_pooling(),
        "max_length": settings.encoder_max_length,
        "batch_size": settings.encoder_batch_size,
        "template": settings.text_template,
        "template_hash": digest(settings.text_template),
        "dim": encoder.dim,
        **counts,
        "seconds": round(seconds, 2),
        "device": encoder.device.type,
        "made_with": {
            "recbole_edt": recbole_edt.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "sha256": store.save_item_vectors(task.folder, task.catalogue.ids, vectors),
    }
    done = store.record_part(task.folder, task.name, task.identity, EMBEDDINGS, made)
    shutil.rmtree(work)
    return f"{EMBEDDINGS}: made\n{_describe(done)}"


def _count(catalogue: Catalogue, domain_field: str, plan: Plan, encoder: Encoder) -> dict[str, Any]:
    has_text = plan.rows >= 0
    cut = plan.tokens > encoder.max_length
    domains = zip(catalogue.column(domain_field), catalogue.texts, strict=True)
    without = [domain for domain, text in domains if not text]
    return {
        "items": len(plan.rows),
        "without_text": int((~has_text).sum()),
        "without_text_by_domain": dict(sorted(Counter(without).items())),
        "truncated": int(cut[plan.rows[has_text]].sum()),
        "texts": len(plan.texts),
        "tokens": int(plan.tokens.clip(max=encoder.max_length).sum()),
    }


def _describe(found: store.ArtefactSet) -> str:
    made = found.manifest[EMBEDDINGS]
    lines = [f"  set {found.hash} in {found.path}", *_lines(made)]
    lines.append(
        f"  {made['dim']} values per item, by {made['encoder']} {made['revision'] or ''}".rstrip()
        + f", {made['seconds']:.0f} s of encoding"
    )
    if made["declared_pooling"] not in (None, made["pooling"]):
        lines.append(
            f"  note: the model declares {made['declared_pooling']} pooling, "
            f"{made['pooling']} pooling was used"
        )
    return "\n".join(lines)


def _lines(counts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"  {counts['items']:,} items, {counts['texts']:,} distinct texts, "
        f"{counts['tokens']:,} tokens"
    ]
    if counts["without_text"]:
        by_domain = counts["without_text_by_domain"].items()
        detail = ", ".join(f"{domain} {count:,}" for domain, count in by_domain)
        lines.append(
            f"  {counts['without_text']:,} items without text get a zero vector"
            + (f" ({detail})" if detail else "")
        )
    if counts["truncated"]:
        lines.append(f"  {counts['truncated']:,} items with a text cut at the maximum length")
    return lines


_PARTS = {EMBEDDINGS: _make_embeddings, AUGMENT: _make_augmented, PROFILES: make_profiles}
"""What can be made, in the order in which it is."""
