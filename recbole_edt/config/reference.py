"""The reference page of all keys, made from their rules and the YAML defaults.

``python -m recbole_edt.config.reference > docs/keys.md``
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from recbole_edt.config.layers import REPLACED, WITHOUT_EFFECT, package_defaults, recipe_layer
from recbole_edt.config.models import OWN, ModelSpec
from recbole_edt.config.rules import KeyRule
from recbole_edt.config.schema import GROUPS

_INTRO = """# Configuration keys

Made by `python -m recbole_edt.config.reference` from the rules in `recbole_edt/config/keys/` and
the defaults in `properties/`; edit those. How layers and flags work is in
[configuration.md](configuration.md).

A default without names is every model's, RecBole's own models included; with names it is theirs.
*(empty)* is null. Keys of RecBole that are not listed keep RecBole's meaning; a value must be of
the type of its default. `[paper]`, `[code]` and `[ours]` in the YAML files mark where a value is
from.
"""
_STOCK = "stock models"
_RECIPES = ("full", "paper")


def page() -> str:
    """Return the page as Markdown."""
    columns = _columns()
    parts = [_INTRO]
    for group in GROUPS:
        rules = group.rules()
        heading = next(iter(rules.values())).group
        rows = [_row(key, rule, columns) for key, rule in rules.items()]
        head = ("| key | value | default | why |", "|---|---|---|---|")
        parts.append("\n".join((f"## {heading}\n", *head, *rows)) + "\n")
        if group.per_phase:
            parts.append(_of_phases(columns, rules))
    parts.append(_refused())
    return "\n".join(parts)


def _columns() -> dict[str, Mapping[str, Any]]:
    """Return the defaults of each model, and of each recipe of a model that has recipes."""
    columns: dict[str, Mapping[str, Any]] = {_STOCK: package_defaults(ModelSpec(""), "")}
    for name, spec in OWN.items():
        defaults = package_defaults(spec, "")
        if "recipe" not in spec.keys:
            columns[name] = defaults
            continue
        for recipe in _RECIPES:
            columns[f"{name} ({recipe})"] = defaults | recipe_layer(recipe, spec, {})
    return columns


def _row(key: str, rule: KeyRule, columns: Mapping[str, Mapping[str, Any]]) -> str:
    cells = (f"`{key}`", _values(rule), _default(key, columns), rule.why)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _values(rule: KeyRule) -> str:
    words = ", ".join(f"`{choice}`" for choice in rule.choices) or rule.type_name
    limits = rule.limits and f" {rule.limits}"
    return f"{words}{limits}{' or empty' if rule.may_be_empty else ''}"


def _default(key: str, columns: Mapping[str, Mapping[str, Any]]) -> str:
    names: dict[str, list[str]] = {}
    for name, defaults in columns.items():
        if key in defaults:
            names.setdefault(_shown(defaults[key]), []).append(name)
    if not names:
        return f"by model ({_STOCK})"
    if len(names) == 1 and len(next(iter(names.values()))) == len(columns):
        return next(iter(names))
    return "<br>".join(f"{value}: {', '.join(_joined(some))}" for value, some in names.items())


def _joined(names: Sequence[str]) -> list[str]:
    """Return the names, with all recipes of a model as the model."""
    joined = []
    for name in names:
        model = name.split(" (")[0]
        whole = all(f"{model} ({recipe})" in names for recipe in _RECIPES)
        one = model if whole else name
        if one not in joined:
            joined.append(one)
    return joined


def _shown(value: Any) -> str:
    if value is None:
        return "*(empty)*"
    if isinstance(value, bool):
        return f"`{value}`"
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _of_phases(columns: Mapping[str, Mapping[str, Any]], keys: Collection[str]) -> str:
    first = "epochs" if "epochs" in keys else next(iter(keys))
    lines = [
        "Each phase of a model with several has these keys with its name in front, such as",
        f"`shared_{first}` and `domain_{first}` of LLMEDT; where one is not empty, it is used in",
        "place of the general key.\n",
    ]
    for name, spec in OWN.items():
        for key in (f"{phase}_{key}" for phase in spec.phases for key in keys):
            set_by = {
                column: defaults[key]
                for column, defaults in columns.items()
                if column.startswith(f"{name} ") and defaults[key] is not None
            }
            if set_by:
                values = ", ".join(f"{_shown(value)}: {where}" for where, value in set_by.items())
                lines.append(f"- `{key}` {values}")
    return "\n".join(lines) + "\n"


def _refused() -> str:
    lines = ["## RecBole's keys that are refused here\n", "| key | use instead |", "|---|---|"]
    refused = {**REPLACED, **WITHOUT_EFFECT}
    lines += [f"| `{key}` | {instead} |" for key, instead in refused.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
