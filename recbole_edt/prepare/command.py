"""The flags of ``recbole-edt prepare``, one sub-command per reader."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from recbole_edt.cli.arguments import count, truth
from recbole_edt.data.split import KINDS
from recbole_edt.prepare.filtering import DUPLICATES
from recbole_edt.prepare.ordering import TIES
from recbole_edt.prepare.pipeline import DEFAULTS, prepare_dataset
from recbole_edt.prepare.reader import BUILT_IN, get_reader, reader_names


def add_arguments(subparsers: Any, argv: Sequence[str] = ()) -> None:
    """Add the `prepare` sub-command, with one sub-parser per reader.

    Parameters
    ----------
    subparsers : argparse action
        What ``add_subparsers()`` of the main parser returned.
    argv : sequence of str
        The arguments. Of the readers of other packages, only the one named here is imported.
    """
    prepare = subparsers.add_parser("prepare", help="raw data -> the files of a dataset")
    names = prepare.add_subparsers(dest="reader", metavar="READER", required=True)
    for name in reader_names():
        if name not in (*BUILT_IN, *argv):
            names.add_parser(name, help="of another package")
            continue
        reader = get_reader(name)
        # flags that are not given stay absent, so that a recipe can fill them in
        parser = names.add_parser(
            name,
            help=reader.summary,
            description=reader.summary,
            argument_default=argparse.SUPPRESS,
        )
        reader.add_arguments(parser.add_argument_group(f"flags of {name}"))
        _add_common(parser.add_argument_group("flags of every reader"), reader.defaults)


def _add_common(group: Any, reader_defaults: Mapping[str, Any]) -> None:
    default = {**DEFAULTS, **reader_defaults}

    def add(flag: str, text: str, **kwargs: Any) -> None:
        missing = "required without --recipe" if "recipe" in default else "required"
        value = missing if default[flag] is None else f"default: {default[flag]}"
        group.add_argument(f"--{flag}", help=f"{text} ({value})", **kwargs)

    add("dataset", "name of the result", metavar="NAME")
    add("data_path", "folder of all datasets", metavar="DIR")
    add("min_user_inter", "interactions of a user, over all domains", type=count, metavar="N")
    add("min_item_inter", "interactions of an item; 0 keeps unseen ones", type=count, metavar="N")
    add("min_user_domains", "domains in which a user is active", type=count, metavar="N")
    add("min_domain_inter", "interactions in each of those domains", type=count, metavar="N")
    add("require_title", "drop untitled items", nargs="?", const=True, type=truth, metavar="BOOL")
    add("duplicates", "which of a user's interactions with one item stays", choices=DUPLICATES)
    add("ties", "order of a user's interactions at the same time", choices=TIES)
    add("seed", "of --ties=shuffle", type=count, metavar="N")
    add("split", "the split to make at the end", choices=KINDS)


def run(args: argparse.Namespace) -> str:
    """Prepare the dataset that the parsed flags describe and return the report."""
    return prepare_dataset(args.reader, vars(args))
