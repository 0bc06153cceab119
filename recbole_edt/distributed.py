"""The processes that torchrun has started together: waiting, agreeing, adding up, ending together.

Without torchrun there is one process, and every function does what one process needs, which is
nothing. This is the only module that calls ``torch.distributed``.
"""

import json
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from recbole_edt.errors import UserError, one_line

if TYPE_CHECKING:
    from torch import Tensor

_Value = TypeVar("_Value")
_TIMEOUT = timedelta(minutes=30)  # of a collective whose other processes live and do not come
_POLL = timedelta(seconds=1)
_UNTIL_RANK_0_HAS_SPOKEN = 20.0  # seconds
_BUCKET = 1 << 24  # numbers reduced at a time: 64 MiB in float32
_NONE, _DENSE, _SPARSE = range(3)


class ProcessEndedError(Exception):
    """Another process of the run has ended, or torchrun ends all of them."""


@dataclass
class _Group:
    rank: int = 0
    size: int = 1
    store: Any = None  # torchrun's key-value store, which outlives the processes
    waits: int = 0


_group = _Group()


def launched_size() -> int:
    """Return how many processes torchrun has started, 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return _group.rank


def size() -> int:
    """Return how many processes train and evaluate together."""
    return _group.size


def is_main() -> bool:
    """Return whether this is the process that writes files and prints: rank 0, or the only one."""
    return _group.rank == 0


def start() -> None:
    """Join the other processes, if torchrun has started any; calling it again does nothing.

    gloo moves tensors on the CPU, NCCL those on a GPU. Each process of a machine has the GPU
    whose number is its local rank.

    Raises
    ------
    UserError
        When there are more processes than GPUs.
    """
    if _group.size > 1 or launched_size() == 1:
        return
    import torch
    from torch import distributed

    _choose_gpu(torch.cuda.device_count())
    signal.signal(signal.SIGTERM, _end)  # torchrun's, when another process has died
    with _ending_together():
        store, rank, size = next(distributed.rendezvous("env://", timeout=_TIMEOUT))
        store.set_timeout(_TIMEOUT)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(
            backend,
            store=distributed.PrefixStore("collectives", store),
            rank=rank,
            world_size=size,
            timeout=_TIMEOUT,
        )
    _group.rank, _group.size, _group.store = rank, size, distributed.PrefixStore("edt", store)
    if rank:
        warnings.simplefilter("ignore")  # rank 0 has shown them


def stop() -> None:
    """Leave the other processes; everything that they had to do together is done."""
    if _group.size > 1:
        from torch import distributed

        distributed.destroy_process_group()
        _group.rank, _group.size, _group.store, _group.waits = 0, 1, None, 0


def _choose_gpu(count: int) -> None:
    if not count:
        return
    import torch

    local_rank = int(os.environ["LOCAL_RANK"])
    if local_rank >= count:
        raise UserError(
            f"torchrun: {os.environ['LOCAL_WORLD_SIZE']} processes on this machine, which has "
            f"{count} GPUs; expected --nproc-per-node={count} at most, or CUDA_VISIBLE_DEVICES= "
            "to train on the CPU"
        )
    torch.cuda.set_device(local_rank)


def _end(*_: Any) -> None:
    raise ProcessEndedError


def reports_error() -> bool:
    """Return whether this process is to print why it ends: only the first one that asks is.

    Before the processes have met it is rank 0, which torchrun would end as soon as another one has
    ended. So the others wait for that; one that torchrun lets live has an error of its own.
    """
    if _group.store is None:
        if launched_size() > 1 and os.environ["RANK"] != "0":
            time.sleep(_UNTIL_RANK_0_HAS_SPOKEN)
        return True
    try:
        return bool(_group.store.add("errors", 1) == 1)
    except RuntimeError:  # the store has ended too
        return _group.rank == 0


@contextmanager
def _ending_together() -> Iterator[None]:
    """Turn the broken connection to a process that has ended into `ProcessEndedError`."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessEndedError(one_line(error, 200)) from error


# ------------------------------------------------------------------------ rank 0 and the others


@contextmanager
def main_first() -> Iterator[None]:
    """Run a block in rank 0, then in all others: what it writes they read."""
    if _group.size == 1:
        yield
        return
    _group.waits += 1
    key = f"first/{_group.waits}"
    if not is_main():
        _wait_for(key)
    yield
    if is_main():
        with _ending_together():
            _group.store.set(key, "done")


def _wait_for(key: str) -> None:
    """Wait without limit, because rank 0 may prepare data for hours; a signal ends it."""
    while True:
        with _ending_together():
            if _group.store.check([key]):
                return
        try:
            _group.store.wait([key], _POLL)
        except RuntimeError:  # not yet
            continue


def from_main(make: Callable[[], _Value]) -> _Value:
    """Return in every process what rank 0 makes: any value that JSON can hold."""
    if _group.size == 1:
        return make()
    data = json.dumps(make()).encode() if is_main() else None
    value: _Value = json.loads(bytes_from_main(data))
    return value


def bytes_from_main(data: bytes | None) -> bytes:
    """Return in every process the bytes that rank 0 has."""
    if _group.size == 1:
        return data or b""
    import torch
    from torch import distributed

    length = torch.tensor([len(data or b"")])
    with _ending_together():
        distributed.broadcast(length, src=0)
        content = torch.empty(int(length), dtype=torch.uint8)
        if is_main() and data:
            content.copy_(_tensor_of(data))
        if len(content):
            distributed.broadcast(content, src=0)
    return content.numpy().tobytes()


def copy_from_main(tensors: Mapping[str, "Tensor"]) -> None:
    """Overwrite tensors with those of rank 0, which have the same names and shapes."""
    if _group.size == 1:
        return
    import torch
    from torch import distributed

    with _ending_together(), torch.no_grad():
        for tensor in tensors.values():
            whole = tensor.detach().contiguous()
            distributed.broadcast(whole, src=0)
            if whole.data_ptr() != tensor.data_ptr():
                tensor.detach().copy_(whole)


def agree(what: str, values: Mapping[str, Any]) -> None:
    """Refuse to go on when processes have different values.

    Parameters
    ----------
    what : str
        What the values are, for the message.
    values : mapping
        By key.

    Raises
    ------
    UserError
        In every process: names the first key that differs, two ranks, and their values.
    """
    if _group.size == 1:
        return
    own = json.dumps(dict(values), sort_keys=True, default=str)
    texts = [part.numpy().tobytes().decode() for part in gather(_tensor_of(own.encode()))]
    if len({*texts}) == 1:
        return
    other = next(n for n, text in enumerate(texts) if text != texts[0])
    first, second = json.loads(texts[0]), json.loads(texts[other])
    for key in sorted(first.keys() | second.keys()):
        here, there = first.get(key), second.get(key)
        if here != there:
            raise UserError(
                f"torchrun: processes disagree on the {what}: {key} is {here!r} in rank 0 and "
                f"{there!r} in rank {other}"
            )


def _tensor_of(data: bytes) -> "Tensor":
    import torch

    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


# ------------------------------------------------------------------------------------- tensors


def share_of(count: int) -> slice:
    """Return the rows of `count` that belong to this process, as even as can be.

    Examples
    --------
    One process has all of them:

    >>> share_of(5)
    slice(0, 5, None)
    """
    return slice(count * _group.rank // _group.size, count * (_group.rank + 1) // _group.size)


def add_up(tensor: "Tensor") -> "Tensor":
    """Replace a tensor, in place, by its sum over the processes, and return it."""
    if _group.size > 1:
        from torch import distributed

        with _ending_together():
            distributed.all_reduce(tensor)
    return tensor


def gather(tensor: "Tensor") -> list["Tensor"]:
    """Return every process's tensor in the order of ranks; the first sizes may differ."""
    if _group.size == 1:
        return [tensor]
    import torch
    from torch import distributed

    counts = gather_counts(len(tensor))
    longest = max(counts)
    if not longest:
        return [tensor.detach() for _ in counts]
    padded = tensor.new_zeros(longest, *tensor.shape[1:])
    padded[: len(tensor)] = tensor.detach()
    parts = [torch.empty_like(padded) for _ in counts]
    with _ending_together():
        distributed.all_gather(parts, padded)
    return [part[:count] for part, count in zip(parts, counts, strict=True)]


def gather_counts(count: int) -> list[int]:
    """Return every process's number, in the order of ranks."""
    if _group.size == 1:
        return [count]
    import torch
    from torch import distributed

    counts = torch.zeros(_group.size, dtype=torch.int64)
    counts[_group.rank] = count
    with _ending_together():
        distributed.all_reduce(counts)
    return [int(number) for number in counts]


def add_up_gradients(parameters: list["Tensor"]) -> None:
    """Replace the gradients of some parameters by their sums over the processes.

    A parameter has no gradient afterwards only if it has none in any process, so that optimizers
    leave it out as they do in one process. Of sparse gradients, such as an embedding's, only the
    rows that some process has touched are sent.

    Parameters
    ----------
    parameters : list of torch.Tensor
        The same in every process, in the same order.
    """
    if _group.size == 1:
        return
    import torch
    from torch import distributed

    kinds = torch.tensor([_kind(parameter) for parameter in parameters])
    with _ending_together():
        distributed.all_reduce(kinds, op=distributed.ReduceOp.MAX)
    dense = []
    for parameter, kind in zip(parameters, kinds.tolist(), strict=True):
        if kind == _SPARSE:
            _add_up_sparse(parameter)
        elif kind == _DENSE:
            dense.append(parameter)
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
    for bucket in _buckets(dense):
        grads = [parameter.grad for parameter in bucket if parameter.grad is not None]
        flat = add_up(torch.cat([grad.reshape(-1) for grad in grads]))
        for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))


def _kind(parameter: "Tensor") -> int:
    if parameter.grad is None:
        return _NONE
    return _SPARSE if parameter.grad.is_sparse else _DENSE


def _add_up_sparse(parameter: "Tensor") -> None:
    """Sum sparse gradients: gather the rows that each process has touched, and add like rows."""
    import torch

    grad = parameter.grad
    if grad is None:
        grad = torch.sparse_coo_tensor(
            torch.empty(1, 0, dtype=torch.int64, device=parameter.device),
            parameter.new_empty(0, *parameter.shape[1:]),
            parameter.shape,
        )
    grad = grad.coalesce()
    rows = torch.cat(gather(grad.indices().T.contiguous()))
    values = torch.cat(gather(grad.values()))
    parameter.grad = torch.sparse_coo_tensor(rows.T, values, parameter.shape).coalesce()


def _buckets(parameters: list["Tensor"]) -> Iterator[list["Tensor"]]:
    """Yield parameters of one type and device, together of limited size."""
    groups: dict[Any, list[Tensor]] = {}
    for parameter in parameters:
        groups.setdefault((parameter.dtype, parameter.device), []).append(parameter)
    for group in groups.values():
        bucket: list[Tensor] = []
        for parameter in group:
            if bucket and sum(p.numel() for p in bucket) + parameter.numel() > _BUCKET:
                yield bucket
                bucket = []
            bucket.append(parameter)
        yield bucket
