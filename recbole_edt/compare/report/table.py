"""A table as plain data, which `recbole_edt.compare.report.formats` and the page write."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_NUMBERS = re.compile(r"[-+±.,%\d\s/]*(to [-+.\d]+|\(!\))?$")


@dataclass(frozen=True)
class TableCell:
    """One field of a table: its text and, for the best two, its mark."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table for any format.

    Attributes
    ----------
    name : str
        Short, for LaTeX labels and HTML ids.
    title : str
        One line.
    head : list of str
        Names of the columns; the first one is that of the rows.
    rows : list of list of TableCell
        As many fields each as `head`.
    notes : list of str
        Lines below.
    """

    name: str
    title: str
    head: list[str]
    rows: list[list[TableCell]]
    notes: list[str] = field(default_factory=list)

    @property
    def is_text(self) -> list[bool]:
        """Whether each column holds words, which are aligned left, or numbers."""
        return [
            k == 0 or not all(_NUMBERS.match(row[k].text) for row in self.rows)
            for k in range(len(self.head))
        ]


def text_rows(lines: Iterable[Iterable[str]]) -> list[list[TableCell]]:
    """Return rows of fields without marks."""
    return [[TableCell(text) for text in line] for line in lines]
