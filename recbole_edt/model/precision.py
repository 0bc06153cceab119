"""Mixed precision: matrix products in bfloat16 by torch's autocast, sums that count in float32."""

from contextlib import AbstractContextManager, nullcontext

import torch

from recbole_edt.errors import UserError

FLOAT32, BFLOAT16 = "float32", "bf16"
"""Values of the key ``precision``."""


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that the device computes in only by emulating it.

    Parameters
    ----------
    precision : str
        The key of that name.
    device : torch.device
        What the run uses.

    Raises
    ------
    UserError
        For ``bf16`` without it.
    """
    if precision == FLOAT32 or _has_bfloat16(device):
        return
    raise UserError(
        f"precision: found {precision!r}, expected {FLOAT32!r}: {_name(device)} has no bfloat16"
    )


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.amp.is_autocast_available("cpu")


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"device {device}"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Compute matrix products in a precision within a block; weights stay float32."""
    if precision == FLOAT32:
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Compute in the precision of the tensors within a block, whatever `autocast` is around it."""
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
