"""Search spaces in RecBole's file format, and the points that a search takes from them.

A line is ``key kind values``, as RecBole's own ``.hyper`` files have it:

``key choice [a, b, c]``
    one of the values, written as YAML;
``key uniform a,b``
    a number between a and b;
``key loguniform a,b``
    exp of a number between a and b: the bounds are natural logarithms, as in RecBole;
``key quniform a,b,q``
    a multiple of q between a and b.

Empty lines and lines that begin with ``#`` are skipped.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_edt.config import parse_value
from recbole_edt.errors import UserError, nearest

_KINDS = {"choice": 1, "uniform": 2, "loguniform": 2, "quniform": 3}  # and how many values
_DIGITS = 6  # significant digits of a drawn number: run ids and tables stay readable


@dataclass(frozen=True)
class Dimension:
    """One line of a search space.

    Attributes
    ----------
    key, kind : str
        The configuration key and one of choice, uniform, loguniform, quniform.
    values : tuple
        The choices, or the bounds (and the step) as the file has them.
    """

    key: str
    kind: str
    values: tuple[Any, ...]

    @property
    def points(self) -> tuple[Any, ...] | None:
        """All values of a discrete dimension in order, None for a continuous one."""
        if self.kind == "choice":
            return self.values
        if self.kind != "quniform":
            return None
        low, high, step = self.values
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return tuple(_rounded(n * step, step) for n in range(first, last + 1))

    @property
    def bounds(self) -> tuple[Any, ...]:
        """Values that a configuration has to accept: all choices, or both ends."""
        if self.points is not None:
            return self.points if self.kind == "choice" else (self.points[0], self.points[-1])
        return self.at(0.0), self.at(1.0)

    def at(self, share: float) -> Any:
        """Return the value of a continuous dimension at a share of its range, in [0, 1]."""
        low, high = self.values
        value = low + (high - low) * share
        return _rounded(math.exp(value) if self.kind == "loguniform" else value)

    def __str__(self) -> str:
        values = f"[{', '.join(map(str, self.values))}]"
        return f"{self.kind} {values if self.kind == 'choice' else values[1:-1]}"


def _rounded(value: float, step: float = 0.5) -> Any:
    """Round to a few digits; multiples of a whole step are whole numbers."""
    return round(value) if step == int(step) else float(f"{value:.{_DIGITS}g}")


class SearchSpace:
    """A checked search space.

    Parameters
    ----------
    dimensions : sequence of Dimension
        At least one, each key once.
    source : str
        The file that they come from, for messages.
    """

    def __init__(self, dimensions: Sequence[Dimension], source: str):
        self.dimensions = list(dimensions)
        self.source = source

    @property
    def size(self) -> int | None:
        """The number of points, None for a space with a continuous dimension."""
        sizes = [dimension.points for dimension in self.dimensions]
        return None if None in sizes else math.prod(len(points or ()) for points in sizes)

    def describe(self) -> dict[str, str]:
        """Return ``{key: "kind values"}``."""
        return {dimension.key: str(dimension) for dimension in self.dimensions}

    def point(self, index: int) -> dict[str, Any]:
        """Return point number `index` of a discrete space; the last key changes fastest."""
        values = {}
        for dimension in reversed(self.dimensions):
            points = dimension.points or ()
            index, position = divmod(index, len(points))
            values[dimension.key] = points[position]
        return {dimension.key: values[dimension.key] for dimension in self.dimensions}

    def draw(self, seed: int) -> Iterator[dict[str, Any]]:
        """Yield different random points, the same ones for a seed, until there are no more."""
        rng, size = np.random.default_rng(seed), self.size
        seen: set[str] = set()
        while size is None or len(seen) < size:
            drawn = {}
            for dimension in self.dimensions:
                share, points = rng.random(), dimension.points
                drawn[dimension.key] = (
                    dimension.at(share) if points is None else points[int(share * len(points))]
                )
            if repr(drawn) not in seen:
                seen.add(repr(drawn))
                yield drawn


def read_search_space(path: Path) -> SearchSpace:
    """Read a search space.

    Raises
    ------
    UserError
        Names file and line: an unknown kind, a malformed value, a key twice, no line at all.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: no such search space") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file ({error})") from None
    dimensions: dict[str, Dimension] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        dimension = _read_line(line, f"{path}:{number}")
        if dimension.key in dimensions:
            raise UserError(f"{path}:{number}: {dimension.key} is given twice")
        dimensions[dimension.key] = dimension
    if not dimensions:
        raise UserError(f"{path}: holds no line such as 'learning_rate choice [0.01, 0.001]'")
    return SearchSpace(list(dimensions.values()), str(path))


def _read_line(line: str, where: str) -> Dimension:
    parts = line.split(maxsplit=2)
    if len(parts) < 3:
        raise UserError(f"{where}: found {line.strip()!r}, expected 'key kind values'")
    key, kind, text = parts
    if kind not in _KINDS:
        raise UserError(
            f"{where}: {kind!r} is unknown; expected one of {list(_KINDS)}{nearest(kind, _KINDS)}"
        )
    if kind == "choice":
        values = parse_value(text)
        if not isinstance(values, list) or not values:
            raise UserError(f"{where}: found {text!r}, expected a list such as [0.01, 0.001]")
        # RecBole's files quote lists and numbers: '[64, 64]'
        values = [parse_value(value) if isinstance(value, str) else value for value in values]
        if any(values.count(value) > 1 for value in values):
            raise UserError(f"{where}: {text} holds a value twice")
        return Dimension(key, kind, tuple(values))
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != _KINDS[kind] or not all(map(math.isfinite, numbers)):
        raise UserError(f"{where}: found {text!r}, expected {_KINDS[kind]} numbers as in '0.1,0.5'")
    if numbers[0] >= numbers[1] or (numbers[2:] and numbers[2] <= 0):
        raise UserError(f"{where}: found {text!r}, expected rising bounds and a step above 0")
    dimension = Dimension(key, kind, numbers)
    if dimension.points == ():
        raise UserError(f"{where}: no multiple of {numbers[2]:g} lies between the bounds")
    return dimension
