"""Training epochs in several processes: each takes its share of every batch.

All processes read the same batches in the same order. Each computes the loss of its share; the
gradients are added up before the optimizer's step, so that all make the same step.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, cast

import torch
from torch import Tensor

from recbole_edt import distributed
from recbole_edt.errors import UserError
from recbole_edt.model import batch_share
from recbole_edt.model.precision import full_precision
from recbole_edt.model.protocols import capabilities_of, trains_on_windows
from recbole_edt.recbole_bridge.model_state import has_other_state

_log = logging.getLogger(__name__)
_TOLERANCE = 2e-5  # relative; the order of a float32 sum changes less
_TESTED = 10  # batches of a phase
_SEEDS_PER_EPOCH = 1 << 20  # more than there are processes
_MODULUS = 1 << 40


class _Way(Enum):
    """How the loss of a batch is computed by several processes."""

    PARTS = "losses of shares add up to the loss of the batch"
    MEAN = "the loss of the batch is the mean over rows"
    WHOLE = "every process computes the whole batch"


class PhaseInShares:
    """One phase trained by several processes.

    Parameters
    ----------
    model : RecBole model
        With ``shares_batches`` its losses of shares add up. The loss of any other model that is
        trained on RecBole's rows is taken as a mean over rows. Whether it is true is tested on
        the first batches, without dropout; where it is not, every process computes whole batches,
        which is correct and not faster.
    seed : int
        Seeds dropout, differently in each process and epoch.
    """

    def __init__(self, model: Any, seed: int):
        self._model, self._seed = model, seed
        self._calculate = model.calculate_loss
        self._way: _Way | None = None
        # of rows that happen to have as many masks each, any mean over masks is one over rows
        self._untested = 1 if capabilities_of(model).shares_batches else _TESTED
        self._epoch, self._begun, self._batch = 0, False, 0

    @contextmanager
    def of_epoch(self, epoch: int) -> Iterator[None]:
        """Train an epoch (from 1) within this block."""
        self._epoch, self._begun, self._batch = epoch, False, 0
        self._model.calculate_loss = self._loss
        try:
            yield
        finally:
            del self._model.calculate_loss

    def _loss(self, batch: Any, *args: Any, **keys: Any) -> Tensor:
        """Return this process's part of a batch's loss, with the value of the whole loss."""
        self._batch += 1
        count = len(batch)
        if self._untested and count >= distributed.size():
            self._way = self._choose_way(batch, args, keys)
        if not self._begun and self._way in (_Way.PARTS, _Way.MEAN):
            batch_share.split_generators(self._model.device)
            share = distributed.rank() + _SEEDS_PER_EPOCH * self._epoch
            torch.manual_seed(self._seed + share)
            self._begun = True
        way = self._way if count >= distributed.size() else _Way.WHOLE
        loss = self._part(way or _Way.WHOLE, batch, args, keys)
        if not loss.requires_grad:  # no label in this share
            sparse = {id(p) for p in capabilities_of(self._model).sparse_parameters()}
            dense = [p for p in self._parameters() if id(p) not in sparse]
            loss = loss + 0.0 * sum(p.sum() for p in dense[:1])
        loss = loss + (self._whole_value(loss, batch) - loss.detach())
        if loss.requires_grad:
            loss.register_hook(self._add_up_after_backward)
        return loss

    def _part(self, way: _Way, batch: Any, args: Any, keys: Any) -> Tensor:
        if way is _Way.WHOLE:
            return _summed(self._calculate(batch, *args, **keys)) / distributed.size()
        rows = distributed.share_of(len(batch))
        with batch_share.sharing():
            loss = _summed(self._calculate(batch[rows], *args, **keys))
        return loss * ((rows.stop - rows.start) / len(batch)) if way is _Way.MEAN else loss

    def _choose_way(self, batch: Any, args: Any, keys: Any) -> _Way:
        model = self._model
        self._untested -= 1
        if capabilities_of(model).shares_batches:
            way = _Way.PARTS
        elif trains_on_windows(type(model)) or has_other_state(model):
            way = _Way.WHOLE
        else:
            way = _Way.MEAN
        if way is not _Way.WHOLE and not self._adds_up(way, batch, args, keys):
            way = _Way.WHOLE
        if way is _Way.WHOLE:
            self._untested = 0
            batch_share.join_generators()
            _log.info(
                f"torchrun: the loss of {type(model).__name__} depends on whole batches: every "
                "process computes them, which is no faster than one"
            )
        return way

    @torch.no_grad()
    def _adds_up(self, way: _Way, batch: Any, args: Any, keys: Any) -> bool:
        """Return whether the losses of shares give the loss of a batch, without dropout."""
        batch_share.split_generators(self._model.device)
        before, of_torch = batch_share.rng_states(), torch.get_rng_state()
        self._model.eval()
        losses = []
        for some in (_Way.WHOLE, way):
            batch_share.set_rng_states(before)
            torch.set_rng_state(of_torch)
            with full_precision(self._model.device):  # rounding to bfloat16 is beyond the tolerance
                loss = self._part(some, batch, args, keys)
            losses.append(float(distributed.add_up(loss.double())))
        batch_share.set_rng_states(before)
        torch.set_rng_state(of_torch)
        self._model.train()
        whole, parts = losses
        return distributed.from_main(lambda: abs(parts - whole) <= _TOLERANCE * abs(whole))

    def _whole_value(self, loss: Tensor, batch: Any) -> Tensor:
        """Return the loss of the whole batch; refuse processes that have read different ones."""
        own = _fingerprint(batch)
        both = distributed.add_up(torch.stack([loss.detach().double(), own]))
        if both[1] != own * distributed.size():
            raise UserError(
                f"torchrun: processes disagree on batch {self._batch} of epoch {self._epoch}: "
                "their interactions or artefacts differ; expected the same files on all machines"
            )
        return both[0].to(loss.dtype)

    def _add_up_after_backward(self, gradient: Tensor) -> None:
        engine = torch.autograd.Variable._execution_engine
        engine.queue_callback(lambda: distributed.add_up_gradients(self._parameters()))

    def _parameters(self) -> list[Tensor]:
        return [p for p in self._model.parameters() if p.requires_grad]


def _summed(loss: Any) -> Tensor:
    """Return a loss as one number; some of RecBole's models return their terms."""
    total: Any = sum(loss) if isinstance(loss, tuple) else loss
    return cast(Tensor, total)


def _fingerprint(batch: Any) -> Tensor:
    """Return a number that hardly any other batch has, float64 [], exact when added up."""
    found = torch.zeros((), dtype=torch.int64)
    for name in batch.columns:
        values = batch[name]
        if not values.is_floating_point():
            flat = values.reshape(-1).long()
            weights = torch.arange(1, len(flat) + 1, device=flat.device)
            found = found.to(flat.device) + (flat * weights).sum() % _MODULUS
    return (found % _MODULUS).double()
