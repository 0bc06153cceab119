"""Writing a dataset's files: ``NAME.inter``, ``NAME.item``, ``prepare.json``, ``NAME.yaml``."""

import csv
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from recbole_edt import fields
from recbole_edt.data.split import FILES
from recbole_edt.data.store import FileStamp, NewFile
from recbole_edt.errors import UserError
from recbole_edt.files import replacing, sha256_of, to_disk, write_json, write_text
from recbole_edt.prepare.engine import Engine, literal
from recbole_edt.prepare.raw import RawData
from recbole_edt.prepare.store_files import write_store

# RecBole reads its files with pandas, which takes these for missing values; [PAD] is RecBole's
_RESERVED = frozenset((
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "[PAD]",
))  # fmt: skip
# control characters and line ends, in the syntax that Python and DuckDB share
_BROKEN = "[\x01-\x1f\x7f\x85\u2028\u2029\\x00]"


def check_name(name: str) -> None:
    """Refuse a dataset name that is no plain file name.

    Raises
    ------
    UserError
        When `name` is not made of letters, digits, dots, dashes and underscores.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UserError(
            f"dataset: '{name}' cannot be a file name; expected letters, digits, '.', '-', '_'"
        )


def check_tokens(values: pd.Index, what: str) -> None:
    """Refuse ids that RecBole would not read back as they are.

    Raises
    ------
    UserError
        When a value means "missing" to RecBole's reader, starts with a quotation mark, which
        opens a quoted field there, or holds a tab or line break.
    """
    reserved = values[values.isin(_RESERVED)]
    if len(reserved):
        raise UserError(f"{what} '{reserved[0]}': RecBole reads this as missing; rename it")
    doubtful = values[values.str.contains(f'^"|{_BROKEN}', regex=True)]
    quoted = doubtful[doubtful.str.startswith('"')]
    if len(quoted):
        raise UserError(f"{what} {quoted[0]}: starts with a quotation mark; rename it")
    if len(doubtful):
        raise UserError(f"{what} {doubtful[0]!r}: holds a tab, line break or control character")


def dataset_config() -> dict[str, Any]:
    """Return the RecBole settings with which every prepared dataset is read."""
    return {
        "USER_ID_FIELD": fields.USER,
        "ITEM_ID_FIELD": fields.ITEM,
        "TIME_FIELD": fields.TIME,
        "DOMAIN_FIELD": fields.DOMAIN,
        "load_col": {
            "inter": [fields.USER, fields.ITEM, fields.TIME],
            "item": [fields.ITEM, fields.DOMAIN],
        },
    }


def write_dataset(
    folder: Path, name: str, data: RawData, summary: dict[str, Any]
) -> tuple[str, NewFile]:
    """Write the dataset's files, each whole or not at all, the configuration last.

    Every file is complete under a temporary name before the first one is renamed. A split of
    other interactions is removed; artefacts are left alone.

    Parameters
    ----------
    folder : pathlib.Path
        The dataset's own folder.
    name : str
        The dataset's name.
    data : RawData
        Filtered and sorted.
    summary : dict
        What goes to ``prepare.json``; the digests of the files are added.

    Returns
    -------
    split : str
        What became of the split that was there before: ``none``, ``kept`` or ``removed``.
    inter : NewFile
        What the store of the interactions is written from.

    Raises
    ------
    UserError
        When an id cannot be written such that RecBole reads it back, or the disk refuses.
    """
    engine = data.interactions().engine
    codes = data.items.index.astype(np.int32)
    engine.load("catalogue", pd.DataFrame({"id": data.items[fields.ITEM], "code": codes}))
    check_tokens(_doubtful_ids(engine, "users", "old"), "user")
    check_tokens(_doubtful_ids(engine, "catalogue", "rowid"), "item")
    check_tokens(pd.Index(data.items[fields.DOMAIN].unique()), "domain")
    inter_path, item_path = folder / f"{name}.inter", folder / f"{name}.item"
    new_folder = not folder.exists()
    try:
        with ExitStack() as stack:
            # contexts end in reverse order: the configuration is renamed last
            config, report, item, inter = (
                stack.enter_context(replacing(path))
                for path in (
                    folder / f"{name}.yaml",
                    folder / "prepare.json",
                    item_path,
                    inter_path,
                )
            )
            _write_inter(inter, engine)
            _write_items(item, data.items)
            with ThreadPoolExecutor() as pool:  # the disk works while the processor hashes
                on_disk = pool.submit(to_disk, inter)
                hashes = {path.name: sha256_of(file) for path, file in
                          ((inter_path, inter), (item_path, item))}  # fmt: skip
                on_disk.result()
            stamp = FileStamp.of(inter)
            write_json(report, summary | {"files": hashes})
            header = f"# How RecBole reads {name}; written by 'recbole-edt prepare'.\n"
            keys = dataset_config() | ({"split": FILES} if data.parts else {})
            write_text(config, header + yaml.safe_dump(keys, sort_keys=False))
            split = "none"
            if (folder / "split").exists():
                same = inter_path.exists() and sha256_of(inter_path) == hashes[inter_path.name]
                split = "kept" if same else "removed"
            if split == "removed":
                shutil.rmtree(folder / "split")
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror or error}") from None
    finally:
        if new_folder and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
    sha256 = hashes[inter_path.name]
    write = partial(write_store, engine, data.items, sha256)
    return split, NewFile(sha256, stamp, write)


def _doubtful_ids(engine: Engine, table: str, order: str) -> pd.Index:
    """Return the ids of a table that `check_tokens` may refuse, ordered by a column."""
    reserved = ", ".join(map(literal, sorted(_RESERVED)))
    found = engine.rows(
        f"SELECT id FROM {table} WHERE id IN ({reserved}) OR starts_with(id, '\"') "
        f"OR regexp_matches(id, {literal(_BROKEN)}) ORDER BY {order}"
    )
    return pd.Index([token for (token,) in found], dtype=object)


def _write_inter(path: Path, engine: Engine) -> None:
    whole = engine.row(
        f"SELECT bool_and(time = floor(time)) AND max(abs(time)) < {2**53} FROM sorted"
    )[0]
    time = "time::BIGINT" if whole else "time"
    # no id starts with a quotation mark or holds a tab: no quoting is needed, and readers
    # that split lines at tabs see the same values as those that parse quotes
    engine.run(
        f'COPY (SELECT users.id AS "{fields.USER}:token", catalogue.id AS "{fields.ITEM}:token", '
        f'{time} AS "{fields.TIME}:float" FROM sorted JOIN users ON sorted.user = users.code '
        "JOIN catalogue ON sorted.item = catalogue.code ORDER BY sorted.rowid) "
        f"TO {literal(path)} (FORMAT csv, DELIMITER '\t', QUOTE '', HEADER true)"
    )


def _write_items(path: Path, items: pd.DataFrame) -> None:
    tokens = (fields.ITEM, fields.DOMAIN)
    _write_table(
        path, items.rename(columns=lambda c: f"{c}:{'token' if c in tokens else 'token_seq'}")
    )


def _write_table(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(  # unquoted, as above
        path, sep="\t", index=False, encoding="utf-8", lineterminator="\n", quoting=csv.QUOTE_NONE
    )
