"""What the groups of keys have in common, and the types that several of them use."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from annotated_types import Ge, Gt, Lt
from pydantic import BaseModel, ConfigDict

from recbole_edt.config.rules import KeyRule, Label, checked_by, refuse
from recbole_edt.errors import UserError, nearest

Count = Annotated[int, Gt(0)]
"""A whole number of 1 or more."""
CountFromZero = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Probability = Annotated[float, Ge(0), Lt(1)]
"""Of dropout: 1 would leave nothing."""


def _name(value: Any) -> None:
    if not isinstance(value, str) or not value:
        found = "nothing" if value in (None, "") else repr(value)
        refuse(f"found {found}, expected text")


Name = Annotated[Any, checked_by(_name), Label("text")]
"""Text of at least one character; a number is none."""


def check_entries(value: Any, known: Sequence[str], example: str) -> None:
    """Refuse what is no mapping, and a mapping with other entries than some known ones."""
    if not isinstance(value, dict):
        refuse(f"found {value!r}, expected a mapping such as {example}")
    for name in value:
        if name not in known:
            refuse(f"{name!r}; expected some of {list(known)}{nearest(str(name), known)}")


class KeyGroup(BaseModel):
    """Keys of one subject; the first line of the docstring is its heading in docs/keys.md.

    Defaults are in the YAML files of ``properties/``. Most groups are only read for their rules; an
    instance holds the values of a configuration.
    """

    model_config = ConfigDict(use_attribute_docstrings=True, defer_build=True, frozen=True)
    per_phase: ClassVar[bool] = False
    """Whether each phase of a model may have its own value of every key of the group."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Take the keys of this group out of a configuration after a check of each.

        Raises
        ------
        UserError
            For a key that is missing or a value that breaks the key's rule; the message names the
            key.
        """
        values = {}
        for key, rule in cls.rules().items():
            if key not in config:
                raise UserError(f"{key}: missing from the configuration")
            rule.check(key, config[key])
            values[key] = config[key]
        return cls.model_construct(**values)

    @classmethod
    @cache
    def rules(cls) -> dict[str, KeyRule]:
        """Return the rule of each key."""
        heading = (cls.__doc__ or "").splitlines()[0].rstrip(".")
        rules = {}
        for key, declared in cls.model_fields.items():
            kind: Any = declared.annotation
            for one in declared.metadata:
                kind = Annotated[kind, one]
            why = " ".join((declared.description or "").split())
            rules[key] = KeyRule(kind, why, per_phase=cls.per_phase, group=heading)
        return rules
