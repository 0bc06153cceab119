"""``python -m recbole_edt`` is the same as the console script ``recbole-edt``."""

from recbole_edt.cli import main

main()
