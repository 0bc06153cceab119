"""``recbole-edt recommend``: one user on a page, or all users in a file."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_edt.cli.arguments import positive
from recbole_edt.cli.keys import CommandParser
from recbole_edt.errors import UserError, nearest

if TYPE_CHECKING:
    from recbole_edt.runs import RunFolder

USAGE = """\
  recommend --run=DIR --user=ID [--k=10] [--history=20] [--item=ID]
                                              what comes next for a user, beside the history
  recommend --models=A,B --dataset=D --user=ID      the newest runs' lists side by side
  recommend --run=DIR --all --out=FILE [--per-domain]    all users, as CSV or Parquet
"""
_NEWEST = ("dataset", "output_dir")
LOADING_KEYS = ("data_path", "eval_batch_size", "show_progress", "use_gpu", "gpu_id")
"""Keys that may differ from the run's: they change where files are and how fast, not what."""


def add_arguments(parser: CommandParser) -> None:
    """Add the command's flags."""
    add = parser.add_argument
    add("--run", metavar="DIR,DIR", help="folders of finished runs, one or several side by side")
    add("--models", metavar="A,B", help="the newest run of each of these models, in place of --run")
    add("--user", metavar="ID", help="a page about this user")
    add("--k", metavar="N", type=positive, default=10, help="items in a list (default: 10)")
    add("--history", metavar="N", type=positive, help="latest interactions shown (default: 20)")
    add("--item", metavar="ID", help="score and rank of this item as well")
    add("--all", action="store_true", help="all users, into a file")
    add("--out", metavar="FILE", help="the file: .parquet, or any other name for CSV")
    add("--per-domain", action="store_true", help="with --all: N items of each domain")
    keys = ", ".join((*LOADING_KEYS, *_NEWEST))
    parser.accept_keys(
        f"Keys of the configuration that may be given as --key=value: {keys}; the last two only "
        "with --models."
    )


def run(args: Namespace) -> None:
    """Load the runs, print a user's page or write the file of all users."""
    _check(args)
    from recbole_edt.recommend import refuse_different_data, show_user, write_all_users
    from recbole_edt.runs import load_run

    overrides = {key: value for key, value in args.keys.items() if key in LOADING_KEYS}
    runs = [load_run(folder, overrides) for folder in _folders(args)]
    refuse_different_data(runs)
    if args.all:
        show_progress = bool(runs[0].config["show_progress"])
        print(write_all_users(runs[0], Path(args.out), args.k, args.per_domain, show_progress))
    else:
        print(show_user(runs, args.user, args.k, args.history or 20, args.item))


def _check(args: Namespace) -> None:
    """Refuse flags that do not go together."""
    allowed = LOADING_KEYS + (_NEWEST if args.models is not None else ())
    for key in args.keys:
        if key not in allowed:
            flags = ("run", "models", "user", "k", "history", "item", "out", "all", "per-domain")
            hint = nearest(key, (*flags, *allowed))
            raise UserError(f"--{key}: not of use here; a run has its own settings{hint}")
    if (args.run is None) == (args.models is None):
        raise UserError("recommend: expected either --run=DIR or --models=A,B with --dataset=NAME")
    if args.models is not None and args.keys.get("dataset") is None:
        raise UserError("--models: expected --dataset=NAME beside it")
    if args.all == (args.user is not None):
        raise UserError("recommend: expected either --user=ID or --all --out=FILE")
    if args.all != (args.out is not None):
        raise UserError("--all and --out=FILE belong together")
    if args.per_domain and not args.all:
        raise UserError("--per-domain: of use with --all only; a user's page has all lists")
    for flag in ("item", "history"):
        if args.all and flag in args.given:
            raise UserError(f"--{flag}: of use with --user only")
    if args.all and len(_names(args)) > 1:
        raise UserError(f"--all: expected one run, found {len(_names(args))}")


def _names(args: Namespace) -> list[str]:
    """Return the folders or models that were given."""
    text = args.models if args.run is None else args.run
    names = [name for name in text.split(",") if name]
    if not names:
        raise UserError(f"--{'models' if args.run is None else 'run'}: expected a value")
    return names


def _folders(args: Namespace) -> list["RunFolder"]:
    from recbole_edt.config import EDTConfig
    from recbole_edt.runs import RunFolder, newest_finished

    names = _names(args)
    if args.run is not None:
        return [RunFolder(Path(name)) for name in names]
    paths = {key: value for key, value in args.keys.items() if key in ("output_dir", "data_path")}
    config = EDTConfig(names[0], args.keys["dataset"], (), paths)
    output_dir, dataset = Path(config["output_dir"]), config["dataset"]
    return [newest_finished(output_dir, dataset, name) for name in names]
