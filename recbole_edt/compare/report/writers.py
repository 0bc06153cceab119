"""A table as plain data, and its writers: text, Markdown and LaTeX."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from recbole_edt.compare.report.summary import BEST, SECOND

LEGEND = {BEST: "best", SECOND: "second best"}
_SIGNS = {BEST: "*", SECOND: "+", "": " "}


@dataclass(frozen=True)
class Entry:
    """One field of a table: its text and, for the best two, its mark."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table that any writer below can write.

    Attributes
    ----------
    name : str
        Short, for LaTeX labels and HTML ids.
    title : str
        One line.
    head : list of str
        Names of the columns; the first one is that of the rows.
    rows : list of list of Entry
        As many fields each as `head`.
    notes : list of str
        Lines below.
    """

    name: str
    title: str
    head: list[str]
    rows: list[list[Entry]]
    notes: list[str] = field(default_factory=list)


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def shorten(text: str, limit: int) -> str:
    """Return a text of at most `limit` columns, cut at the end with an ellipsis."""
    if width(text) <= limit:
        return text
    kept, used = "", 1
    for c in text:
        used += width(c)
        if used > limit:
            break
        kept += c
    return kept.rstrip() + "…"


def one_line(text: str) -> str:
    """Return a text without line breaks and other control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def as_text(table: Table, columns: int = 120, label: int = 32) -> str:
    """Return a table aligned for a terminal; what is wider than `columns` goes below itself."""
    lines = [[one_line(name) + " " for name in table.head]]
    for row in table.rows:
        last = len(row) - 1 if table.name == "unfinished" else -1  # reasons are not cut
        lines.append(
            [
                (one_line(e.text) if k == last else shorten(one_line(e.text), label))
                + _SIGNS[e.mark]
                for k, e in enumerate(row)
            ]
        )
    widths = [max(width(line[k]) for line in lines) for k in range(len(table.head))]
    blocks, used = [[0]], widths[0]
    for k in range(1, len(widths)):
        if used + 2 + widths[k] > columns and len(blocks[-1]) > 1:
            blocks.append([0])
            used = widths[0]
        blocks[-1].append(k)
        used += 2 + widths[k]
    left = left_columns(table)
    text = [table.title]
    for block in blocks:
        for line in lines:
            parts = [_pad(line[k], widths[k], left[k]) for k in block]
            text.append("  ".join(parts).rstrip())
    return "\n".join([*text, *table.notes])


def left_columns(table: Table) -> list[bool]:
    """Return which columns of a table hold words rather than numbers."""
    numeric = re.compile(r"[-+±.,%\d\s/]*(to [-+.\d]+|\(!\))?$")
    return [
        k == 0 or not all(numeric.match(row[k].text) for row in table.rows)
        for k in range(len(table.head))
    ]


def _pad(text: str, size: int, left: bool) -> str:
    gap = " " * (size - width(text))
    return text + gap if left else gap + text


def as_markdown(table: Table) -> str:
    """Return a table in Markdown: best in bold, second best underlined."""
    left = left_columns(table)
    lines = [f"### {_md(table.title)}", "", _md_line([_md(name) for name in table.head])]
    lines.append(_md_line([":---" if is_left else "---:" for is_left in left]))
    wrap: dict[str, Callable[[str], str]] = {
        BEST: "**{}**".format,
        SECOND: "<u>{}</u>".format,
        "": str,
    }
    lines += [_md_line([wrap[e.mark](_md(e.text)) for e in row]) for row in table.rows]
    return "\n".join([*lines, "", *(f"{_md(note)}  " for note in table.notes)]).rstrip() + "\n"


def _md(text: str) -> str:
    text = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_|\[\]#~])", r"\\\1", text)


def _md_line(parts: Sequence[str]) -> str:
    return "| " + " | ".join(parts) + " |"


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "|": r"\textbar{}",
    "…": r"\ldots{}",
}  # fmt: skip


def tex(text: str) -> str:
    """Return a text with the characters that LaTeX reserves written out."""
    return "".join(_TEX.get(c, c) for c in one_line(text))


def as_latex(table: Table) -> str:
    """Return a table for the booktabs package: best in bold, second best underlined."""
    wrap: dict[str, Callable[[str], str]] = {
        BEST: lambda text: rf"\textbf{{{text}}}",
        SECOND: lambda text: rf"\underline{{{text}}}",
        "": str,
    }
    align = "".join("l" if is_left else "r" for is_left in left_columns(table))
    caption = " ".join([f"{table.title}.", *table.notes])
    name = re.sub(r"\W+", "-", table.name)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(caption)}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(map(tex, table.head)) + r" \\",
        r"\midrule",
        *(" & ".join(wrap[e.mark](tex(e.text)) for e in row) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
