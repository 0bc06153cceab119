"""Links from docs to files of the repository outside this folder, which the site does not have."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+(?!docs/)[^)#]*)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace a link that leaves the folder by its text."""
    depth = page.file.src_uri.count("/")

    def text_only(link: re.Match[str]) -> str:
        leaves = link[2].count("../") > depth
        return link[1] if leaves else link[0]

    return _OUTSIDE.sub(text_only, markdown)
