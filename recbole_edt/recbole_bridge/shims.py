"""Everything that makes RecBole 1.2.1 run on today's libraries, each with its reason.

Call `prepare_recbole` before the first import from ``recbole``. ray is never needed: only
``recbole.quick_start`` imports it, and this package does not.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch

from recbole_edt.library_warnings import silence_recbole
from recbole_edt.requirements import check_requirements


class _NoWriter:
    """A TensorBoard writer that writes nothing."""

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
        When RecBole, pandas or torch is missing or of a version that does not work.
    """
    check_requirements()
    silence_recbole()

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
    # directory. Our trainers open one inside the run's folder instead.
    _import_evaluator()
    import recbole.trainer.trainer as stock

    stock.get_tensorboard = lambda logger: _NoWriter()

    # torch asks for an explicit choice at the first sparse tensor; checks stay as they are.
    if not torch.sparse.check_sparse_tensor_invariants.is_enabled():
        torch.sparse.check_sparse_tensor_invariants.disable()


@contextmanager
def anomaly_detection_kept() -> Iterator[None]:
    """Keep torch's anomaly detection as it is while modules of RecBole's models are imported.

    Any of its sequential models brings SINE with it, whose module turns detection on for the
    whole process: every model then trains at about half its speed.
    """
    wanted = torch.is_anomaly_enabled()
    try:
        yield
    finally:
        if torch.is_anomaly_enabled() != wanted:
            torch.autograd.set_detect_anomaly(wanted)


_SCIKIT_LEARN_METRICS = ("auc", "mean_absolute_error", "mean_squared_error")


def _import_evaluator() -> None:
    """Import RecBole's evaluator without scikit-learn, which takes as long as torch's half.

    Three of RecBole's metrics call a function of scikit-learn. Their names are bound to functions
    that import it when they are called. The stand-in modules are there only while RecBole's
    evaluator itself is imported: all that it imports besides has been imported before.
    """
    if "sklearn.metrics" in sys.modules or "recbole.evaluator" in sys.modules:
        return
    importlib.import_module("recbole.utils")
    package, metrics = ModuleType("sklearn"), ModuleType("sklearn.metrics")
    for name in _SCIKIT_LEARN_METRICS:
        setattr(metrics, name, _imported_when_called(name))
    stand_ins = {"sklearn": package, "sklearn.metrics": metrics}
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        importlib.import_module("recbole.evaluator")
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _imported_when_called(name: str) -> Any:
    def call(*args: Any, **keys: Any) -> Any:
        return getattr(importlib.import_module("sklearn.metrics"), name)(*args, **keys)

    return call
