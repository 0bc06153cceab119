"""``recbole-edt run``: train and evaluate one model."""

from argparse import Namespace

from recbole_edt import distributed
from recbole_edt.cli.arguments import ArgumentParser, configuration

USAGE = """\
  run --model=M --dataset=D [--config_files="a.yaml b.yaml"] [--resume] [--key=value ...]
                                              train and evaluate one model
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--resume", action="store_true", help="go on with the newest run of this configuration"
    )
    parser.accept_keys()


def run(args: Namespace) -> None:
    """Run one configuration and print its test figures."""
    config = configuration(args.keys)
    from recbole_edt.cli.tables import fold_tables, headline, metric_table, repeats_line
    from recbole_edt.evaluation.report import metric_names
    from recbole_edt.runs import execute

    folder, record = execute(config, args.resume)
    if not distributed.is_main():
        return
    names = metric_names(config["metrics"], config["topk"])
    for phase in record.phases[:-1]:
        if phase.test is not None:
            print(f"test after the {phase.name} phase")
            print(metric_table(phase.test, names), end="\n\n")
    print(headline(record.model, record.dataset, record.protocol))
    print(
        fold_tables(record, names)
        + metric_table(record.test, names)
        + repeats_line(record.protocol, record.test.overall.users)
    )
    print(f"\nwritten to {folder.path}")
