"""The columnar store: what is derived from a dataset's atomic files, memory-mapped.

`open_interactions` is the only reader of ``NAME.inter``. It builds ``store/`` beside the file when
there is none of the present content.
"""

from recbole_edt.data.store.building import NumberedTokens, write_columns
from recbole_edt.data.store.interactions import Interactions
from recbole_edt.data.store.opening import NewFile, open_interactions
from recbole_edt.data.store.stamp import FileStamp
from recbole_edt.data.store.vocabulary import TokenIds, Tokens, Vocabulary

__all__ = [
    "FileStamp", "Interactions", "NewFile", "NumberedTokens", "TokenIds", "Tokens", "Vocabulary",
    "open_interactions", "write_columns",
]  # fmt: skip
