"""Everything that makes RecBole 1.2.1 run on today's libraries, each with its reason.

Call `prepare_recbole` before the first import from ``recbole``. ray is never needed: only
``recbole.quick_start`` imports it, and this package does not.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch

from recbole_edt.errors import UserError


class _NoWriter:
    """Stands in for a TensorBoard writer that was not asked for."""

    def add_scalar(self, *_: Any) -> None:
        """Do nothing."""

    def add_hparams(self, *_: Any) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def prepare_recbole() -> None:
    """Apply all shims; calling it again changes nothing.

    Raises
    ------
    UserError
        Under pandas 3, where RecBole silently corrupts data.
    """
    if int(pd.__version__.split(".")[0]) >= 3:
        # RecBole fills missing values with fillna(inplace=True) on a column, which pandas 3
        # turns into a no-op: padding rows become -9223372036854775808.
        raise UserError(f"pandas {pd.__version__} found, expected pandas<3: RecBole corrupts data")

    # numpy 2 removed these names; RecBole's Config() still assigns them back onto numpy.
    for name, target in (
        ("float_", np.float64),
        ("complex_", np.complex128),
        ("unicode_", np.str_),
    ):
        if not hasattr(np, name):
            setattr(np, name, target)

    # scipy dropped dok_matrix._update, which LightGCN, NGCF and other graph models call.
    from scipy.sparse import dok_matrix

    if not hasattr(dok_matrix, "_update"):
        dok_matrix._update = lambda self, data: self._dict.update(data)

    # Every RecBole trainer opens a TensorBoard writer under ./log_tensorboard of the working
    # directory. Our trainers open one inside the run's own folder instead.
    import recbole.trainer.trainer as stock

    stock.get_tensorboard = lambda logger: _NoWriter()

    # Importing RecBole's models imports SINE, which turns torch's anomaly detection on for the
    # whole process: every model then trains at about half its speed.
    wanted = torch.is_anomaly_enabled()
    import recbole.model.sequential_recommender  # noqa: F401

    torch.autograd.set_detect_anomaly(wanted)

    # Its trainer builds a GradScaler by a name that torch announces to remove, once per epoch.
    warnings.filterwarnings(
        "ignore", message=r"`torch\.cuda\.amp\.GradScaler", category=FutureWarning
    )
