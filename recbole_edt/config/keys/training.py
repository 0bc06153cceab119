"""Keys of the training loop: of each phase, and of the whole."""

from typing import Annotated, Any, Literal

from annotated_types import Gt, Lt

from recbole_edt.config.keys.base import (
    Count,
    CountFromZero,
    KeyGroup,
    NotNegative,
    Positive,
    check_entries,
)
from recbole_edt.config.rules import Label, Text, checked_by, refuse
from recbole_edt.errors import nearest

_CLIPPING = ("max_norm", "norm_type", "error_if_nonfinite", "foreach")  # torch's
_DISTRIBUTIONS = ("uniform", "popularity", "none")
_SAMPLING = ("distribution", "sample_num", "alpha", "dynamic", "candidate_num")  # RecBole's


def _clipping(value: Any) -> None:
    check_entries(value, _CLIPPING, "{max_norm: ...}")
    if "max_norm" not in value:
        refuse(f"found {value!r}, expected 'max_norm' among its entries")
    if type(value["max_norm"]) not in (int, float) or not value["max_norm"] > 0:
        refuse(f"max_norm: found {value['max_norm']!r}, expected a number > 0")
    norm = value.get("norm_type", 2.0)
    if type(norm) not in (int, float) and norm != "inf":
        refuse(f"norm_type: found {norm!r}, expected a number or inf")


def _sampling(value: Any) -> None:
    check_entries(value, _SAMPLING, "{distribution: ...}")
    found = value.get("distribution")
    if found not in (None, *_DISTRIBUTIONS):
        hint = nearest(str(found), _DISTRIBUTIONS)
        refuse(f"distribution: found {found!r}, expected one of {list(_DISTRIBUTIONS)}{hint}")
    _check_count("sample_num", value.get("sample_num", 1), 1)
    _check_count("candidate_num", value.get("candidate_num", 0), int(bool(value.get("dynamic"))))


def _check_count(name: str, found: Any, least: int) -> None:
    if type(found) is not int or found < least:
        refuse(f"{name}: found {found!r}, expected a whole number of {least} or more")


Clipping = Annotated[Any, checked_by(_clipping), Label("a mapping such as {max_norm: 1.0}")]
PhaseNames = Annotated[Any, Label("a list of phases")]  # which ones depends on the model
Sampling = Annotated[Any, checked_by(_sampling), Label("a mapping such as {distribution: uniform}")]


class PhaseTrainingKeys(KeyGroup):
    """Training, of each phase."""

    per_phase = True

    learning_rate: Positive
    """Learning rate; with a warm-up, the one after it."""
    weight_decay: NotNegative
    """Weight decay; of adamw, decoupled and times the learning rate."""
    epochs: CountFromZero
    """Limit of each phase."""
    min_epochs: CountFromZero
    """No early stopping before this epoch of a phase."""
    stopping_step: CountFromZero
    """A phase ends after more validations than this without gain."""
    average_epochs: NotNegative
    """Validate and keep a running mean of the weights, with this time constant in epochs, in place
    of the weights after the last step; 0: no mean. Any model's."""
    clip_grad_norm: Clipping | None
    """Arguments of torch's `clip_grad_norm_`."""
    lr_scheduler: Literal["none", "plateau"]
    """none, or plateau: multiply the rate by lr_factor after more than lr_patience validations
    without gain."""
    lr_patience: CountFromZero
    """Patience of the plateau schedule, counted after the warm-up."""
    lr_factor: Annotated[float, Gt(0), Lt(1)]
    """Factor of the plateau schedule."""
    warmup_epochs: CountFromZero
    """Epochs over which the rate grows linearly from next to nothing."""


class TrainingKeys(KeyGroup):
    """Training."""

    train_batch_size: Count
    """Examples per step: windows of user histories, of stock models rows."""
    trim_batches: bool
    """Batch histories of like length and pad to the longest only. Several times as fast; for
    sequential models whose scores do not depend on padding, such as SASRec and GRU4Rec. Models of
    this package that train on windows always do."""
    learner: Literal["adam", "adamw", "sgd", "adagrad", "rmsprop", "sparse_adam"]
    """Optimiser, by RecBole's name."""
    eval_step: Count
    """Epochs from one validation to the next."""
    train_neg_sample_args: Sampling | None
    """How RecBole draws negatives; models of this package draw their own (num_negatives)."""
    shuffle: bool
    """Shuffle training rows before each epoch."""
    precision: Literal["float32", "bf16"]
    """bf16: matrix products of training and of encoding histories in bfloat16 (torch's autocast),
    on GPUs that have it and on CPUs. Weights, the optimizer's state, item vectors when ranking,
    scores, log-sum-exp of losses and metrics are float32; stock models rank in float32."""
    enable_amp: bool
    """RecBole's mixed precision of stock models, in float16 on a GPU; `precision: bf16` needs no
    scaling."""
    enable_scaler: bool
    """Scale gradients in RecBole's mixed precision."""
    loss_decimal_place: int
    """Decimals of the loss in the log."""


class PhasesKeys(KeyGroup):
    """Phases, of models that train in several."""

    recipe: Text
    """full: what this project found best; paper: LLM-EDT as its authors draw it; release: paper
    with what their code does differently. Any file of properties/recipe/."""
    phases: PhaseNames
    """Which phases are trained, from the first on; `[shared]` stops after the shared one."""
    shared_run: Text | None
    """Folder of a finished run (LLMEDT, or SASRecLLM, which is a shared phase) whose first phase is
    reused instead of trained: same seed, split and settings of that phase."""
