"""A page to look at users, lists, artefacts and items of finished runs."""

from recbole_edt.recommend.explore.page import write_page

__all__ = ["write_page"]
