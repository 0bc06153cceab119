"""Recommendations of finished runs: of histories that nobody has seen, of users, on a page."""

from recbole_edt.recommend.all_users import write_all_users
from recbole_edt.recommend.recommender import RUN_KEYS, Recommender, load
from recbole_edt.recommend.scoring import TopItems, best_items, next_scores
from recbole_edt.recommend.user_page import refuse_different_data, show_user

__all__ = [
    "RUN_KEYS", "Recommender", "TopItems", "best_items", "load", "next_scores",
    "refuse_different_data", "show_user", "write_all_users",
]  # fmt: skip
