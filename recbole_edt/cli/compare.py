"""``recbole-edt compare``: models side by side."""

import sys
from argparse import Namespace

from recbole_edt.cli.arguments import ArgumentParser, add_cluster_flags

USAGE = """\
  compare --models=A,B --dataset=D --seeds=1,2,3 [--jobs=N] [--tune=TRIALS] [--key=value ...]
          [--cluster=ray[:HOST:PORT]]         models side by side: tables, tests, report
  compare --file=FILE --dataset=D ...         rows of a compare file, such as ablation
  compare --runs=DIR,DIR                      finished runs
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    for flag, metavar, text in (
        ("models", "A,B", "models to compare"),
        ("file", "FILE", "a compare file, or the name of one that is shipped"),
        ("runs", "DIR,DIR", "finished runs to compare; LABEL=DIR names a row"),
        ("seeds", "1,2,3", "seeds of each row"),
        ("jobs", "N", "processes at a time (default: 1; on a cluster all that it has room for)"),
        ("tune", "TRIALS", "tune every row first, with so many trials (default: 0)"),
        ("strategy", "NAME", "of tuning: random, exhaustive or optuna (default: random)"),
        ("name", "NAME", "name of the result's folder (default: a hash)"),
    ):
        parser.add_argument(f"--{flag}", metavar=metavar, help=text)
    add_cluster_flags(parser)
    parser.accept_keys()


def run(args: Namespace) -> int:
    """Run the comparison, print its tables and return the exit status."""
    from recbole_edt.compare import compare

    return compare(args.keys, args.given, print, _print_message)


def _print_message(line: str) -> None:
    print(line, file=sys.stderr)
