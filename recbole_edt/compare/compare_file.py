"""Compare files: rows, seeds and keys of a comparison in YAML."""

from pathlib import Path
from typing import Any

import yaml

from recbole_edt.compare.inputs import check_cell_keys, find_property_file, parse_trials
from recbole_edt.compare.plan import ComparisonRow
from recbole_edt.config import load_yaml
from recbole_edt.errors import UserError, nearest

_FILE_ENTRIES = ("rows", "seeds", "keys", "tune")
_ROW_ENTRIES = ("model", "tune", "search")


def read_compare_file(name: str) -> tuple[list[ComparisonRow], dict[str, Any]]:
    """Read a compare file.

    Parameters
    ----------
    name : str
        A path, or the name of a file in ``properties/compare/``.

    Returns
    -------
    tuple
        The rows, and the file's entries ``seeds``, ``keys`` and ``tune`` as far as given.

    Raises
    ------
    UserError
        Names the file and what is wrong in it: a label twice, an unknown entry.
    """
    path = find_property_file("compare", name, ".yaml")
    content = load_yaml(path)
    _refuse_duplicate_keys(path)
    for entry in content:
        if entry not in _FILE_ENTRIES:
            hint = nearest(str(entry), _FILE_ENTRIES)
            raise UserError(f"{path}: {entry!r}; expected some of {list(_FILE_ENTRIES)}{hint}")
    lines = content.get("rows")
    if not isinstance(lines, dict) or not lines:
        raise UserError(f"{path}: rows: expected lines 'label: {{model: NAME, key: value}}'")
    keys = content.get("keys") or {}
    if not isinstance(keys, dict):
        raise UserError(f"{path}: keys: found {keys!r}, expected lines 'key: value'")
    check_cell_keys(keys, f"{path}: ")
    rows = [_read_row(str(label), entry, f"{path}: {label}: ") for label, entry in lines.items()]
    return rows, {**content, "keys": keys}


def _read_row(label: str, entry: Any, where: str) -> ComparisonRow:
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
        raise UserError(f"{where}found {entry!r}, expected {{model: NAME, key: value}}")
    if not label.strip():
        raise UserError(f"{where}expected a label")
    keys = {key: value for key, value in entry.items() if key not in _ROW_ENTRIES}
    check_cell_keys(keys, where)
    search = entry.get("search")
    if search is not None and not isinstance(search, str):
        raise UserError(f"{where}search: found {search!r}, expected the name of a file")
    tune = parse_trials(entry["tune"], f"{where}tune") if "tune" in entry else None
    return ComparisonRow(label, entry["model"], keys, tune, search)


def _refuse_duplicate_keys(path: Path) -> None:
    """Refuse a key that a mapping holds twice; YAML would keep the last silently."""
    pending: list[Any] = [yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)]
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        if not isinstance(node, yaml.MappingNode):
            continue
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise UserError(f"{path}:{line}: {key.value!r} is given twice")
            seen.add(key.value)
            pending.append(value)
