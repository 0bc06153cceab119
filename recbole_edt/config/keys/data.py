"""Keys of files, of the run and of what is read from a dataset."""

from typing import Annotated, Any

from pydantic import PlainValidator

from recbole_edt import fields
from recbole_edt.config.keys.base import Count, CountFromZero, KeyGroup, Name
from recbole_edt.config.rules import Label, Text, checked_by, refuse


def _gpu_ids(value: Any) -> None:
    numbers = str(value).replace(" ", "").split(",")
    good = type(value) in (int, str) and all(one.isascii() and one.isdigit() for one in numbers)
    if not good and value not in ("", None):
        refuse(f"found {value!r}, expected numbers such as 0 or 0,1; empty text for no GPU")


_PREPARE = "'recbole-edt prepare atomic --sources=DIR/NAME --dataset=NEW' reads such files"


def _only(expected: str) -> PlainValidator:
    """Return the check of a key of RecBole that has one value here."""

    def check(value: Any) -> None:
        if value != expected and value != repr(expected)[1:-1]:  # '\\t' is a tab for RecBole
            refuse(f"found {value!r}, expected {expected!r}; {_PREPARE}")

    return checked_by(check)


_UserField = Annotated[Any, _only(fields.USER), Label("text")]
_ItemField = Annotated[Any, _only(fields.ITEM), Label("text")]
_TimeField = Annotated[Any, _only(fields.TIME), Label("text")]
_Separator = Annotated[Any, _only("\t"), Label("text")]


def _utf8(value: Any) -> None:
    if value is not None and str(value).lower() not in ("utf-8", "utf8", "utf-8-sig"):
        refuse(f"found {value!r}, expected utf-8; convert the files, for example with iconv")


_Encoding = Annotated[Any, checked_by(_utf8), Label("text")]

GpuIds = Annotated[Any, checked_by(_gpu_ids), Label("a number or text")]


class RunKeys(KeyGroup):
    """Where things are, and the run."""

    data_path: Text
    """Folder that holds one folder per dataset."""
    output_dir: Text
    """A run is written to `<output_dir>/<dataset>/<model>/<run id>/`."""
    seed: CountFromZero
    """Seeds weights, order, dropout and negatives."""
    reproducibility: bool
    """Let torch use deterministic algorithms only."""
    use_gpu: bool
    """RecBole's switch; without a GPU the CPU is used anyway."""
    gpu_id: GpuIds
    """GPUs that the process sees, such as 0; others have to be there; empty text for none."""
    show_progress: bool
    """Progress bars on a terminal; elsewhere artefacts report every minute how far they are."""
    log_tensorboard: bool
    """Write TensorBoard events into the run's folder."""
    log_wandb: bool
    """Log to Weights & Biases (needs the package wandb)."""
    wandb_project: Text
    """Project at Weights & Biases."""


class DataKeys(KeyGroup):
    """What is read."""

    USER_ID_FIELD: _UserField
    """Column of users. Files with other names are read by `prepare atomic`."""
    ITEM_ID_FIELD: _ItemField
    """Column of items, as above."""
    TIME_FIELD: _TimeField
    """Column of times, as above."""
    field_separator: _Separator
    """What separates columns: a tab. Files with another separator are read by `prepare atomic`."""
    encoding: _Encoding
    """Encoding of the files: UTF-8; a byte order mark at their start is passed over."""
    DOMAIN_FIELD: Name
    """Column of `NAME.item` with an item's domain."""
    load_col: dict | None
    """Columns that are loaded, by file, beside those that every model reads (`user_id`, `item_id`,
    `timestamp`; `item_id` and `DOMAIN_FIELD`); titles stay outside RecBole."""
    MAX_ITEM_LIST_LENGTH: Count
    """Longest history T that is read."""


class ColumnKeys(KeyGroup):
    """Columns beside user, item, time and domain, as RecBole's models read them."""

    unload_col: dict | None
    """Columns that are not loaded, by file; in place of load_col."""
    seq_len: dict | None
    """Longest sequence that is kept, by column of type token_seq or float_seq."""
    numerical_features: list
    """Columns of type float or float_seq that feature models read as numbers."""
    normalize_field: list | None
    """Columns of type float or float_seq that are scaled to 0 to 1."""
    normalize_all: bool | None
    """Scale all of them."""
    discretization: dict | None
    """Columns of numerical_features that are cut into buckets, such as
    `{price: {method: ED, bucket: 10}}`."""
    alias_of_user_id: list | None
    """Columns that hold users."""
    alias_of_item_id: list | None
    """Columns that hold items."""
