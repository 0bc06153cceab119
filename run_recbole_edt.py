"""RecBole-style entry: ``python run_recbole_edt.py ARGS`` is ``recbole-edt run ARGS``."""

import sys

from recbole_edt.cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
