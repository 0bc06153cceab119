"""Unit vectors of items, and of titles that are in no catalogue."""

import string
from collections.abc import Callable, Sequence

import numpy as np

from recbole_edt import fields
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

    def encode(titles: Sequence[str]) -> np.ndarray:
        texts = [_as_item_text(settings.text_template, title) for title in titles]
        plan = plan_encoding(texts, encoder, settings.encoder_batch_size)
        table = np.concatenate([encoder.encode(plan.batch(i)) for i in range(len(plan))])
        # Rounded as the stored vectors are.
        return unit_vectors(table.astype(np.float16)[plan.rows])

    return encode


def _as_item_text(template: str, title: str) -> str:
    """Return the text of an item with this title and no other fields."""
    parts = list(string.Formatter().parse(template))
    if all(field != fields.TITLE for _, field, _, _ in parts):
        return title
    return "".join(
        literal + (title if field == fields.TITLE else "") for literal, field, _, _ in parts
    ).strip()
