"""Reader of RecBole's atomic datasets: one with a column of domains, or one per domain.

Separator and names of the fields are those of the ``NAME.yaml`` beside a dataset, unless flags name
others. Cells between tabs are taken literally, quotation marks included; cells between other
characters may be quoted.
"""

import argparse
import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from recbole_edt import fields
from recbole_edt.errors import UserError, one_line
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.csv_reader import FLAGS, inter_columns, separator_of
from recbole_edt.prepare.domain_files import files_by_domain, names_domains
from recbole_edt.prepare.item_table import ItemColumns
from recbole_edt.prepare.raw import RawData
from recbole_edt.prepare.reader import Flag, Reader
from recbole_edt.prepare.sources import Source, read_sources
from recbole_edt.prepare.split_files import PARTS, SplitFiles

_NAMES = {
    "user_col": ("USER_ID_FIELD", fields.USER),
    "item_col": ("ITEM_ID_FIELD", fields.ITEM),
    "time_col": ("TIME_FIELD", None),
    "rating_col": ("RATING_FIELD", None),
    "domain_col": ("DOMAIN_FIELD", fields.DOMAIN),
    "sep": ("field_separator", "tab"),
}
"""The key of RecBole that gives a flag's value when the flag is absent, and the last resort."""

_TYPES = ("token", "token_seq", "float", "float_seq")

_REUSED = tuple(
    Flag(flag.name, None, f"{flag.help.partition(' (default')[0]} (default: as in NAME.yaml)",
         flag.options)
    if flag.name in _NAMES
    else flag
    for flag in FLAGS
    if flag.name not in ("inter", *PARTS, "items", "quotes")
)  # fmt: skip
_FLAGS = (
    Flag(
        "sources", None,
        "a dataset per domain, or one dataset with a column of domains: DIR/NAME, with NAME.inter "
        "and NAME.item in it (required)",
        {"metavar": "DOMAIN=DIR/NAME,..."},
    ),
    *_REUSED,
)  # fmt: skip


def read(options: argparse.Namespace) -> RawData:
    """Read the datasets.

    Raises
    ------
    UserError
        For a missing or malformed file, and for what `prepare csv` refuses.
    """
    if options.sources is None:
        raise UserError("prepare atomic: --sources=DOMAIN=DIR/NAME,... is required")
    if names_domains(options.sources):
        folders: dict[str | None, Path] = dict(
            files_by_domain([options.sources], "sources").items()
        )
    else:
        folders = {None: Path(options.sources)}
    sources, left_out = [], []
    for domain, folder in folders.items():
        source, others = _open(folder, domain, options)
        sources.append(source)
        left_out += others
    data = read_sources(sources, options)
    if left_out:
        data.notes["files that are not read"] = ", ".join(left_out)
    return data


def _open(
    folder: Path, domain: str | None, options: argparse.Namespace
) -> tuple[Source, list[str]]:
    """Open the dataset ``DIR/NAME``; also return the names of its files that are not read."""
    stem = folder / folder.name if folder.is_dir() else folder
    files = {kind: stem.with_name(f"{stem.name}.{kind}") for kind in ("inter", "item", "yaml")}
    chosen, keys = _with_yaml(options, files["yaml"])
    separator = separator_of(chosen.sep)
    paths = _inter_paths(stem, keys, files["yaml"])
    tables = [AtomicFile(path, separator) for path in paths]
    inter = SplitFiles(tables) if len(tables) > 1 else tables[0]
    items = AtomicFile(files["item"], separator) if files["item"].is_file() else None
    if items is None and domain is None:
        raise UserError(
            f"{files['item']}: no such file; without it --sources=DOMAIN=DIR/NAME says of which "
            "domain the items are"
        )
    columns, positions = inter_columns(chosen, inter)
    extra = tuple(name.strip() for name in chosen.item_fields.split(",") if name.strip())
    title_needed = chosen.require_title or chosen.title_col != fields.TITLE
    item_columns = ItemColumns(
        chosen.item_col, chosen.domain_col, chosen.title_col, title_needed, extra
    )
    known = {path.name for path in (files["item"], files["yaml"], *paths)}
    others = sorted(
        path.name for path in stem.parent.glob(f"{stem.name}.*") if path.name not in known
    )
    return Source(domain, inter, items, columns, item_columns, positions), others


def _inter_paths(stem: Path, keys: Mapping[str, Any], yaml_path: Path) -> list[Path]:
    """Return ``NAME.inter``, or the three files of a split that RecBole calls a benchmark.

    Without the key ``benchmark_filename`` those are read where there is no ``NAME.inter``.
    """
    whole = stem.with_name(f"{stem.name}.inter")
    named = keys.get("benchmark_filename")
    if named is not None and (
        not isinstance(named, list) or len(named) != len(PARTS) or not all(map(str, named))
    ):
        raise UserError(
            f"{yaml_path}: benchmark_filename is {named!r}, expected a list of three names such "
            f"as {list(PARTS)}"
        )
    parts = [stem.with_name(f"{stem.name}.{part}.inter") for part in named or PARTS]
    if named is None and (whole.is_file() or not any(part.is_file() for part in parts)):
        if not whole.is_file():
            raise UserError(f"{whole}: no such file; expected DIR/NAME, the folder of NAME.inter")
        return [whole]
    for part in parts:
        if not part.is_file():
            raise UserError(f"{part}: no such file; expected the files of training, validation "
                            "and test of a dataset that is split already")  # fmt: skip
    return parts


def _with_yaml(
    options: argparse.Namespace, path: Path
) -> tuple[argparse.Namespace, Mapping[str, Any]]:
    """Return the options with names of fields from a dataset's own configuration, and its keys."""
    try:
        keys: Any = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({one_line(error, 200)})") from None
    keys = keys if isinstance(keys, dict) else {}
    chosen = copy.copy(options)
    for flag, (key, last) in _NAMES.items():
        by_flag = getattr(options, flag)
        wanted = flag not in ("time_col", "rating_col") or (
            options.position_col is None if flag == "time_col" else options.min_rating is not None
        )
        value = by_flag if by_flag is not None else (keys.get(key, last) if wanted else None)
        if value is not None and not isinstance(value, str):
            raise UserError(f"{path}: {key} is {value!r}, expected a text")
        setattr(chosen, flag, value)
    return chosen, keys


class AtomicFile(CsvFile):
    """A ``.inter`` or ``.item`` file; its columns are called without their types.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    separator : str
        One character.

    Raises
    ------
    UserError
        As `CsvFile`, and for a header whose columns are not of the form NAME:TYPE.
    """

    UNQUOTED = "; expected quotes around a whole cell, or none"

    def __init__(self, path: Path, separator: str) -> None:
        super().__init__(path, separator, quoted=separator != "\t")
        untyped = [name for name in self.columns if name.partition(":")[2] not in _TYPES]
        if untyped:
            raise UserError(
                f"{path}: line 1: found column {untyped[0][:60]!r}, expected NAME:TYPE, TYPE one "
                f"of {', '.join(_TYPES)} (--sep or field_separator in NAME.yaml names another "
                "separator than the tab; 'prepare csv' reads tables without types)"
            )
        self.columns = [column.partition(":")[0] for column in self.columns]


READER = Reader(
    "Reader of RecBole's atomic datasets: one with a column of domains, or one per domain.",
    _FLAGS,
    read,
)
