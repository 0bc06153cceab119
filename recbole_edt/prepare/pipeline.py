"""Raw data of any reader -> filtered, ordered, written and split, with a report."""

import argparse
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import numpy as np

import recbole_edt
from recbole_edt import fields
from recbole_edt.data.split import FILES, load_or_make_split, save_split
from recbole_edt.data.store import open_interactions
from recbole_edt.errors import UserError
from recbole_edt.files import read_json, sha256_of
from recbole_edt.prepare.dataset_files import check_name, write_dataset
from recbole_edt.prepare.engine import MEMORY_GB, Engine
from recbole_edt.prepare.filtering import FilterRules, apply_rules
from recbole_edt.prepare.movielens import DEFAULT_DATASET
from recbole_edt.prepare.ordering import sort_interactions
from recbole_edt.prepare.raw import RawData, domain_codes
from recbole_edt.prepare.reader import Reader, get_reader
from recbole_edt.prepare.report_text import render
from recbole_edt.prepare.split_files import given_split
from recbole_edt.prepare.statistics import describe

_SCHEMA = 1
_UNRECORDED = ("data_path", "memory_gb", "split_given")  # they do not change the files
DEFAULTS: Mapping[str, Any] = {
    "dataset": None,
    "data_path": "dataset",
    "min_user_inter": 1,
    "min_item_inter": 1,
    "max_user_inter": None,
    "max_item_inter": None,
    "min_user_domains": 1,
    "min_domain_inter": 1,
    "require_title": False,
    "duplicates": "keep",
    "ties": "file",
    "seed": 2026,
    "split": "leave_one_out",
    "memory_gb": MEMORY_GB,
}
"""Flags of every reader, and their values when they are not given."""


def prepare_dataset(reader_name: str, given: Mapping[str, Any]) -> str:
    """Prepare a dataset and return the report.

    Parameters
    ----------
    reader_name : str
        One of `recbole_edt.prepare.reader.reader_names`.
    given : mapping
        The flags that were given, by name; others are ignored.

    Raises
    ------
    UserError
        For anything wrong with the flags or the data. Nothing is written then.
    """
    reader = get_reader(reader_name)
    defaults = {**DEFAULTS, **reader.defaults}
    given = {key: value for key, value in given.items() if key in defaults}
    options = argparse.Namespace(**{**defaults, **reader.recipe(given), **given})
    if options.dataset is None:
        raise UserError(f"prepare {reader_name}: --dataset=NAME is required")
    check_name(options.dataset)
    rules = FilterRules(**{f.name: getattr(options, f.name) for f in dataclass_fields(FilterRules)})

    options.split_given = "split" in given
    with Engine(Path(options.data_path), options.memory_gb) as engine:
        return _prepare(reader, reader_name, options, rules, engine)


def _prepare(
    reader: Reader,
    reader_name: str,
    options: argparse.Namespace,
    rules: FilterRules,
    engine: Engine,
) -> str:
    arguments = {key: value for key, value in vars(options).items() if key not in _UNRECORDED}
    options.engine = engine
    raw = reader.read(options)
    raw.interactions(engine)
    if raw.positions and options.split == "time":
        raise UserError("split: 'time' needs times; the data have positions only")
    if raw.parts:
        _check_split_flags(options)
        arguments["split"] = options.split
    _check_domains(raw)
    with ThreadPoolExecutor() as pool:
        digests = pool.map(sha256_of, raw.inputs)  # while the engine works
        data, steps, notes = apply_rules(raw, rules)
        del raw
        inter, keep_rows = data.interactions(), bool(data.parts)
        sort_interactions(inter, options.ties, options.seed, keep_rows)
    codes = given_split(engine, data.parts) if data.parts else None
    folder = Path(options.data_path) / options.dataset
    summary: dict[str, Any] = {
        "schema": _SCHEMA,
        "version": recbole_edt.__version__,
        "dataset": options.dataset,
        "reader": reader_name,
        "arguments": arguments,
        "inputs": [
            {"file": path.name, "sha256": sha256}
            for path, sha256 in zip(data.inputs, digests, strict=True)
        ],
        "notes": data.notes | notes | _note_of_sizes(data),
        "rules": rules.sentence(),
        "steps": [asdict(step) for step in steps],
        "tie_rule": _tie_rule(options),
        "counts": describe(data),
    }
    before, new_file = write_dataset(folder, options.dataset, data, summary)
    store = open_interactions(folder, options.dataset, new_file)
    if codes is not None:
        save_split(folder, options.dataset, FILES, codes, store)
    split = load_or_make_split(folder, options.dataset, options.split, store)
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
    folder = data_path / DEFAULT_DATASET
    suffixes = ("inter", "item", "yaml")
    if all((folder / f"{DEFAULT_DATASET}.{suffix}").is_file() for suffix in suffixes):
        return None
    return prepare_dataset("movielens", {"data_path": str(data_path)})


def _check_split_flags(options: argparse.Namespace) -> None:
    """Let files that are split already decide the split; refuse flags that say otherwise."""
    if options.split_given:
        raise UserError(
            f"split: found {options.split!r} with files that are split already; leave it out"
        )
    if options.ties == "shuffle":
        raise UserError(
            "ties: found 'shuffle' with files that are split already; expected 'file', their order"
        )
    options.split = FILES


def _check_domains(raw: RawData) -> None:
    codes, names = domain_codes(raw.items)
    used = raw.interactions().item_counts(len(raw.items)) > 0
    present = [names[code] for code in np.unique(codes[used])]
    if len(present) < 2:
        found = f"one domain '{present[0]}'" if present else "no domain"
        where = ", ".join(str(path) for path in raw.inputs)
        raise UserError(
            f"{where}: found {found}; expected at least two with interactions "
            f"(column '{fields.DOMAIN}' of the dataset)"
        )


def _note_of_sizes(kept: RawData) -> dict[str, int | str]:
    """Return a note on domains whose only item would always be ranked first: a run refuses them."""
    domains, names = domain_codes(kept.items)
    sizes = np.bincount(domains, minlength=len(names))
    small = [name for name, size in zip(names, sizes, strict=True) if size < 2]
    what = "domains of one item, at least two are needed to train"
    return {what: ", ".join(small)} if small else {}


def _tie_rule(options: argparse.Namespace) -> str:
    if options.ties == "shuffle":
        return f"ties are in one order drawn with seed {options.seed}"
    return "ties keep the order of the raw data"
