"""Tables of the HTML report."""

from html import escape

from recbole_edt.compare.report import svg
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.writers import BEST, SECOND, Table, left_columns, one_line

_LONG = 28  # characters from which a field may wrap


def swatch(index: int) -> str:
    """Return a row's marker for legends and tables."""
    return (
        '<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true">'
        f"{svg.marker(6, 6, index)}</svg>"
    )


def html_table(
    table: Table,
    colours: dict[str, int] | None = None,
    significance: Significance | None = None,
    extra: tuple[str, list[str]] | None = None,
) -> str:
    """Return a table in a box that scrolls by itself.

    Parameters
    ----------
    table : Table
        Its texts are escaped here.
    colours : dict, optional
        By label: rows get their marker.
    significance : Significance, optional
        Its reference row is set in bold.
    extra : tuple, optional
        Name and, per row, the markup of one more column.
    """
    ours = significance.reference.label if significance and significance.reference else None
    left = left_columns(table)
    head = [_cell("th", escape(n), left[k], "") for k, n in enumerate(table.head)]
    if extra:
        head.append(_cell("th", extra[0], True, ""))
    lines = []
    for number, row in enumerate(table.rows):
        label = row[0].text
        cells = []
        for k, entry in enumerate(row):
            content = escape(one_line(entry.text))
            if k == 0 and colours and label in colours:
                content = f'<span class="row">{swatch(colours[label])}<span>{content}</span></span>'
            kind = {BEST: "best", SECOND: "second"}.get(entry.mark, "")
            if k and left[k] and len(entry.text) > _LONG:
                kind = "long"
            cells.append(_cell("td", content, left[k], kind))
        if extra:
            cells.append(_cell("td", extra[1][number], True, ""))
        lines.append(f"<tr{' class=ours' * (label == ours)}>{''.join(cells)}</tr>")
    notes = "".join(f'<p class="note">{escape(one_line(note))}</p>' for note in table.notes)
    return (
        f'<div class="block"><h3>{escape(one_line(table.title))}</h3>'
        '<div class="scroll" tabindex="0">'
        f'<table id="table-{escape(table.name)}"><thead><tr>{"".join(head)}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{notes}</div>"
    )


def _cell(tag: str, content: str, left: bool, kind: str) -> str:
    names = " ".join(name for name in ("word" if left else "", kind) if name)
    return f'<{tag} class="{names}">{content}</{tag}>' if names else f"<{tag}>{content}</{tag}>"
