"""Interactions as RecBole reads them: views of the store, converted to tensors per batch."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import cached_property
from typing import Any

import numpy as np
import torch

from recbole_edt.recbole_bridge import Interaction


class Column:
    """One column of the store, read as a tensor of another type where it is indexed.

    Parameters
    ----------
    values : numpy.ndarray
        The stored values, [R]; read-only, pages shared by all processes.
    dtype : torch.dtype
        What models read: int64 for users and items, float32 for times.

    Attributes
    ----------
    values : numpy.ndarray
        The stored values.
    """

    def __init__(self, values: np.ndarray, dtype: torch.dtype):
        self.values, self.dtype = values, dtype
        self._converted = np.int64 if dtype == torch.int64 else np.float32

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> torch.Tensor:
        """Return the rows of an index of any shape: int, slice, array, tensor or list."""
        if isinstance(index, torch.Tensor):
            index = index.numpy()
        return torch.as_tensor(np.asarray(self.values[index]).astype(self._converted))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Column":
        return self  # it never changes; RecBole copies all interactions to shuffle them

    def tensor(self) -> torch.Tensor:
        """Return the whole column as a tensor, which is a copy."""
        return self[:]

    def numpy(self) -> np.ndarray:
        """Return the whole column as an array of the tensors' type, which is a copy.

        `values` costs nothing.
        """
        return self.tensor().numpy()


class FlatTable:
    """All interactions, sorted by user and time: fields of shape [R].

    Parameters
    ----------
    fields : mapping of str to Column or torch.Tensor
        Columns of the store, and tensors of further fields.
    """

    def __init__(self, fields: Mapping[str, "Column | torch.Tensor"]):
        self.fields = dict(fields)

    @property
    def columns(self) -> list[str]:
        """Names of the fields."""
        return list(self.fields)

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __contains__(self, field: str) -> bool:
        return field in self.fields

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def __getitem__(self, index: Any) -> Any:
        """Return a field by its name, or the rows of an index as an `Interaction`."""
        if isinstance(index, str):
            return self.fields[index]
        return Interaction({field: values[index] for field, values in self.fields.items()})


class Rows:
    """Rows of a flat table whose indices are made when they are first read.

    Models that train on windows never read those of the training part, 4 bytes an interaction.

    Parameters
    ----------
    count : int
        Number of rows.
    make : callable
        Returns the indices, int [count].
    """

    def __init__(self, count: int, make: Callable[[], np.ndarray]):
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def __deepcopy__(self, memo: dict[int, Any]) -> "Rows":
        return self  # never changed; what makes them would drag the dataset along

    @cached_property
    def indices(self) -> np.ndarray:
        """The indices, int [count]."""
        return self._make()


class _Tensors(MutableMapping[str, torch.Tensor]):
    """Fields of some rows as tensors, each made when it is asked for and not kept."""

    def __init__(self, flat: FlatTable, rows: Rows | None):
        self._flat, self._rows = flat, rows
        self._names = dict.fromkeys(flat)
        self.replaced: dict[str, torch.Tensor] = {}

    def __getitem__(self, field: str) -> torch.Tensor:
        if field not in self._names:
            raise KeyError(field)
        if field in self.replaced:
            return self.replaced[field]
        return self._flat[field][slice(None) if self._rows is None else self._rows.indices]

    def __setitem__(self, field: str, value: torch.Tensor) -> None:
        self._names[field] = None
        self.replaced[field] = value

    def __delitem__(self, field: str) -> None:
        del self._names[field]
        self.replaced.pop(field, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def gather(self, index: Any) -> dict[str, torch.Tensor]:
        """Return all fields of some of the rows."""
        rows = index if self._rows is None else self._rows.indices[index]
        replaced = self.replaced
        return {
            field: replaced[field][index] if field in replaced else self._flat[field][rows]
            for field in self._names
        }


class PartTable(Interaction):
    """Some rows of a flat table; holds their indices only.

    A field, as RecBole's samplers and models read it, is a tensor that is made on the spot.

    Parameters
    ----------
    flat : FlatTable
        All interactions.
    rows : Rows, optional
        The rows; all of them by default.
    """

    def __init__(self, flat: FlatTable, rows: Rows | None = None):
        self.interaction = _Tensors(flat, rows)
        self.length = len(flat) if rows is None else len(rows)

    def __getitem__(self, index: Any) -> Any:
        """Return a field by its name, or the rows of an index as an `Interaction`."""
        if isinstance(index, str):
            return self.interaction[index]
        if isinstance(index, torch.Tensor):
            index = index.numpy()
        return Interaction(self.interaction.gather(index))
