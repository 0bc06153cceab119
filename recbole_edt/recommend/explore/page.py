"""One self-contained page about many users of finished runs; it works from a file, offline."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from recbole_edt.errors import UserError
from recbole_edt.files import write_text
from recbole_edt.pages import environment, palette
from recbole_edt.recommend.explore.items import item_vectors, items_of_page, map_of, nearest_on_page
from recbole_edt.recommend.explore.lists import RunLists, lists_of
from recbole_edt.recommend.explore.packing import pack
from recbole_edt.recommend.explore.users import (
    artefacts_of,
    histories,
    proposed_items,
    users_of_page,
)
from recbole_edt.recommend.item_index import ItemIndex
from recbole_edt.recommend.scoring import history_rows
from recbole_edt.recommend.user_page import run_labels
from recbole_edt.runs import LoadedRun

_SCRIPTS = ("content", "find", "timeline", "lists", "map", "main")


def write_page(
    runs: Sequence[LoadedRun], path: Path, users: int, k: int, show_progress: bool
) -> str:
    """Write a page about many users and return a line that reports it.

    Parameters
    ----------
    runs : sequence of LoadedRun
        Runs on one dataset and split; their lists are side by side.
    path : pathlib.Path
        The file.
    users : int
        Users at most; of more, a random sample with the first run's seed.
    k : int
        Items in a list.
    show_progress : bool
        Progress bars, where the error stream is a terminal.

    Raises
    ------
    UserError
        When scores are not numbers, or the file cannot be written.
    """
    content = content_of(runs, users, k, show_progress)
    try:
        write_text(path, html_of(content))
    except OSError as error:
        raise UserError(f"output: {path} cannot be written ({error.strerror or error})") from None
    shown, items = len(content["users"]["ids"]), len(content["items"]["ids"])
    of_all = f" of {content['allUsers']:,}" if content["allUsers"] > shown else ""
    size = path.stat().st_size / 1e6
    return f"{shown:,}{of_all} users, {items:,} items, {len(runs)} runs: {path} ({size:.1f} MB)"


def html_of(content: dict[str, Any]) -> str:
    """Return the page of a content as `content_of` returns it."""
    made = environment("recbole_edt.recommend.explore")
    made.policies["json.dumps_kwargs"] = {
        "ensure_ascii": False, "separators": (",", ":"), "allow_nan": False,
    }  # fmt: skip
    style = made.get_template("explore.css.j2").render()
    functions = "\n".join(_source(f"{name}.js") for name in _SCRIPTS)
    script = f'(() => {{\n"use strict";\n{functions}}})();\n'
    return made.get_template("explore.html.j2").render(
        content=content,
        style=style,
        script=script,
        style_hash=_sha256(style),
        script_hash=_sha256(script),
    )


def _source(name: str) -> str:
    """Return a script of ``templates/``; it is no template."""
    folder = resources.files("recbole_edt.recommend.explore") / "templates"
    return folder.joinpath(name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    """Return a hash as a content security policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def content_of(
    runs: Sequence[LoadedRun], most_users: int, k: int, show_progress: bool
) -> dict[str, Any]:
    """Return everything that the page shows, as JSON-like values.

    Parameters are those of `write_page`.
    """
    dataset, labels = runs[0].dataset, run_labels(runs)
    users = users_of_page(dataset, most_users, runs[0].config["seed"])
    lists = [lists_of(run, users, k, show_progress) for run in runs]
    user_ids = dataset.field2id_token[dataset.uid_field][users].tolist()
    mentioned = [one for some in lists for one in (some.held_out, some.following)]
    mentioned.append(dataset.store.items[history_rows(dataset, users)])
    proposed = proposed_items(runs, user_ids)
    mentioned.append(dataset.field2token_id[dataset.iid_field].numbers(proposed))
    items = items_of_page(dataset.item_num, mentioned)
    number_on_page = np.zeros(dataset.item_num, np.int64)
    number_on_page[items] = np.arange(1, len(items) + 1)
    item_ids = dataset.field2id_token[dataset.iid_field][items].tolist()
    index_of = {item: index for index, item in enumerate(item_ids)}
    return {
        "dataset": dataset.dataset_name,
        "k": k,
        "colours": palette.ROW_COLOURS,
        "allUsers": int((np.diff(dataset.user_starts) > 0).sum()),
        "allItems": dataset.item_num - 1,
        "domains": list(dataset.domains),
        "runs": [
            _packed(run, label, some, number_on_page)
            for run, label, some in zip(runs, labels, lists, strict=True)
        ],
        "users": histories(dataset, users, number_on_page),
        "items": _item_table(runs[0], item_ids, items),
        "artefacts": artefacts_of(runs, labels, user_ids, index_of),
        **_geometry(runs, items),
    }


def _packed(
    run: LoadedRun, label: str, lists: RunLists, number_on_page: np.ndarray
) -> dict[str, Any]:
    """Return a run's lists; an item is one plus its index on the page, 0 where there is none."""
    record, metric = run.record, run.config["valid_metric"].lower()
    protocol = record.protocol
    among = "all items" if protocol.candidates == "all" else "items of the target's domain"
    if protocol.sampled is not None:
        among = f"{protocol.sampled} sampled {among}"
    return {
        "label": label,
        "folder": str(run.folder.path),
        "metric": metric,
        "value": record.test.overall.metrics.get(metric),
        "among": among,
        "heldOut": pack(number_on_page[lists.held_out]),
        "rank": pack(lists.rank),
        "candidates": pack(lists.candidates),
        "following": pack(number_on_page[lists.following]),
        "scores": pack(lists.scores),
    }


def _item_table(run: LoadedRun, ids: list[str], items: np.ndarray) -> dict[str, Any]:
    index = ItemIndex(run)
    return {
        "ids": ids,
        "titles": [title.strip() for title in index.titles[items]],
        "domain": pack(index.domains[items]),
        "counts": pack(run.dataset.item_counts()[items]),
    }


def _geometry(runs: Sequence[LoadedRun], items: np.ndarray) -> dict[str, Any]:
    """Return nearest items and the map, None where no run has vectors of items."""
    vectors = item_vectors(runs, items)
    if vectors is None:
        return {"vectors": None, "nearest": None, "map": None}
    near, cosines = nearest_on_page(vectors.values)
    return {
        "vectors": vectors.source,
        "nearest": {"items": pack(near), "cosines": pack(cosines), "count": near.shape[1]},
        "map": pack(map_of(vectors.values, runs[0].config["seed"])),
    }
