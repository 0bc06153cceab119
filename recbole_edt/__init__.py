"""LLM-EDT for RecBole: cross-domain sequential recommendation with dual-phase training."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recbole_edt.config import EDTConfig
    from recbole_edt.errors import UserError
    from recbole_edt.quick_start import run_recbole_edt
    from recbole_edt.recommend import Recommender, load
    from recbole_edt.runs import RunFolder, RunRecord, load_run

__version__ = "0.1.0"
__all__ = [
    "EDTConfig", "Recommender", "RunFolder", "RunRecord", "UserError", "load", "load_run",
    "run_recbole_edt",
]  # fmt: skip

# Checked here, in syntax that Python 3.6 parses, because other modules use newer syntax: an old
# Python would end with a SyntaxError that names neither cause nor mend. pip checks the same by
# itself, a checkout does not.
if sys.version_info < (3, 11):
    sys.stderr.write(
        f"recbole-edt: Python {sys.version.split()[0]} found ({sys.executable}), expected 3.11 or "
        "newer; make the environment with a newer one, such as 'python3.13 -m venv .venv'\n"
    )
    sys.exit(2)

# Newer syntax, and most of these modules import torch.
from recbole_edt.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "EDTConfig": ".config",
        "Recommender": ".recommend",
        "RunFolder": ".runs",
        "RunRecord": ".runs",
        "UserError": ".errors",
        "load": ".recommend",
        "load_run": ".runs",
        "run_recbole_edt": ".quick_start",
    },
)
