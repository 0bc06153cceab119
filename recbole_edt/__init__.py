"""LLM-EDT for RecBole: cross-domain sequential recommendation with dual-phase training."""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbole_edt.config import EDTConfig
    from recbole_edt.errors import UserError
    from recbole_edt.quick_start import run_recbole_edt
    from recbole_edt.runs import RunFolder, RunRecord, load_run

__version__ = "0.1.0"
__all__ = ["EDTConfig", "RunFolder", "RunRecord", "UserError", "load_run", "run_recbole_edt"]

# Checked here, in syntax that Python 3.6 parses, because other modules use newer syntax: an old
# Python would end with a SyntaxError that names neither cause nor mend. pip checks the same by
# itself, a checkout does not.
if sys.version_info < (3, 11):
    sys.stderr.write(
        f"recbole-edt: Python {sys.version.split()[0]} found ({sys.executable}), expected 3.11 or "
        "newer; make the environment with a newer one, such as 'python3.13 -m venv .venv'\n"
    )
    sys.exit(2)

_MODULE_OF = {  # imported when they are first asked for: most of them import torch
    "EDTConfig": "config",
    "RunFolder": "runs",
    "RunRecord": "runs",
    "UserError": "errors",
    "load_run": "runs",
    "run_recbole_edt": "quick_start",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
