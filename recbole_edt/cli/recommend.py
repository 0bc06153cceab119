"""``recbole-edt recommend``: a page about one user, or lists for users and histories."""

import argparse
import csv
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_edt.cli.arguments import ArgumentParser, loadable_folder, positive, refuse_other_keys
from recbole_edt.errors import UserError

if TYPE_CHECKING:
    from recbole_edt.recommend import Recommender
    from recbole_edt.runs import RunFolder

USAGE = """\
  recommend --run=DIR --user=ID [--k=10] [--history=20] [--item=ID]
                                              what comes next for a user, beside the history
  recommend --models=A,B --dataset=D --user=ID      the newest runs' lists side by side
  recommend --run=DIR --history=A,B,C [--domain=NAME]      after items that nobody had in training
  recommend --run=DIR --histories=FILE [--out=FILE]    the same for a CSV of user, item, time
      [--reasons] [--new_items=FILE]          what is near each; items newer than training
  recommend --run=DIR --users=FILE [--out=FILE]      the same for some users of the data
  recommend --run=DIR --all --out=FILE [--per-domain]    all users, as CSV or Parquet
"""
_NEWEST = ("dataset", "output_dir")
LOADING_KEYS = ("data_path", "eval_batch_size", "show_progress", "use_gpu", "gpu_id")
"""Keys that may differ from the run's: they change where files are and how fast, not what."""

_WHOM = {
    "user": "--user=ID", "users": "--users=FILE", "all": "--all --out=FILE",
    "history": "--history=ITEMS", "histories": "--histories=FILE",
}  # fmt: skip
_LISTS = ("history", "histories", "users")
_ONLY_WITH = {
    "item": ("user",), "per-domain": ("all",), "out": ("all", "histories", "users"),
    "domain": _LISTS, "exclude": _LISTS, "repeats": _LISTS, "reasons": _LISTS,
    "new_items": _LISTS, "time_format": ("histories",),
}  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add = parser.add_argument
    add("--run", metavar="DIR,DIR", help="folders of finished runs, one or several side by side")
    add("--models", metavar="A,B", help="the newest run of each of these models, in place of --run")
    add("--user", metavar="ID", help="a page about this user")
    add("--users", metavar="FILE", help="users of the data, one id per line")
    add("--all", action="store_true", help="all users, into a file")
    add(
        "--history", metavar="ITEMS",
        help="ids of items, oldest first, of somebody who need not be known; with --user: how "
        "many of the latest interactions are shown (default: 20)",
    )  # fmt: skip
    add(
        "--histories", metavar="FILE",
        help="CSV of user, item, time: new users, and what known ones had since",
    )  # fmt: skip
    add("--k", metavar="N", type=positive, default=10, help="items in a list (default: 10)")
    add("--item", metavar="ID", help="score and rank of this item as well")
    add("--domain", metavar="NAME", help="items of this domain only (default: all)")
    add("--exclude", metavar="ITEMS", help="ids of items that are not recommended")
    add("--repeats", action="store_true", help="items of the history may be recommended")
    add("--reasons", action="store_true", help="beside each item the nearest one of the history")
    add(
        "--new_items", metavar="FILE",
        help="CSV of item_id, domain, title: items newer than training, known by their titles",
    )  # fmt: skip
    add("--time_format", metavar="FORMAT", help="of --histories, as in 'prepare csv'")
    add("--out", metavar="FILE", help="the file: .parquet, or any other name for CSV (default of "
        "--histories: CSV on the standard output)")  # fmt: skip
    add("--per-domain", action="store_true", help="with --all: N items of each domain")
    parser.accept_keys((*LOADING_KEYS, *_NEWEST), "; the last two only with --models")


def run(args: Namespace) -> None:
    """Load the runs, print a user's page or a list, or write a file."""
    whom = _check(args)
    shown = _shown(args) if whom == "user" else 0
    from recbole_edt.recommend import Recommender, refuse_different_data, show_user, write_all_users
    from recbole_edt.runs import load_run

    overrides = {key: value for key, value in args.keys.items() if key in LOADING_KEYS}
    runs = [load_run(loadable_folder(folder), overrides) for folder in _folders(args)]
    refuse_different_data(runs)
    if whom == "user":
        print(show_user(runs, args.user, args.k, shown, args.item))
    elif whom == "all":
        show_progress = bool(runs[0].config["show_progress"])
        print(write_all_users(runs[0], Path(args.out), args.k, args.per_domain, show_progress))
    else:
        recommender = Recommender(runs[0])
        if args.new_items is not None:
            recommender.add_items(args.new_items)
        (_after_history if whom == "history" else _into_file)(recommender, args)


def _options(args: Namespace) -> dict[str, Any]:
    """Return what `Recommender.recommend` is given beside the histories."""
    return {
        "k": args.k,
        "domain": args.domain,
        "exclude": _ids("exclude", args.exclude) if args.exclude is not None else (),
        "repeats": args.repeats or None,
        "reasons": args.reasons,
    }


def _after_history(recommender: "Recommender", args: Namespace) -> None:
    """Print the list after one history as a table of text."""
    from tabulate import tabulate

    from recbole_edt.recommend import shorten

    items = _ids("history", args.history)
    # refused here, as the message of `recommend` is about a list of histories
    recommender.items.known_numbers(items, "--history")
    frame = recommender.recommend([items], **_options(args)).drop(columns="user")
    for column in frame.columns.intersection(["title", "nearest_title"]):
        frame[column] = [shorten(title, 60) for title in frame[column]]
    rows = [[f"{cell:.4f}" if isinstance(cell, float) else cell for name, cell in row.items()]
            for row in frame.to_dict("records")]  # fmt: skip
    record = recommender.run.record
    where = f"in {args.domain}" if args.domain else "all domains together"
    head = f"{record.model} on {record.dataset}: next after {len(items)} items, {where}"
    align = ["right" if name in ("rank", "score") else "left" for name in frame]
    table = tabulate(rows, list(frame), "plain", disable_numparse=True, colalign=align)
    print(f"{head}\n\n{table}" if rows else f"{head}\n\n  nothing left")


def _into_file(recommender: "Recommender", args: Namespace) -> None:
    """Write the lists for the users or histories of a file."""
    from recbole_edt.recommend import read_history_file, read_user_file, write_recommendations

    dataset, repeated = recommender.run.dataset, 0
    if args.users is not None:
        named = recommender.known_users(read_user_file(Path(args.users), dataset))
    else:
        recommender.refuse_without_histories()
        path = Path(args.histories)
        given = read_history_file(path, recommender.items, dataset, args.time_format)
        named, repeated = recommender.named(given, extend=True)
    out = None if args.out is None else Path(args.out)
    rows = write_recommendations(recommender, named, out, **_options(args))
    if out is None:
        return
    new = int((named.histories.users == 0).sum())
    known = "" if args.users else f" ({len(named.names) - new:,} of them known, {new:,} new)"
    print(f"{rows:,} recommendations for {len(named.names):,} users{known} written to {out}")
    if repeated:
        print(f"{repeated:,} rows of {path} are in {dataset.dataset_name}.inter already")


def _ids(flag: str, text: str) -> list[str]:
    """Return the ids of a comma-separated list; one with a comma is in quotation marks."""
    ids = [one.strip() for one in next(csv.reader([text], skipinitialspace=True), [])]
    if not ids or "" in ids:
        raise UserError(f"--{flag}: found {text!r}, expected ids of items separated by commas")
    return ids


def _shown(args: Namespace) -> int:
    try:
        return 20 if args.history is None else positive(args.history)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"--history: {error} beside --user") from None


def _check(args: Namespace) -> str:
    """Refuse flags that do not go together; return for whom items are recommended."""
    refuse_other_keys(args, LOADING_KEYS + (_NEWEST if args.models is not None else ()))
    if (args.run is None) == (args.models is None):
        raise UserError("recommend: expected either --run=DIR or --models=A,B with --dataset=NAME")
    if args.models is not None and args.keys.get("dataset") is None:
        raise UserError("--models: expected --dataset=NAME beside it")
    switches = {"all": args.all, "per-domain": args.per_domain, "repeats": args.repeats,
                "reasons": args.reasons}  # fmt: skip
    given = {*args.given} | {flag for flag, is_set in switches.items() if is_set}
    asked = [whom for whom in _WHOM if whom in given]
    if asked == ["user", "history"]:
        asked = ["user"]
    if len(asked) != 1:
        found = " and ".join(f"--{whom}" for whom in asked) or "none"
        raise UserError(f"recommend: expected one of {', '.join(_WHOM.values())}; found {found}")
    (whom,) = asked
    for flag, whoms in _ONLY_WITH.items():
        if flag in given and whom not in whoms:
            *others, last = (f"--{one}" for one in whoms)
            beside = f"{', '.join(others)} or {last}" if others else last
            raise UserError(f"--{flag}: of use with {beside} only, found --{whom}")
    if whom == "all" and args.out is None:
        raise UserError("--all: expected --out=FILE beside it")
    if whom != "user" and len(_names(args)) > 1:
        raise UserError(f"--{whom}: expected one run, found {len(_names(args))}")
    return whom


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
