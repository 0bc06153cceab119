"""The `prepare` command: raw data of any reader -> a dataset's files, its split and a report."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import numpy as np

import recbole_edt
from recbole_edt import fields
from recbole_edt.cli.arguments import count, truth
from recbole_edt.data.split import KINDS, load_or_make_split
from recbole_edt.errors import UserError
from recbole_edt.files import read_json, sha256_of
from recbole_edt.prepare import movielens
from recbole_edt.prepare.atomic import check_name, write_dataset
from recbole_edt.prepare.filtering import DUPLICATES, Rules, apply_rules
from recbole_edt.prepare.ordering import TIES, sort_interactions
from recbole_edt.prepare.raw import RawData
from recbole_edt.prepare.registry import (
    Reader,
    get_reader,
    own_readers,
    reader_names,
    recipe_options,
)
from recbole_edt.prepare.report import render
from recbole_edt.prepare.statistics import describe

_SCHEMA = 1
_DEFAULTS: Mapping[str, Any] = {
    "dataset": None,
    "data_path": "dataset",
    "min_user_inter": 1,
    "min_item_inter": 1,
    "min_user_domains": 1,
    "min_domain_inter": 1,
    "require_title": False,
    "duplicates": "keep",
    "ties": "file",
    "seed": 2026,
    "split": "leave_one_out",
}


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
    readers = prepare.add_subparsers(dest="reader", metavar="READER", required=True)
    for name in reader_names():
        if name not in (*own_readers(), *argv):
            readers.add_parser(name, help="a reader of another package")
            continue
        reader = get_reader(name)
        summary = (reader.__doc__ or "").partition("\n")[0]
        # flags that are not given stay absent, so that a recipe can fill them in
        parser = readers.add_parser(
            name, help=summary, description=summary, argument_default=argparse.SUPPRESS
        )
        reader.add_arguments(parser.add_argument_group(f"flags of {name}"))
        _add_common(parser.add_argument_group("flags of every reader"), reader.DEFAULTS)


def _add_common(group: Any, reader_defaults: Mapping[str, Any]) -> None:
    default = {**_DEFAULTS, **reader_defaults}

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
    """Prepare a dataset and return the report.

    Parameters
    ----------
    args : argparse.Namespace
        `reader` and the flags that were given, as `add_arguments` parses them.

    Raises
    ------
    UserError
        For anything wrong with the flags or the data. Nothing is written then.
    """
    reader = get_reader(args.reader)
    given = {key: value for key, value in vars(args).items() if key in _known_keys(reader)}
    recipe = recipe_options(reader, given)
    options = argparse.Namespace(**{**_DEFAULTS, **reader.DEFAULTS, **recipe, **given})
    if options.dataset is None:
        raise UserError(f"prepare {args.reader}: --dataset=NAME is required")
    check_name(options.dataset)
    rules = _rules(options)

    raw = reader.read(options)
    if raw.positions and options.split == "time":
        raise UserError("split: 'time' needs times; the data have positions only")
    _check_domains(raw)
    kept, steps, notes = apply_rules(raw, rules)
    data = sort_interactions(kept, options.ties, options.seed)
    del raw, kept
    folder = Path(options.data_path) / options.dataset
    summary: dict[str, Any] = {
        "schema": _SCHEMA,
        "version": recbole_edt.__version__,
        "dataset": options.dataset,
        "reader": args.reader,
        "arguments": {key: value for key, value in vars(options).items() if key != "data_path"},
        "inputs": [{"file": path.name, "sha256": sha256_of(path)} for path in data.inputs],
        "notes": data.notes | notes | _note_of_sizes(data),
        "rules": rules.sentence(),
        "steps": [asdict(step) for step in steps],
        "tie_rule": _tie_rule(options),
        "counts": describe(data),
    }
    before = write_dataset(folder, options.dataset, data, summary)
    split = load_or_make_split(folder, options.dataset, options.split)
    split_counts = read_json(folder / "split" / f"{split.kind}.json")["counts"]
    shown = {"kind": split.kind, "hash": split.hash, "counts": split_counts, "before": before}
    return render(summary | {"split": shown}, str(folder))


def ensure_default(data_path: Path) -> str | None:
    """Prepare the default dataset when it is missing; return the report if it was.

    Parameters
    ----------
    data_path : pathlib.Path
        The folder of all datasets.
    """
    name = movielens.DEFAULT_DATASET
    folder = data_path / name
    if all((folder / f"{name}.{suffix}").is_file() for suffix in ("inter", "item", "yaml")):
        return None
    return run(argparse.Namespace(reader="movielens", data_path=str(data_path)))


def _known_keys(reader: Reader) -> set[str]:
    return {*_DEFAULTS, *reader.DEFAULTS}


def _rules(options: argparse.Namespace) -> Rules:
    return Rules(**{field.name: getattr(options, field.name) for field in dataclass_fields(Rules)})


def _check_domains(raw: RawData) -> None:
    domains, names = raw.item_domains()
    present = [names[code] for code in np.unique(domains[np.unique(raw.item_rows)])]
    if len(present) < 2:
        found = f"one domain '{present[0]}'" if present else "no domain"
        where = ", ".join(str(path) for path in raw.inputs)
        raise UserError(
            f"{where}: found {found}; expected at least two with interactions "
            f"(column '{fields.DOMAIN}' of the dataset)"
        )


def _note_of_sizes(kept: RawData) -> dict[str, int | str]:
    """Return a note on domains whose only item would always be ranked first: a run refuses them."""
    domains, names = kept.item_domains()
    sizes = np.bincount(domains, minlength=len(names))
    small = [name for name, size in zip(names, sizes, strict=True) if size < 2]
    what = "domains of one item, at least two are needed to train"
    return {what: ", ".join(small)} if small else {}


def _tie_rule(options: argparse.Namespace) -> str:
    if options.ties == "shuffle":
        return f"ties are in one order drawn with seed {options.seed}"
    return "ties keep the order of the raw data"
