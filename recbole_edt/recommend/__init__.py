"""Recommendations of finished runs: of histories that nobody has seen, of users, on a page."""

from recbole_edt.recommend.export import write_all_users, write_recommendations
from recbole_edt.recommend.given_files import read_history_file, read_user_file
from recbole_edt.recommend.item_index import ItemIndex, shorten
from recbole_edt.recommend.recommender import Recommender, load
from recbole_edt.recommend.scoring import TopItems, best_items, next_scores
from recbole_edt.recommend.user_page import refuse_different_data, show_user

__all__ = [
    "ItemIndex", "Recommender", "TopItems", "best_items", "load", "next_scores",
    "read_history_file", "read_user_file", "refuse_different_data", "shorten", "show_user",
    "write_all_users", "write_recommendations",
]  # fmt: skip
