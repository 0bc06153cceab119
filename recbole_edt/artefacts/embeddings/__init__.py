"""Item vectors: texts of the catalogue, encoded by a text encoder."""

from recbole_edt.artefacts.embeddings.encoder import TextEncoder
from recbole_edt.artefacts.embeddings.encoding import encode_texts, plan_encoding
from recbole_edt.artefacts.embeddings.imported import VectorSource, import_vectors
from recbole_edt.artefacts.embeddings.make import make_embeddings
from recbole_edt.artefacts.embeddings.title_vectors import (
    TitleEncoder,
    title_encoder,
    unit_vectors,
    vectors_of_new_items,
)

__all__ = [
    "TextEncoder", "TitleEncoder", "VectorSource", "encode_texts", "import_vectors",
    "make_embeddings", "plan_encoding", "title_encoder", "unit_vectors", "vectors_of_new_items",
]  # fmt: skip
