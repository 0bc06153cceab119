"""``recbole-edt evaluate``: rank a finished run's test targets by another protocol."""

from argparse import Namespace
from pathlib import Path

from recbole_edt import distributed
from recbole_edt.cli.arguments import ArgumentParser, refuse_other_keys
from recbole_edt.errors import UserError

USAGE = """\
  evaluate --run=DIR [--candidates=all] [--sampled_candidates=N] [--key=value ...]
                                              a finished run's test targets by another protocol
"""
_KEYS = (
    "candidates", "sampled_candidates", "metrics", "topk", "tail_ratio",
    "data_path", "eval_batch_size", "use_gpu", "gpu_id",
)  # fmt: skip
"""The protocol, and where and how to compute."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--run", metavar="DIR", help="folder of a finished run")
    parser.accept_keys(_KEYS)


def run(args: Namespace) -> None:
    """Rank again, write the figures beside the run, and print them."""
    refuse_other_keys(args, _KEYS, "a finished run cannot change it")
    if not args.run:
        raise UserError("evaluate: expected --run=DIR")
    from recbole_edt.cli.tables import headline, metric_table
    from recbole_edt.runs import RunFolder, reevaluate

    figures, names, path = reevaluate(RunFolder(Path(args.run)), args.keys)
    if not distributed.is_main():
        return
    print(headline(figures.model, figures.dataset, figures.protocol))
    if figures.without_expert is not None:
        print(metric_table(figures.without_expert.test, names))
        print("\nwith the content expert")
    print(metric_table(figures.test, names))
    print(f"\nwritten to {path}")
