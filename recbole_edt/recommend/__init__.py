"""Recommendations of finished runs: one user on a page, all users in a file."""

from recbole_edt.recommend.all_users import write_all_users
from recbole_edt.recommend.scoring import TopItems, best_items, next_scores
from recbole_edt.recommend.user_page import refuse_different_data, show_user

__all__ = [
    "TopItems", "best_items", "next_scores", "refuse_different_data", "show_user",
    "write_all_users",
]  # fmt: skip
