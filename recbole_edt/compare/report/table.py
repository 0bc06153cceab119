"""Tables as plain data, and as text for a terminal, as Markdown and as LaTeX."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tabulate import tabulate
from wcwidth import wcswidth, wcwidth

from recbole_edt.compare.report.summary import BEST, SECOND
from recbole_edt.compare.report.texts import one_line

_NUMBERS = re.compile(r"[-+±.,%\d\s/]*(to [-+.\d]+|\(!\))?$")
_WIDEST = 32  # columns of a terminal that a field takes
_SIGNS = {BEST: "*", SECOND: "+", "": " "}
_MARKDOWN = {BEST: "**{}**", SECOND: "<u>{}</u>", "": "{}"}
_LATEX = {BEST: r"\textbf{%s}", SECOND: r"\underline{%s}", "": "%s"}
_LATEX_CHARACTERS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "|": r"\textbar{}",
    "…": r"\ldots{}",
}  # fmt: skip


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


def shorten(text: str, limit: int) -> str:
    """Return a text of at most `limit` terminal columns, cut at the end with an ellipsis."""
    if wcswidth(text) <= limit:
        return text
    kept, used = "", 1
    for character in text:
        used += max(wcwidth(character), 0)
        if used > limit:
            break
        kept += character
    return kept.rstrip() + "…"


def as_text(table: Table, columns: int = 120) -> str:
    """Return a table aligned for a terminal of some columns; what is beyond them goes below it."""
    # long fields are cut, but not the reasons of unfinished cells
    keep = len(table.head) - 1 if table.name == "unfinished" else -1
    lines = [[one_line(name) + " " for name in table.head]]
    for row in table.rows:
        texts = [one_line(cell.text) for cell in row]
        shown = [text if k == keep else shorten(text, _WIDEST) for k, text in enumerate(texts)]
        lines.append([text + _SIGNS[cell.mark] for text, cell in zip(shown, row, strict=True)])
    widths = [max(wcswidth(line[k]) for line in lines) for k in range(len(table.head))]
    parts = [table.title]
    for block in _blocks(widths, columns):
        text = tabulate(
            [[line[k] for k in block] for line in lines],
            tablefmt="plain",
            disable_numparse=True,
            preserve_whitespace=True,
            colalign=["left" if table.is_text[k] else "right" for k in block],
        )
        parts += [line.rstrip() for line in text.split("\n")]
    return "\n".join([*parts, *table.notes])


def _blocks(widths: list[int], columns: int) -> list[list[int]]:
    """Return the columns of each part of a table; every part begins with the first column."""
    blocks, used = [[0]], widths[0]
    for k in range(1, len(widths)):
        if used + 2 + widths[k] > columns and len(blocks[-1]) > 1:
            blocks.append([0])
            used = widths[0]
        blocks[-1].append(k)
        used += 2 + widths[k]
    return blocks


def as_markdown(table: Table) -> str:
    """Return a table in Markdown: best in bold, second best underlined."""
    lines = [
        [_markdown(name) for name in table.head],
        [":---" if is_text else "---:" for is_text in table.is_text],
        *([_MARKDOWN[c.mark].format(_markdown(c.text)) for c in row] for row in table.rows),
    ]
    text = [f"### {_markdown(table.title)}", "", *(f"| {' | '.join(line)} |" for line in lines)]
    return "\n".join([*text, "", *(f"{_markdown(n)}  " for n in table.notes)]).rstrip() + "\n"


def _markdown(text: str) -> str:
    text = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_|\[\]#~])", r"\\\1", text)


def as_latex(table: Table) -> str:
    """Return a table for the booktabs package: best in bold, second best underlined."""
    align = "".join("l" if is_text else "r" for is_text in table.is_text)
    caption = " ".join([f"{table.title}.", *table.notes])
    name = re.sub(r"\W+", "-", table.name)
    rows = [[_LATEX[cell.mark] % _latex(cell.text) for cell in row] for row in table.rows]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(caption)}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(map(_latex, table.head)) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return "".join(_LATEX_CHARACTERS.get(c, c) for c in one_line(text))
