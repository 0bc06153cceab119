"""Models side by side: rows x seeds in processes of their own, tuning, tables and tests.

Public:

- `compare`, `tune`: the commands, from keys and flags to an exit status;
- `write_report`: the report of a folder that ``compare`` has written;
- `load_results`: its rows, cells and runs, as a `ComparisonResult`.

Each is imported when it is first asked for: every cell of a comparison is a process that imports
this package.
"""

from typing import TYPE_CHECKING

from recbole_edt.lazy import lazy_names

if TYPE_CHECKING:
    from recbole_edt.compare.report import write_report
    from recbole_edt.compare.results import ComparisonResult, load_results
    from recbole_edt.compare.run_comparison import compare
    from recbole_edt.compare.tune_model import tune

__all__ = ["ComparisonResult", "compare", "load_results", "tune", "write_report"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ComparisonResult": ".results",
        "compare": ".run_comparison",
        "load_results": ".results",
        "tune": ".tune_model",
        "write_report": ".report",
    },
)
