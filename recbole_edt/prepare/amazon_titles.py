"""Titles of items in the metadata of an Amazon dump."""

import re
from pathlib import Path

from recbole_edt.errors import UserError
from recbole_edt.prepare.amazon_lines import parse_object
from recbole_edt.prepare.raw import strip_markup
from recbole_edt.prepare.source import open_source

# some titles of the release of 2018 are the script of a page
_PAGE_SCRIPT = "getTime"
_BEFORE = len('"parent_')


def read_titles(path: Path, items: set[str]) -> tuple[dict[str, str], int]:
    """Return the titles of some items that a metadata dump lists.

    Lines of other items are passed over unparsed. An item listed twice keeps its first title
    that is not empty.

    Returns
    -------
    titles : dict
        Title by item id, empty for an item listed without one.
    unformatted : int
        How many of them hold a page's script instead of a title, and are taken as empty.

    Raises
    ------
    UserError
        For a malformed line of one of the items.
    """
    titles: dict[str, str] = {}
    unformatted: set[str] = set()
    key_of_line = re.compile(rb"""["'](?:parent_)?asin["']\s*:\s*["']([^"']+)["']""")
    with open_source(path) as stream:
        for number, line in enumerate(stream, 1):
            # the key is often behind a thousand bytes without one, which `find` skips faster
            at = line.find(b"asin")
            match = None if at < 0 else key_of_line.search(line, max(at - _BEFORE, 0))
            if match and match[1].decode("utf-8", "replace") not in items:
                continue
            if not line.strip():
                continue
            row = parse_object(path, number, line)
            item = row.get("parent_asin", row.get("asin"))
            if item is None:
                raise UserError(f"{path}: line {number}: no key 'asin' or 'parent_asin'")
            if item not in items or titles.get(item):
                continue
            title = row.get("title")
            title = title if isinstance(title, str) else ""
            if _PAGE_SCRIPT in title:
                unformatted.add(item)
                title = ""
            titles[item] = strip_markup(title)
    return titles, sum(not titles[item] for item in unformatted)
