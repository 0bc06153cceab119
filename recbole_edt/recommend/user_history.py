"""What is known of a user: interactions with dates, profiles, augmented interactions."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.artefacts.store import ANCHOR, OVERALL, PROFILES, SCORE
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.recommend.item_index import ItemIndex
from recbole_edt.recommend.scoring import history_rows
from recbole_edt.runs import LoadedRun

_FIRST_YEAR = 1e8  # seconds; smaller numbers are no dates
_LATEST = 1e11  # year 5138; larger ones count milliseconds or less


def history_lines(
    dataset: CrossDomainDataset, items: ItemIndex, user: int, shown: int
) -> list[str]:
    """Return the user's `shown` latest interactions, the latest first."""
    rows = history_rows(dataset, np.array([user]))[::-1]
    times = dataset.flat[dataset.time_field]
    lines = ["", f"history, latest first ({len(rows):,} interactions)"]
    for row in rows[:shown]:
        number = int(dataset.flat[dataset.iid_field][row])
        item, date = items.ids[number], date_of(float(times[row]))
        lines.append(f"  {date}{item:>12}  {items.domain_of(number)}  {items.short_title(item)}")
    if len(rows) > shown:
        lines.append(f"  and {len(rows) - shown:,} earlier ones")
    return lines


def seconds_of(times: np.ndarray) -> np.ndarray:
    """Return times in seconds since 1970 from seconds or smaller units; NaN for what is no date.

    Parameters
    ----------
    times : numpy.ndarray
        Float [n].
    """
    seconds = np.where((times >= _FIRST_YEAR) & np.isfinite(times), times, np.nan)
    while (is_finer := seconds > _LATEST).any():  # milliseconds, or finer
        seconds = np.where(is_finer, seconds / 1000, seconds)
    return seconds


def date_of(timestamp: float) -> str:
    """Return the UTC date of a time in seconds or smaller units; empty for what is no date."""
    seconds = float(seconds_of(np.array([timestamp]))[0])
    return "" if np.isnan(seconds) else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def artefact_lines(run: LoadedRun, items: ItemIndex, user: str, suffix: str) -> list[str]:
    """Return the user's profiles and augmented interactions; none where the run read none."""
    artefacts, lines = run.artefacts, []
    if artefacts is None:
        return []
    if artefacts.has(PROFILES):
        texts = _of_user(artefacts.profile_texts(), user)
        lines += ["", f"profiles{suffix}"]
        columns = texts[fields.DOMAIN], texts["stage"], texts["group"], texts["text"]
        lines += [
            f"  {profile_name(domain, stage, group)}: {text}"
            for domain, stage, group, text in zip(*columns, strict=True)
        ] or ["  none"]
    augmented = artefacts.augmented()
    if augmented is not None:
        unused = "" if run.config["augment"] else ", not used by this run"
        lines += ["", f"augmented interactions{suffix}{unused}"]
        rows = _of_user(augmented, user)
        proposed = (rows[name] for name in (fields.ITEM, fields.DOMAIN, ANCHOR, SCORE))
        lines += [
            f"  {item:>12}  {domain}  {items.short_title(item)} "
            f"(behind {anchor} {items.short_title(anchor)}; score {score:.4g})"
            for item, domain, anchor, score in zip(*proposed, strict=True)
        ] or ["  none"]
    return lines


def profile_name(domain: str, stage: str, group: object) -> str:
    """Return what a profile's text is about: a domain, a group's part in one, or all of it."""
    if stage == OVERALL:
        return OVERALL
    return f"{domain}, group {group}" if stage else domain


def _of_user(frame: pd.DataFrame, user: str) -> pd.DataFrame:
    return frame[frame[fields.USER] == user]
