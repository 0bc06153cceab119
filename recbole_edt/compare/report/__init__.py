"""Tables, tests, figures and the page of a comparison.

`write_report` writes all of them; the rest is private to this package.
"""

from recbole_edt.compare.report.write import write_report

__all__ = ["write_report"]
