"""``recbole-edt tune``: the best values of a search space, on validation."""

from argparse import Namespace

from recbole_edt.cli.arguments import ArgumentParser, add_cluster_flags

USAGE = """\
  tune --model=M --dataset=D --params_file=FILE [--trials=N] [--jobs=N]
       [--strategy=random|exhaustive|optuna] [--cluster=ray[:HOST:PORT]] [--key=value ...]
                                              the best values of a search space, on validation
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    for flag, metavar, text in (
        ("params_file", "FILE", "the search space, or the name of one that is shipped"),
        ("trials", "N", "points to try (default: 10)"),
        ("strategy", "NAME", "random, exhaustive or optuna (default: random)"),
        ("jobs", "N", "processes at a time (default: 1; on a cluster all that it has room for)"),
    ):
        parser.add_argument(f"--{flag}", metavar=metavar, help=text)
    add_cluster_flags(parser)
    parser.accept_keys()


def run(args: Namespace) -> int:
    """Tune one model, print the trials and return the exit status."""
    from recbole_edt.compare import tune

    return tune(args.keys, args.given, print)
