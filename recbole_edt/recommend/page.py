"""One user on a page: what runs recommend, beside history, profiles and augmented items."""

from collections.abc import Sequence
from datetime import datetime, timezone

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbole_edt import fields
from recbole_edt.artefacts.store import ANCHOR, AUGMENT, PROFILES, SCORE
from recbole_edt.errors import UserError, nearest
from recbole_edt.recommend.scoring import best, history, next_scores, rank_of
from recbole_edt.runs.finished import FinishedRun

_TITLE = 60
_COLUMN = 58
_FIRST_YEAR = 1e8  # seconds; smaller numbers are no dates
_LATEST = 1e11  # year 5138; larger ones count milliseconds or less


def show_user(
    runs: Sequence[FinishedRun], user: str, k: int, shown: int, item: str | None = None
) -> str:
    """Return what is known of a user and what each run recommends, per domain and overall.

    Parameters
    ----------
    runs : sequence of FinishedRun
        Runs on one dataset; their lists stand side by side.
    user : str
        User id as in ``NAME.inter``.
    k, shown : int
        Recommendations in a list, interactions of the history.
    item : str, optional
        An item id as in ``NAME.item`` whose score and rank are told too.

    Raises
    ------
    UserError
        When user or item is unknown; names the nearest id.
    """
    part = runs[0].part
    files = f"{runs[0].config.dataset_dir}/{part.dataset_name}"
    number = _known("user", user, part.field2token_id[part.uid_field], f"{files}.inter")
    chosen = None
    if item is not None:
        chosen = _known("item", item, part.field2token_id[part.iid_field], f"{files}.item")
    names = _Names(runs[0])
    scores = [next_scores(run, np.array([number]))[0] for run in runs]
    lines = [f"user {user} of {part.dataset_name}"]
    lines += [f"{run.name}: {run.folder}" for run in runs]
    lines += _history(names, number, shown)
    for run, label in zip(runs, _labels(runs), strict=True):
        lines += _artefact_lines(run, names, user, f" ({label})" if len(runs) > 1 else "")
    for title, allowed in _scopes(part):
        lines += ["", f"next in {title}" if title else "next, all domains together"]
        lists = [_list(names, row, k, allowed, with_domain=not title) for row in scores]
        lines += _side_by_side(_labels(runs), lists)
    if any("  new" in line for line in lines):
        lines += ["", "new: nobody has it in the training rows"]
    if chosen is not None:
        lines += ["", *_item_lines(runs, names, scores, chosen, number)]
    return "\n".join(lines)


class _Names:
    """Ids, titles and domains of the items, by number."""

    def __init__(self, run: FinishedRun):
        self.part = run.part
        columns = run.catalogue.columns
        titles = columns.get(fields.TITLE, [""] * len(run.catalogue.ids))
        self.by_id = dict(zip(run.catalogue.ids, titles, strict=True))
        self.ids = run.part.field2id_token[run.part.iid_field]
        self.counts = run.part.item_counts()

    def title(self, item: str) -> str:
        return _cut(self.by_id.get(item, "").strip() or "(no title)", _TITLE)

    def domain(self, number: int) -> str:
        return self.part.domains[int(self.part.item_domain[number])]


def _known(what: str, wanted: str, known: dict[str, int], where: str) -> int:
    if wanted not in known or wanted == "[PAD]":
        ids = [token for token in known if token != "[PAD]"]
        raise UserError(f"{what}: {wanted!r} is not in {where}{nearest(wanted, ids)}")
    return known[wanted]


def _scopes(part: object) -> list[tuple[str, Tensor | None]]:
    domains, of_item = part.domains, part.item_domain  # type: ignore[attr-defined]
    return [*((name, of_item == k) for k, name in enumerate(domains)), ("", None)]


def _history(names: _Names, user: int, shown: int) -> list[str]:
    part = names.part
    rows = history(part, user)[::-1]
    times = part.flat[part.time_field].numpy()
    lines = ["", f"history, latest first ({len(rows):,} interactions)"]
    for row in rows[:shown]:
        item = int(part.flat[part.iid_field][row])
        title = names.title(names.ids[item])
        lines.append(f"  {_date(times[row])}{names.ids[item]:>12}  {names.domain(item)}  {title}")
    if len(rows) > shown:
        lines.append(f"  and {len(rows) - shown:,} earlier ones")
    return lines


def _date(seconds: float) -> str:
    if not _FIRST_YEAR <= seconds < float("inf"):
        return ""
    while seconds > _LATEST:  # milliseconds, or finer
        seconds /= 1000
    return datetime.fromtimestamp(float(seconds), timezone.utc).strftime("%Y-%m-%d")


def _artefact_lines(run: FinishedRun, names: _Names, user: str, label: str) -> list[str]:
    lines: list[str] = []
    found = run.artefacts
    if found is None:
        return lines
    if found.has(PROFILES):
        texts = _of_user(found.profile_texts(), user)
        lines += ["", f"profiles{label}"]
        rows = zip(texts[fields.DOMAIN], texts["text"], strict=True)
        lines += [f"  {domain}: {text}" for domain, text in rows] or ["  none"]
    if found.has(AUGMENT):
        frame = found.augmented()
        rows = _of_user(frame, user) if frame is not None else pd.DataFrame()
        used = "" if run.config["augment"] else ", not used by this run"
        lines += ["", f"augmented interactions{label}{used}"]
        lines += [
            f"  {row[fields.ITEM]:>12}  {row[fields.DOMAIN]}  {names.title(row[fields.ITEM])} "
            f"(behind {row[ANCHOR]} {names.title(row[ANCHOR])}; score {row[SCORE]:.4g})"
            for _, row in rows.iterrows()
        ] or ["  none"]
    return lines


def _of_user(frame: pd.DataFrame, user: str) -> pd.DataFrame:
    return frame[frame[fields.USER] == user]


def _list(
    names: _Names, scores: Tensor, k: int, allowed: Tensor | None, with_domain: bool
) -> list[str]:
    top = best(scores[None], k, allowed)
    lines = []
    for rank, item, score in zip(top.ranks, top.items, top.scores, strict=True):
        new = "" if names.counts[item] else "  new"
        domain = f"{names.domain(int(item))}  " if with_domain else ""
        ident = names.ids[item]
        lines.append(f"{rank:3d}  {score:9.4f}  {ident:>10}  {domain}{names.title(ident)}{new}")
    return lines or ["  nothing left"]


def _labels(runs: Sequence[FinishedRun]) -> list[str]:
    names = [run.name for run in runs]
    if len({*names}) == len(names):
        return names
    return [f"{run.name}/{run.folder.name}" for run in runs]


def _side_by_side(labels: Sequence[str], lists: Sequence[list[str]]) -> list[str]:
    if len(lists) == 1:
        return lists[0]
    columns = [[label, *lines] for label, lines in zip(labels, lists, strict=True)]
    height = max(map(len, columns))
    filled = [column + [""] * (height - len(column)) for column in columns]
    return [
        " | ".join(f"{_cut(cell, _COLUMN):<{_COLUMN}}" for cell in row).rstrip()
        for row in zip(*filled, strict=True)
    ]


def _item_lines(
    runs: Sequence[FinishedRun],
    names: _Names,
    scores: Sequence[Tensor],
    item: int,
    user: int,
) -> list[str]:
    part, ident = names.part, names.ids[item]
    lines = [f"item {ident}: {names.title(ident)} ({names.domain(item)})"]
    if item in part.flat[part.iid_field][history(part, user)]:
        return [*lines, "  in the user's history, so it is not recommended"]
    everything = torch.ones(part.item_num, dtype=torch.bool)
    for label, row in zip(_labels(runs), scores, strict=True):
        inside = rank_of(row, item, part.item_domain == part.item_domain[item])
        overall = rank_of(row, item, everything)
        lines.append(
            f"  {label}: score {float(row[item]):.4f}, rank {inside[0]:,} of {inside[1]:,} in "
            f"{names.domain(item)}, {overall[0]:,} of {overall[1]:,} in all domains"
        )
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."
