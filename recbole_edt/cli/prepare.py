"""``recbole-edt prepare``: raw data of any reader to the files of a dataset."""

import argparse
from collections.abc import Mapping
from typing import Any

from recbole_edt.cli.arguments import ArgumentParser, count, positive, truth
from recbole_edt.errors import nearest

USAGE = """\
  prepare READER --dataset=NAME ...           raw data -> the files of a dataset
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add one sub-parser per reader, with its own flags and those of every reader.

    Of the readers of other packages, only those are imported that the command line names.
    """
    from recbole_edt.prepare.pipeline import DEFAULTS
    from recbole_edt.prepare.reader import BUILT_IN, get_reader, reader_names

    readers = parser.add_subparsers(
        prog=parser.prog, dest="reader", metavar="READER", required=True
    )
    for name in reader_names():
        if name not in (*BUILT_IN, *parser.argv):
            readers.add_parser(name, help="of another package")
            continue
        reader = get_reader(name)
        # flags that are not given stay absent, so that a recipe can fill them in
        subparser = readers.add_parser(
            name,
            help=reader.summary,
            description=reader.summary,
            argument_default=argparse.SUPPRESS,
        )
        reader.add_arguments(subparser.add_argument_group(f"flags of {name}"))
        defaults = {**DEFAULTS, **reader.defaults}
        _add_common(subparser.add_argument_group("flags of every reader"), defaults)


def _add_common(group: Any, default: Mapping[str, object]) -> None:
    from recbole_edt.prepare.filtering import DUPLICATES
    from recbole_edt.prepare.ordering import TIES

    def add(flag: str, text: str, **kwargs: Any) -> None:
        missing = "required without --recipe" if "recipe" in default else "required"
        if flag.startswith("max_"):
            missing = "default: no limit"
        value = missing if default[flag] is None else f"default: {default[flag]}"
        group.add_argument(f"--{flag}", help=f"{text} ({value})", **kwargs)

    add("dataset", "name of the result", metavar="NAME")
    add("data_path", "folder of all datasets", metavar="DIR")
    add("min_user_inter", "interactions of a user, over all domains", type=count, metavar="N")
    add("min_item_inter", "interactions of an item; 0 keeps unseen ones", type=count, metavar="N")
    add("max_user_inter", "drop users with more, counted once", type=positive, metavar="N")
    add("max_item_inter", "drop items with more, counted once", type=positive, metavar="N")
    add("min_user_domains", "domains in which a user is active", type=count, metavar="N")
    add("min_domain_inter", "interactions in each of those domains", type=count, metavar="N")
    add("require_title", "drop untitled items", nargs="?", const=True, type=truth, metavar="BOOL")
    add("duplicates", "which of a user's interactions with one item stays", choices=DUPLICATES)
    add("ties", "order of a user's interactions at the same time", choices=TIES)
    add("seed", "of --ties=shuffle", type=count, metavar="N")
    text = "the split to make at the end; 'run' makes the others, as in --split=ratio"
    add("split", text, type=_split, metavar="{leave_one_out,time}")
    add("memory_gb", "GB to use before a folder in data_path is", type=float, metavar="GB")


def _split(text: str) -> str:
    """Parse ``--split``; the other splits are made elsewhere."""
    made = ("leave_one_out", "time")
    if text in made:
        return text
    from recbole_edt.config import RULES  # their import takes as long as that of numpy

    hint = nearest(text, made)
    if text == "files":
        hint = "; --train, --valid and --test make this one"
    elif text in RULES["split"].choices:
        hint = f"; 'recbole-edt run --split={text}' makes this one"
    raise argparse.ArgumentTypeError(f"found '{text}', expected one of {', '.join(made)}{hint}")


def run(args: argparse.Namespace) -> None:
    """Prepare the dataset and print the report."""
    from recbole_edt.prepare.pipeline import prepare_dataset

    print(prepare_dataset(args.reader, vars(args)))
