"""The rule of one configuration key, and the one line that refuses a value which breaks it.

A rule is a type as pydantic reads it, in strict mode: text is never read as a number, True is no
number, a whole number is one where any number may be. The value itself is never changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Union, get_args, get_origin

from pydantic import ConfigDict, PlainValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from recbole_edt.errors import UserError, nearest

_REFUSED = "refused"
_REQUIRED: Any = object()


@dataclass(frozen=True)
class Label:
    """What a type is called on the reference page."""

    text: str


@dataclass(frozen=True)
class Says:
    """Words of its own for a refused value, after ``KEY: VALUE``; empty for the usual ones."""

    wrong_type: str = ""
    out_of_range: str = ""


@dataclass(frozen=True)
class Expected:
    """What a value should be, in the words of its refusal, whatever is wrong with it."""

    text: str


def refuse(reason: str) -> NoReturn:
    """Refuse a value inside a check of one's own; `reason` follows ``KEY: ``."""
    raise PydanticCustomError(_REFUSED, "{reason}", {"reason": reason})


def checked_by(check: Callable[[Any], None]) -> PlainValidator:
    """Return the metadata of a type whose values a function looks at, and may `refuse`."""

    def returned(value: Any) -> Any:
        check(value)
        return value

    return PlainValidator(returned)


@dataclass(frozen=True)
class KeyRule:
    """What a configuration key may hold, and why it is there.

    Attributes
    ----------
    kind : type
        A type as pydantic reads it, with its range: ``Annotated[float, Gt(0)]``.
    why : str
        One line for the user.
    default : any, optional
        Only for a model of another package; the defaults of this package are in its YAML files.
    per_phase : bool
        Whether each phase of a model may have a key of its own, ``PHASE_KEY``.
    group : str
        Heading on the reference page.
    """

    kind: Any
    why: str
    default: Any = field(default=_REQUIRED, compare=False)
    per_phase: bool = False
    group: str = ""

    @property
    def has_default(self) -> bool:
        """Whether the declaration itself gives a default."""
        return self.default is not _REQUIRED

    def with_default(self, default: Any) -> "KeyRule":
        """Return the same rule with a default, for a model of another package."""
        return replace(self, default=default)

    def or_none(self) -> "KeyRule":
        """Return the same rule for a key that may be left empty."""
        return self if self._parts.nullable else replace(self, kind=self.kind | None)

    def check(self, key: str, value: Any) -> None:
        """Refuse a value.

        Raises
        ------
        UserError
            Names the key, what was found and what was expected.
        """
        try:
            self._adapter.validate_python(value)
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            raise UserError(f"{key}: {self._reason(value, detail)}") from None

    def accepts(self, value: Any) -> bool:
        """Return whether a value keeps the rule."""
        try:
            self.check("", value)
        except UserError:
            return False
        return True

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.kind, config=ConfigDict(strict=True))

    @cached_property
    def _parts(self) -> "_Parts":
        kind, nullable, metadata = self.kind, False, ()
        if get_origin(kind) in (Union, UnionType):
            nullable = NoneType in get_args(kind)
            others = [one for one in get_args(kind) if one is not NoneType]
            kind = others[0] if len(others) == 1 else kind
        if get_origin(kind) is Annotated:
            kind, metadata = kind.__origin__, kind.__metadata__
        return _Parts(kind, metadata, nullable)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values to choose from; empty when there is no list of them."""
        kind = self._parts.kind
        return get_args(kind) if get_origin(kind) is Literal else ()

    @property
    def type_name(self) -> str:
        """The type in words."""
        kind, metadata, _ = self._parts
        labels = [one.text for one in metadata if isinstance(one, Label)]
        if labels:
            return labels[0]
        return "text" if self.choices else _TYPES.get(get_origin(kind) or kind, "")

    @property
    def is_text(self) -> bool:
        """Whether any text is a value, so that 007 and 2024_11_28 stay as they are written."""
        return self.type_name == "text" and not self.choices

    @property
    def may_be_empty(self) -> bool:
        """Whether null is a value."""
        return self._parts.nullable

    @property
    def limits(self) -> str:
        """The range of a number in words; empty without one."""
        bounds = {
            name: getattr(one, name)
            for one in self._parts.metadata
            for name in ("gt", "ge", "lt", "le")
            if hasattr(one, name)
        }
        return _LIMITS.get(tuple(bounds), "").format(*(f"{bound:g}" for bound in bounds.values()))

    def _reason(self, value: Any, detail: Mapping[str, Any]) -> str:
        if detail["type"] == _REFUSED:
            return str(detail["ctx"]["reason"])
        for one in self._parts.metadata:
            if isinstance(one, Expected):
                return f"found {value!r}, expected {one.text}"
        says = next((one for one in self._parts.metadata if isinstance(one, Says)), Says())
        if self.choices and type(value) in (str, int, float):
            hint = nearest(str(value), self.choices)
            if says.out_of_range:
                return f"{value!r} {says.out_of_range} {', '.join(self.choices)}{hint}"
            return f"found {value!r}, expected one of {list(self.choices)}{hint}"
        if detail["type"].endswith("_type") or self.choices:
            words, expected = says.wrong_type, self.type_name
        else:
            words, expected = says.out_of_range, self.limits and f"a value {self.limits}"
        if words:
            return f"{value!r} {words}"
        # the rule of another package may be of any type that pydantic knows
        return f"found {value!r}, " + (f"expected {expected}" if expected else detail["msg"])


class _Parts(NamedTuple):
    """The bare type, its metadata, and whether null is a value."""

    kind: Any
    metadata: tuple[Any, ...]
    nullable: bool


_TYPES = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "a mapping",
    list: "a list",
}
_LIMITS = {
    ("gt",): "> {}",
    ("ge",): ">= {}",
    ("gt", "lt"): "between {} and {}",
    ("ge", "lt"): "from {} to below {}",
    ("ge", "le"): "from {} to {}",
}


def rule_of_default(default: Any) -> KeyRule:
    """Return the rule of a key that only RecBole explains: values are of its default's type."""
    return _OF_DEFAULTS.get(type(default), _ANYTHING)


def check_text(value: Any) -> None:
    """Refuse what is no text; a number is text as well, since a folder may look like one."""
    if type(value) not in (str, int, float):
        refuse(f"found {value!r}, expected text")


Text = Annotated[Any, checked_by(check_text), Label("text")]
Anything = Annotated[Any, Label("any")]
_ANYTHING = KeyRule(Anything, "See RecBole's documentation.")
_OF_DEFAULTS = {
    kind: KeyRule(one, _ANYTHING.why)
    for kind, one in ((bool, bool), (int, int), (float, float), (str, Text), (dict, dict | None))
}
