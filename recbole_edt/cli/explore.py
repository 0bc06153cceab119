"""``recbole-edt explore``: a self-contained page about users, lists and items of finished runs."""

from argparse import Namespace
from pathlib import Path

from recbole_edt.cli.arguments import ArgumentParser, loadable_folder, positive, refuse_other_keys
from recbole_edt.cli.recommend import LOADING_KEYS
from recbole_edt.errors import UserError

USAGE = """\
  explore --runs=DIR,DIR [--output=explore.html] [--users=N]    a page to look around in, offline
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add = parser.add_argument
    add("--runs", metavar="DIR,DIR", help="folders of finished runs on one dataset and split")
    add("--output", metavar="FILE", default="explore.html", help="default: explore.html")
    add("--users", metavar="N", type=positive, default=10_000,
        help="users on the page; of more, a random sample (default: 10,000)")  # fmt: skip
    add("--k", metavar="N", type=positive, default=10, help="items in a list (default: 10)")
    parser.accept_keys(LOADING_KEYS)


def run(args: Namespace) -> None:
    """Load the runs and write the page."""
    refuse_other_keys(args, LOADING_KEYS)
    names = [name for name in (args.runs or "").split(",") if name]
    if not names:
        raise UserError("explore: expected --runs=DIR, or --runs=DIR,DIR for several side by side")
    from recbole_edt.recommend import refuse_different_data
    from recbole_edt.recommend.explore import write_page
    from recbole_edt.runs import RunFolder, load_run

    path = Path(args.output)
    if path.is_dir():
        raise UserError(f"--output: {path} is a folder, expected a file such as explore.html")
    runs = [load_run(loadable_folder(RunFolder(Path(name))), args.keys) for name in names]
    refuse_different_data(runs)
    print(write_page(runs, path, args.users, args.k, bool(runs[0].config["show_progress"])))
