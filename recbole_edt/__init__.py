"""LLM-EDT for RecBole: cross-domain sequential recommendation with dual-phase training."""

import sys

__version__ = "0.1.0"

# Checked here, in syntax that Python 3.6 parses, because other modules use newer syntax: an old
# Python would end with a SyntaxError that names neither cause nor mend. pip checks the same by
# itself, a checkout does not.
if sys.version_info < (3, 11):
    sys.stderr.write(
        f"recbole-edt: Python {sys.version.split()[0]} found ({sys.executable}), expected 3.11 or "
        "newer; make the environment with a newer one, such as 'python3.13 -m venv .venv'\n"
    )
    sys.exit(2)
