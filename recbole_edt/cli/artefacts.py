"""``recbole-edt artefacts``: item vectors, augmented interactions and profiles of a dataset."""

from argparse import Namespace

from recbole_edt.cli.arguments import positive
from recbole_edt.cli.keys import CommandParser, configuration
from recbole_edt.errors import UserError

USAGE = """\
  artefacts --dataset=NAME [--only embeddings,augment,profiles] [--dry-run] [--shard=I/N]
            [--key=value ...]                 item vectors, augmented interactions, profiles
  artefacts --dataset=NAME --probe [--probe-users=N] [--key=value ...]
                                              what the augmenter is worth, on hidden interactions
"""


def add_arguments(parser: CommandParser) -> None:
    """Add the command's flags."""
    add = parser.add_argument
    add("--only", metavar="PARTS", help="of embeddings,augment,profiles (default: all)")
    add("--dry-run", action="store_true", help="print calls, tokens and time; write nothing")
    add("--shard", metavar="I/N", help="ask the I-th of N shares of the questions to the LLM")
    add("--probe", action="store_true", help="measure the augmenter on hidden interactions")
    add("--probe-users", metavar="N", type=positive, help="users that a probe draws (default: 200)")
    parser.accept_keys()


def run(args: Namespace) -> None:
    """Make, resume, estimate or probe artefacts, and print the report."""
    if args.probe_users is not None and not args.probe:
        raise UserError("--probe-users: of use with --probe only")
    for flag, value in (("only", args.only), ("dry-run", args.dry_run), ("shard", args.shard)):
        if args.probe and value:
            raise UserError(f"--probe: measures and makes nothing; found --{flag} beside it")
    from recbole_edt.artefacts.command import PROBED_USERS, parse_shard, run_artefacts
    from recbole_edt.data.split import configured_split, load_or_make_split
    from recbole_edt.llm.sharding import shard_from_environment
    from recbole_edt.runs import find_dataset

    shard = shard_from_environment() if args.shard is None else parse_shard(args.shard)
    config = configuration(args.keys, model="LLMEDT")
    find_dataset(config)
    name, folder = config["dataset"], config.dataset_dir
    split = load_or_make_split(folder, name, configured_split(config))
    only = [part for part in (args.only or "").split(",") if part]
    probed = (args.probe_users or PROBED_USERS) if args.probe else None
    print(run_artefacts(config, folder, name, split, only, args.dry_run, probed, shard))
