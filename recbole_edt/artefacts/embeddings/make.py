"""The part `embeddings` of a set: one vector per item of the catalogue."""

import shutil
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
import transformers

import recbole_edt
from recbole_edt.artefacts.catalogue import Catalogue
from recbole_edt.artefacts.embeddings.encoder import TextEncoder
from recbole_edt.artefacts.embeddings.encoding import (
    EncodingPlan,
    encode_texts,
    estimate_seconds,
    finished_batches,
    plan_encoding,
)
from recbole_edt.artefacts.embeddings.imported import find_imported
from recbole_edt.artefacts.store import EMBEDDINGS, ArtefactSet, Entry, save_item_vectors
from recbole_edt.artefacts.task import ArtefactTask, PartReport, reuse_part
from recbole_edt.errors import UserError
from recbole_edt.files import digest


def make_embeddings(task: ArtefactTask, dry_run: bool) -> PartReport:
    """Make the item vectors of a set, or resume, reuse or estimate them.

    Parameters
    ----------
    task : ArtefactTask
        The set.
    dry_run : bool
        Write nothing; report what there is to do and how long it takes here.

    Raises
    ------
    UserError
        When the encoder cannot be used, another process is making them, or a shard is asked for.
    """
    if task.settings.made_elsewhere:
        return find_imported(task, dry_run)
    reused = reuse_part(task, EMBEDDINGS, _describe, "the vectors", "encode", dry_run)
    if reused is not None:
        return reused
    if task.shard.count > 1 and not dry_run:
        raise UserError(
            "shard: item vectors are not made in parts; "
            f"make them first, with '--only {EMBEDDINGS}'"
        )
    settings = task.settings
    encoder = TextEncoder.from_settings(settings)
    plan = plan_encoding(task.catalogue.texts, encoder, settings.encoder_batch_size)
    work = task.folder / ".work"
    counts = _count(task.catalogue, settings.domain_field, plan, encoder)
    if dry_run:
        finished = finished_batches(plan, encoder, work)
        lines = [f"{EMBEDDINGS}: would be made in {task.folder}", *_lines(counts)]
        lines.append(
            f"  {finished:,} of {len(plan):,} batches are done, the others take "
            f"about {estimate_seconds(plan, encoder, finished):.0f} s on {encoder.device}"
        )
        return PartReport(EMBEDDINGS, "estimated", "\n".join(lines))
    vectors, seconds = encode_texts(plan, encoder, work, task.show_progress)
    entry = {
        "encoder": settings.encoder,
        "revision": encoder.folder.revision,
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
        "sha256": save_item_vectors(task.folder, task.catalogue.ids, vectors),
    }
    made = task.record(EMBEDDINGS, entry)
    shutil.rmtree(work)
    return PartReport(EMBEDDINGS, "made", f"{EMBEDDINGS}: made\n{_describe(made)}")


def _count(
    catalogue: Catalogue, domain_field: str, plan: EncodingPlan, encoder: TextEncoder
) -> Entry:
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


def _describe(artefacts: ArtefactSet) -> str:
    entry = artefacts.manifest[EMBEDDINGS]
    model = f"{entry['encoder']} {entry['revision'] or ''}".rstrip()
    lines = [f"  set {artefacts.hash} in {artefacts.path}", *_lines(entry)]
    lines.append(
        f"  {entry['dim']} values per item, by {model}, {entry['seconds']:.0f} s of encoding"
    )
    if entry["declared_pooling"] not in (None, entry["pooling"]):
        lines.append(
            f"  note: the model declares {entry['declared_pooling']} pooling, "
            f"{entry['pooling']} pooling was used"
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
