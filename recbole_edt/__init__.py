"""LLM-EDT for RecBole: cross-domain sequential recommendation with dual-phase training."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbole_edt.config.edt_config import EDTConfig
    from recbole_edt.errors import UserError
    from recbole_edt.quick_start import run_recbole_edt
    from recbole_edt.runs import RunFolder, RunRecord, load_run

__version__ = "0.1.0"
__all__ = ["EDTConfig", "RunFolder", "RunRecord", "UserError", "load_run", "run_recbole_edt"]

_LAZY = {  # imported when they are first asked for: most of them import torch
    "EDTConfig": "config.edt_config",
    "RunFolder": "runs",
    "RunRecord": "runs",
    "UserError": "errors",
    "load_run": "runs",
    "run_recbole_edt": "quick_start",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
