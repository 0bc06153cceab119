"""The text that `prepare` shows, made from the content of ``prepare.json``."""

from typing import Any

import numpy as np


def render(summary: dict[str, Any], folder: str) -> str:
    """Return the report of one preparation as lines of text.

    Parameters
    ----------
    summary : dict
        What `prepare_dataset` writes to ``prepare.json``, with the state of the split.
    folder : str
        Where the dataset is.
    """
    counts = summary["counts"]
    lines = [f"{summary['dataset']} -> {folder} (reader {summary['reader']})", "read"]
    lines += [f"  {_value(value):>12}  {name}" for name, value in summary["notes"].items()]
    lines += [f"kept: {summary['rules']}", "dropped"]
    lines += [
        f"  {_value(step['users']):>9} users {_value(step['items']):>9} items "
        f"{_value(step['interactions']):>11} interactions  {step['rule']}"
        for step in summary["steps"]
    ] or ["  nothing, no rule asks for it"]
    lines.append("prepared")
    names = ("users", "items", "interactions", "items_without_interactions", "untitled_items")
    lines += [f"  {_value(counts[name]):>12}  {name.replace('_', ' ')}" for name in names]
    width = max(len(name) for name in counts["domains"])
    lines += [
        f"  domain {name:<{width}}  {domain['items']:,} items, {domain['interactions']:,} "
        f"interactions ({domain['share']:.1%}), {domain['users']:,} users"
        for name, domain in counts["domains"].items()
    ]
    for name, users in counts["dominated_users"].items():
        lines.append(f"  users {name} in one domain: {_of(users, counts['users'])}")
    lines.append(
        f"  users in one domain only: {_of(counts['one_domain_users'], counts['users'])} (kept)"
    )
    length = counts["length"]
    lines.append(f"  sequence length: {length['min']} to {length['max']}, mean {length['mean']}")
    lines.append(f"  order: {_order(counts)}")
    lines.append(
        f"  equal neighbours in time: {counts['tied_share']:.1%} of neighbouring rows; "
        f"{summary['tie_rule']}"
    )
    split = summary["split"]
    rows = ", ".join(f"{size:,} {part}" for part, size in split["counts"].items() if size)
    lines.append(f"split {split['kind']}: {rows}; hash {split['hash'][:12]}")
    if split["before"] == "removed":
        lines.append("  the split of the interactions that were here before is removed")
    return "\n".join(lines)


def _value(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _of(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.1%})"


def _order(counts: dict[str, Any]) -> str:
    first, last = counts["span"]
    if counts["order"] == "positions":
        return f"positions {first:g} to {last:g}, no times"
    # numpy dates reach any year: milliseconds taken for seconds show as one
    days = [np.datetime64(int(second), "s").astype("datetime64[D]") for second in (first, last)]
    return f"seconds, {days[0]} to {days[1]}"
