"""Unit vectors of items, and of titles that are in no catalogue."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_edt import fields
from recbole_edt.artefacts.catalogue import render, template_fields
from recbole_edt.artefacts.embeddings.encoder import TextEncoder
from recbole_edt.artefacts.embeddings.encoding import plan_encoding
from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.errors import UserError

TitleEncoder = Callable[[Sequence[str]], np.ndarray]
"""Turns n titles into unit vectors, float32 [n, m]."""


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Return vectors [N, m] scaled to length 1, float32; zeros stay zeros."""
    vectors = vectors.astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def vectors_of_new_items(
    settings: ArtefactSettings, entry: Mapping[str, Any], texts: Sequence[str]
) -> np.ndarray:
    """Return vectors of texts as a set's item vectors were made, float32 [n, m].

    Parameters
    ----------
    settings : ArtefactSettings
        Name the encoder.
    entry : mapping
        Of the item vectors in the set's manifest.
    texts : sequence of str
        The rendered template of each item, none of them empty.

    Raises
    ------
    UserError
        When the encoder cannot be loaded, is not the one that made the set, or is none.
    """
    if settings.made_elsewhere:
        raise UserError(
            f"encoder: the item vectors were made elsewhere ({settings.encoder}), and those of new "
            "items can not be made here; expected them as `vectors` of add_items, from Python"
        )
    encoder = TextEncoder.from_settings(settings)
    made_by = entry.get("weights_sha256")
    if encoder.dim != entry["dim"] or made_by not in (None, encoder.weights_sha256):
        raise UserError(
            f"encoder: the weights in {encoder.folder.path} are not those that made the item "
            "vectors; expected the same for new items"
        )
    return _encode(encoder, settings.encoder_batch_size, texts).astype(np.float32)


def _encode(encoder: TextEncoder, batch_size: int, texts: Sequence[str]) -> np.ndarray:
    """Return vectors of texts rounded as the stored ones are, float16 [n, m]."""
    plan = plan_encoding(texts, encoder, batch_size)
    table = np.concatenate([encoder.encode(plan.batch(i)) for i in range(len(plan))])
    return table.astype(np.float16)[plan.rows]


def title_encoder(settings: ArtefactSettings, dim: int) -> TitleEncoder:
    """Return a function from free titles to unit vectors [n, dim], made as item vectors are.

    A title is put into the text template; the template's other fields stay empty.

    Raises
    ------
    UserError
        When the encoder cannot be loaded, or its vectors are not as long as the items'.
    """
    encoder = TextEncoder.from_settings(settings)
    if encoder.dim != dim:
        raise UserError(
            f"encoder: {settings.encoder} gives vectors of {encoder.dim} values, "
            f"the item vectors have {dim}; they were made by another model"
        )

    used = template_fields(settings.text_template)

    def encode(titles: Sequence[str]) -> np.ndarray:
        texts = list(titles)
        if fields.TITLE in used:
            columns = dict.fromkeys(used, [""] * len(texts)) | {fields.TITLE: texts}
            texts = render(Path(), settings.text_template, columns)
        return unit_vectors(_encode(encoder, settings.encoder_batch_size, texts))

    return encode
