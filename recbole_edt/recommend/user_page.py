"""One user on a page: what runs recommend, beside history, profiles and augmented items."""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor

from recbole_edt.errors import UserError, nearest
from recbole_edt.recommend.item_index import ItemIndex, shorten
from recbole_edt.recommend.scoring import best_items, history_rows, next_scores, rank_of
from recbole_edt.recommend.user_history import artefact_lines, history_lines
from recbole_edt.runs import LoadedRun

_COLUMN_WIDTH = 58


def show_user(
    runs: Sequence[LoadedRun], user: str, k: int, shown: int, item: str | None = None
) -> str:
    """Return what is known of a user and what each run recommends, per domain and overall.

    Parameters
    ----------
    runs : sequence of LoadedRun
        Runs on one dataset; their lists are side by side.
    user : str
        User id as in ``NAME.inter``.
    k, shown : int
        Recommendations in a list, interactions of the history.
    item : str, optional
        An item id as in ``NAME.item`` whose score and rank are reported too.

    Raises
    ------
    UserError
        When user or item is unknown; names the nearest id.
    """
    dataset = runs[0].dataset
    stem = f"{runs[0].config.dataset_dir}/{dataset.dataset_name}"
    numbers = dataset.field2token_id
    user_number = _number_of("user", user, numbers[dataset.uid_field], f"{stem}.inter")
    items, names = ItemIndex(runs[0]), run_labels(runs)
    is_new = runs[0].trained_on.item_counts() == 0
    item_number = None
    if item is not None:
        item_number = _number_of("item", item, numbers[dataset.iid_field], f"{stem}.item")
    scores = [next_scores(run, np.array([user_number]))[0] for run in runs]
    lines = [f"user {user} of {dataset.dataset_name}"]
    lines += [f"{run.record.model}: {run.folder.path}" for run in runs]
    lines += history_lines(dataset, items, user_number, shown)
    for run, label in zip(runs, names, strict=True):
        lines += artefact_lines(run, items, user, f" ({label})" if len(runs) > 1 else "")
    for number, domain in enumerate(dataset.domains):
        allowed = dataset.item_domain == number
        lists = [_recommended(items, is_new, row, k, allowed) for row in scores]
        lines += ["", f"next in {domain}", *_side_by_side(names, lists)]
    lists = [_recommended(items, is_new, row, k, None) for row in scores]
    lines += ["", "next, all domains together", *_side_by_side(names, lists)]
    if any("  new" in line for line in lines):
        lines += ["", "new: nobody has it in the training rows"]
    if item_number is not None:
        lines += ["", *_item_lines(runs, items, scores, item_number, user_number)]
    return "\n".join(lines)


def _number_of(kind: str, token: str, numbers: dict[str, int], file: str) -> int:
    """Return the number of a user or item id; refuse one that `file` does not have."""
    if token not in numbers or token == "[PAD]":
        known = [name for name in numbers if name != "[PAD]"]
        raise UserError(f"{kind}: {token!r} is not in {file}{nearest(token, known)}")
    return numbers[token]


def refuse_different_data(runs: Sequence[LoadedRun]) -> None:
    """Refuse runs whose lists cannot be side by side.

    Raises
    ------
    UserError
        Names two runs of different datasets, splits or domains.
    """
    first = runs[0]
    for run in runs[1:]:
        for what, one, other in (
            ("dataset", first.record.dataset, run.record.dataset),
            ("split", first.dataset.split.hash[:12], run.dataset.split.hash[:12]),
            ("domains", first.dataset.domains, run.dataset.domains),
            ("items", first.dataset.items_hash[:12], run.dataset.items_hash[:12]),
        ):
            if one != other:
                raise UserError(
                    f"run: {run.folder.path} is of {what} {other}, {first.folder.path} of {one}; "
                    "expected the same"
                )


def _recommended(
    items: ItemIndex, is_new: np.ndarray, scores: Tensor, k: int, allowed: Tensor | None
) -> list[str]:
    """Return a list of the best items; with the domain of each where all are allowed."""
    top = best_items(scores[None], k, allowed)
    lines = []
    for rank, number, score in zip(top.ranks, top.items, top.scores, strict=True):
        item, new = items.ids[number], "  new" if is_new[number] else ""
        domain = f"{items.domain_of(number)}  " if allowed is None else ""
        lines.append(f"{rank:3d}  {score:9.4f}  {item:>10}  {domain}{items.short_title(item)}{new}")
    return lines or ["  nothing left"]


def run_labels(runs: Sequence[LoadedRun]) -> list[str]:
    """Return the model of each run, with its folder's name where a model comes twice."""
    models = [run.record.model for run in runs]
    if len({*models}) == len(models):
        return models
    return [f"{run.record.model}/{run.folder.path.name}" for run in runs]


def _side_by_side(labels: Sequence[str], lists: Sequence[list[str]]) -> list[str]:
    if len(lists) == 1:
        return lists[0]
    columns = [[label, *lines] for label, lines in zip(labels, lists, strict=True)]
    return [
        " | ".join(f"{shorten(cell, _COLUMN_WIDTH):<{_COLUMN_WIDTH}}" for cell in row).rstrip()
        for row in zip_longest(*columns, fillvalue="")
    ]


def _item_lines(
    runs: Sequence[LoadedRun], items: ItemIndex, scores: Sequence[Tensor], number: int, user: int
) -> list[str]:
    """Return score and rank of one item in each run."""
    dataset, item, domain = runs[0].dataset, items.ids[number], items.domain_of(number)
    lines = [f"item {item}: {items.short_title(item)} ({domain})"]
    if number in dataset.flat[dataset.iid_field][history_rows(dataset, np.array([user]))]:
        return [*lines, "  in the user's history, so it is not recommended"]
    in_domain = dataset.item_domain == dataset.item_domain[number]
    for label, row in zip(run_labels(runs), scores, strict=True):
        rank, among = rank_of(row, number, in_domain)
        overall, among_all = rank_of(row, number, torch.ones_like(in_domain))
        lines.append(
            f"  {label}: score {float(row[number]):.4f}, rank {rank:,} of {among:,} in "
            f"{domain}, {overall:,} of {among_all:,} in all domains"
        )
    return lines
