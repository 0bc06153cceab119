"""Vectors of titles that are in no catalogue."""

import string
from collections.abc import Sequence

import numpy as np

from recbole_edt import fields
from recbole_edt.artefacts.augmenter.choose import Encode
from recbole_edt.artefacts.augmenter.pool import unit_vectors
from recbole_edt.artefacts.embeddings.encoder import Encoder, locate
from recbole_edt.artefacts.embeddings.make import plan_encoding
from recbole_edt.artefacts.task import Task
from recbole_edt.errors import UserError


def title_encoder(task: Task, dim: int) -> Encode:
    """Return a function from free titles to unit vectors [n, dim], made as item vectors are.

    A title is put into the text template; the template's other fields stay empty.

    Raises
    ------
    UserError
        When the encoder cannot be loaded, or its vectors are not as long as the items'.
    """
    settings = task.settings
    location = locate(settings.encoder, settings.encoder_revision)
    encoder = Encoder(location, settings.encoder_max_length)
    if encoder.dim != dim:
        raise UserError(
            f"encoder: {settings.encoder} gives vectors of {encoder.dim} values, "
            f"the item vectors have {dim}; they were made by another model"
        )

    def encode(titles: Sequence[str]) -> np.ndarray:
        texts = [as_item_text(settings.text_template, title) for title in titles]
        plan = plan_encoding(texts, encoder, settings.encoder_batch_size)
        table = np.concatenate([encoder.encode(plan.batch(i)) for i in range(len(plan))])
        # Rounded as the stored vectors are.
        return unit_vectors(table.astype(np.float16)[plan.rows])

    return encode


def as_item_text(template: str, title: str) -> str:
    """Return what an item of this title and no other fields is encoded by."""
    parts = list(string.Formatter().parse(template))
    if all(field != fields.TITLE for _, field, _, _ in parts):
        return title
    return "".join(
        literal + (title if field == fields.TITLE else "") for literal, field, _, _ in parts
    ).strip()
