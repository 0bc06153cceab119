"""``recbole-edt artefacts``: item vectors, augmented interactions and profiles of a dataset."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_edt.cli.arguments import ArgumentParser, add_cluster_flags, configuration, positive
from recbole_edt.errors import UserError

if TYPE_CHECKING:
    from recbole_edt.data.split import Split
    from recbole_edt.executors import ClusterSettings

USAGE = """\
  artefacts --dataset=NAME [--only embeddings,augment,profiles] [--dry-run] [--shard=I/N]
            [--jobs=N] [--cluster=ray[:HOST:PORT]] [--key=value ...]
                                              item vectors, augmented interactions, profiles
  artefacts --dataset=NAME --only embeddings --vectors=FILE[:COLUMN] [--vector_ids=FILE]
            [--vectors_name=NAME] [--unknown_items=drop] [--missing_items=zero]
                                              item vectors that were made elsewhere
  artefacts --dataset=NAME --probe [--probe-users=N] [--key=value ...]
                                              what the augmenter is worth, on hidden interactions
"""

_RULES = (
    ("unknown_items", "drop", "leave out vectors of ids that are no item (default: refuse)"),
    ("missing_items", "zero", "zeros for items without a vector (default: refuse)"),
)
_OF_MAKING = ("dry_run", "shard", "vectors")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add = parser.add_argument
    add("--only", metavar="PARTS", help="of embeddings,augment,profiles (default: all)")
    add("--dry-run", action="store_true", help="print calls, tokens and time; write nothing")
    add("--shard", metavar="I/N", help="ask the I-th of N shares of the questions to the LLM")
    add(
        "--jobs", metavar="N", type=positive,
        help="share the questions among N processes (on a cluster: all that it has room for)",
    )  # fmt: skip
    add("--probe", action="store_true", help="measure the augmenter on hidden interactions")
    add("--probe-users", metavar="N", type=positive, help="users that a probe draws (default: 200)")
    add(
        "--vectors",
        metavar="FILE[:COLUMN]",
        help="store the item vectors of a .npy, .safetensors, .parquet or atomic file",
    )
    add("--vector_ids", metavar="FILE", help="item ids of the rows, one a line (default: FILE.txt)")
    add("--vectors_name", metavar="NAME", help="what they are called (default: the file's name)")
    for flag, value, text in _RULES:
        add(f"--{flag}", metavar=value, help=text)
    add_cluster_flags(parser)
    parser.accept_keys()


def run(args: Namespace) -> int:
    """Make, resume, estimate or probe artefacts, print the report and return the exit status."""
    if args.probe_users is not None and not args.probe:
        raise UserError("--probe-users: of use with --probe only")
    if args.probe:
        _refuse_beside(args, "probe", "measures and makes nothing", ("only", *_OF_MAKING))
    from recbole_edt.executors import ClusterSettings

    cluster = ClusterSettings.from_flags(args.given)
    in_tasks = cluster is not None or args.jobs is not None
    if in_tasks:
        flag = "jobs" if cluster is None else "cluster"
        _refuse_beside(args, flag, "shares the work of making", ("probe", *_OF_MAKING))
    _check_vector_flags(args)
    from recbole_edt.artefacts.embeddings import VectorSource
    from recbole_edt.artefacts.make import PROBED_USERS, make_artefacts, probe_augmenter
    from recbole_edt.data.split import split_of
    from recbole_edt.llm.sharding import parse_shard, shard_from_environment
    from recbole_edt.runs import configs_of_splits, find_dataset

    shard = shard_from_environment() if args.shard is None else parse_shard(args.shard)
    config = configuration(args.keys, model="LLMEDT")
    find_dataset(config)
    only = [part for part in (args.only or "").split(",") if part]
    if in_tasks and shard.count > 1:
        raise UserError("RANK, WORLD_SIZE: name one shard; expected them unset with --cluster")
    vectors = None
    if args.vectors:
        dropped, zeroed = (getattr(args, flag) is not None for flag, _, _ in _RULES)
        vectors = VectorSource(args.vectors, args.vector_ids, args.vectors_name, dropped, zeroed)
    status = 0
    for one in configs_of_splits(config):
        name, folder = one["dataset"], one.dataset_dir
        split = split_of(one)
        if one is not config:
            print(f"fold {one['fold']} of {one['folds']}")
        if in_tasks:
            status = _make_in_tasks(one, folder, name, split, only, cluster, args.jobs)
        elif args.probe:
            print(probe_augmenter(one, folder, name, split, args.probe_users or PROBED_USERS))
        else:
            how: dict[str, Any] = {
                "only": only,
                "dry_run": args.dry_run,
                "shard": shard,
                "vectors": vectors,
            }
            reports = make_artefacts(one, folder, name, split, **how)
            print("\n".join(report.text for report in reports))
        if status:
            break
    return status


def _check_vector_flags(args: Namespace) -> None:
    """Refuse flags about vectors that do not fit together."""
    for flag, value, _ in _RULES:
        found = getattr(args, flag)
        if found not in (None, value):
            raise UserError(f"--{flag}: found {found!r}, expected {value}")
    if args.vectors is None:
        for flag in ("vector_ids", "vectors_name", *(flag for flag, _, _ in _RULES)):
            if getattr(args, flag) is not None:
                raise UserError(f"--{flag}: of use with --vectors only")
        return
    if args.only not in (None, "embeddings"):
        raise UserError(
            f"--vectors: gives item vectors and nothing else; found --only {args.only}, expected "
            "--only embeddings"
        )
    for key in ("encoder", "encoder_revision"):
        if key in args.keys:
            raise UserError(f"--vectors: takes the place of an encoder; found --{key} beside it")


def _refuse_beside(args: Namespace, flag: str, does: str, others: Sequence[str]) -> None:
    for other in others:
        if getattr(args, other):
            raise UserError(f"--{flag}: {does}; found --{other.replace('_', '-')} beside it")


def _make_in_tasks(
    config: Any,
    folder: Path,
    name: str,
    split: "Split",
    only: list[str],
    cluster: "ClusterSettings | None",
    jobs: int | None,
) -> int:
    from recbole_edt.artefacts.cluster import TaskFailedError, make_with_executor
    from recbole_edt.executors import open_executor
    from recbole_edt.runs import dataset_files

    def message(line: str) -> None:
        print(line, file=sys.stderr)

    with open_executor(cluster, jobs, dataset_files(config)) as executor:
        try:
            reports = make_with_executor(config, folder, name, split, executor, only, message)
        except TaskFailedError as error:
            message(f"recbole-edt: {error}")
            return 1
    print("\n".join(report.text for report in reports))
    return 0
