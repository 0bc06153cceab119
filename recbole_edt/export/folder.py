"""The exported folder: graph, items, description, example; whole or not at all."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from recbole_edt import fields
from recbole_edt.errors import UserError, nearest
from recbole_edt.export.comparison import TOLERANCE, Comparison, compare_lists
from recbole_edt.export.graph import NextItems, cannot_export, next_items, refuse_others
from recbole_edt.export.numbering import Numbering
from recbole_edt.export.onnx_file import DOMAIN, HISTORY, ITEMS, SCORES, OnnxLists, write_onnx
from recbole_edt.export.scorers import HistoryScorer
from recbole_edt.files import sha256_of, to_disk, write_json, write_text
from recbole_edt.model.precision import FLOAT32
from recbole_edt.recommend import ItemIndex
from recbole_edt.requirements import EXPORT, check_export, version, versions
from recbole_edt.runs import LoadedRun

FORMAT = 1
"""Of ``config.json``; raised when a reader of an earlier one would go wrong."""

_MODEL, _ITEMS = "model.onnx", "items.csv"
_EXAMPLE_ITEMS = 3
_ROUNDING = (
    "\nThe run encodes histories in bfloat16; the graph, and the lists that it was compared with, "
    "do in float32."
)


def export_run(
    run: LoadedRun, output: Path, k: int = 10, domain: str | None = None, repeats: bool = False
) -> str:
    """Export a finished run for onnxruntime and return a line that reports it.

    Parameters
    ----------
    run : LoadedRun
        On the CPU.
    output : pathlib.Path
        The folder to make.
    k : int
        Items in a list.
    domain : str, optional
        Recommend items of this domain only; without it the domain is an input of the graph.
    repeats : bool
        Whether items of the history may be recommended.

    Raises
    ------
    UserError
        When packages are missing, the folder exists or cannot be made, the domain is unknown, the
        model cannot be exported, or the file gives other lists than ``recommend``.
    """
    check_export()
    refuse_existing(output)
    number = _domain_number(run, domain)
    refuse_others(run)
    module = next_items(run, number, k, repeats)
    with _making(output) as folder:
        _write_graph(run, module, folder / _MODEL)
        numbering = module.scorer.numbering
        compared = compare_lists(run, OnnxLists(folder / _MODEL), numbering, module.k, repeats)
        _write_items(run, numbering, folder / _ITEMS)
        write_json(folder / "config.json", _description(run, module, domain, compared, folder))
        write_text(folder / "README.md", _readme(run, module, domain, compared, numbering, folder))
        write_text(folder / "server.py", _template("server.py"))
    return (
        f"{compared.lists:,} lists of {compared.users} users are those of recommend (largest "
        f"difference of a score {compared.largest_difference:.1g})\nwritten to {output}"
    )


def refuse_existing(output: Path) -> None:
    """Refuse a folder that is there already."""
    if output.exists():
        raise UserError(f"output: {output} exists; expected a new folder (--output=FOLDER)")


def _domain_number(run: LoadedRun, domain: str | None) -> int | None:
    if domain is None:
        return None
    domains = run.dataset.domains
    if domain not in domains:
        raise UserError(
            f"domain: {domain!r} is not in {run.record.dataset}; expected one of "
            f"{', '.join(domains)}{nearest(domain, domains)}"
        )
    return domains.index(domain)


@contextmanager
def _making(output: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `output`; it gets that name if the block succeeds."""
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for path in temporary.iterdir():
            to_disk(path)
        temporary.rename(output)
    except OSError as error:
        raise UserError(f"output: {output} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_graph(run: LoadedRun, module: NextItems, path: Path) -> None:
    try:
        write_onnx(module, path)
    except Exception as error:
        if not isinstance(module.scorer, HistoryScorer):
            raise
        kind = type(error.__cause__ or error).__name__
        raise cannot_export(run, f"torch makes no graph of it ({kind})") from error


def _write_items(run: LoadedRun, numbering: Numbering, path: Path) -> None:
    """Write number, id, domain and title of each item, ordered by number."""
    items, real = ItemIndex(run), numbering.items.tolist()[1:]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("number", fields.ITEM, fields.DOMAIN, fields.TITLE))
        for number, item in enumerate(real, start=1):
            writer.writerow((number, items.ids[item], items.domain_of(item), items.titles[item]))


def _description(
    run: LoadedRun, module: NextItems, domain: str | None, compared: Comparison, folder: Path
) -> dict[str, Any]:
    record = run.record
    inputs = {HISTORY: {"type": "int64", "shape": ["batch", "length"], "padding": 0}}
    if module.takes_domain:
        inputs[DOMAIN] = {"type": "int64", "shape": ["batch"], "any": -1}
    return {
        "format": FORMAT,
        "model": record.model,
        "dataset": record.dataset,
        "run": run.folder.path.name,
        "seed": record.seed,
        "domain": domain,
        "domains": {name: number for number, name in enumerate(run.dataset.domains)},
        "k": module.k,
        "max_length": module.max_length,
        "items": run.dataset.item_num - 1,
        "inputs": inputs,
        "outputs": {
            ITEMS: {"type": "int64", "shape": ["batch", module.k], "none_left": 0},
            SCORES: {"type": "float32", "shape": ["batch", module.k], "none_left": "-inf"},
        },
        "repeats": module.repeats,
        "expert_weights": record.expert_weights,
        "compared": {**compared._asdict(), "tolerance": TOLERANCE},
        "data": record.protocol.data_hashes(),
        "artefacts": record.artefacts.hash if record.artefacts else None,
        "versions": {**versions(), **{name: version(name) for name in EXPORT}},
        "versions_of_training": record.versions,
        "sha256": {path.name: sha256_of(path) for path in sorted(folder.iterdir())},
    }


def _readme(
    run: LoadedRun,
    module: NextItems,
    domain: str | None,
    compared: Comparison,
    numbering: Numbering,
    folder: Path,
) -> str:
    dataset, record = run.dataset, run.record
    ids = dataset.field2id_token[dataset.iid_field][numbering.items[1 : 1 + _EXAMPLE_ITEMS].numpy()]
    weights = record.expert_weights
    listed = ", ".join(f"`{name}` {number}" for number, name in enumerate(dataset.domains))
    values = {
        "model": record.model,
        "dataset": record.dataset,
        "run": run.folder.path,
        "precision": ""
        if run.folder.read_settings().get("precision", FLOAT32) == FLOAT32
        else _ROUNDING,
        "flag": " --repeats" if module.repeats else "",
        "users": compared.users,
        "difference": f"{compared.largest_difference:.1g}",
        "expert": "The run has no content expert."
        if weights is None
        else "The run's content expert is part of the graph, with the weights "
        + ", ".join(f"{weight:g} ({name})" for name, weight in weights.items())
        + ".",
        "external": ", and `model.onnx.data`" if (folder / f"{_MODEL}.data").is_file() else "",
        "max_length": module.max_length,
        "history_use": "may recommend them again" if module.repeats else "recommends none of it",
        "k": module.k,
        "domain_input": "| `domain` (input) | int64 [batch] | number of the domain to recommend "
        f"from: {listed}; -1: any |\n"
        if domain is None
        else "",
        "scope": "" if domain is None else f" Only items of `{domain}` are recommended.",
        "example_python": ", ".join(map(repr, map(str, ids))),
        "example_json": ", ".join(json.dumps(str(item), ensure_ascii=False) for item in ids),
        "example_domain": domain or dataset.domains[0],
        "domain_example": '\n    "domain": np.array([-1], np.int64),' if domain is None else "",
    }
    return Template(_template("README.md")).substitute(
        {name: str(value) for name, value in values.items()}
    )


def _template(name: str) -> str:
    return (files("recbole_edt.export") / "templates" / name).read_text(encoding="utf-8")
