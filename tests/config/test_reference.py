from pathlib import Path

from recbole_edt.config.reference import page
from recbole_edt.config.schema import RULES

KEYS_PAGE = Path(__file__).parents[2] / "docs" / "keys.md"


def test_the_page_of_keys_is_up_to_date():
    """Otherwise: python -m recbole_edt.config.reference > docs/keys.md."""
    assert KEYS_PAGE.read_text(encoding="utf-8") == page()


def test_the_page_lists_every_key_once():
    rows = page().splitlines()
    for key in RULES:
        assert sum(row.startswith(f"| `{key}` |") for row in rows) == 1, key
