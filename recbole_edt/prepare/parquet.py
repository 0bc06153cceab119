"""Reader of two tables, interactions and items, as Parquet files or folders of them."""

from recbole_edt.prepare.csv_reader import READER as CSV
from recbole_edt.prepare.reader import Reader

READER = Reader(
    "Reader of two tables, interactions and items, as Parquet files or folders of them.",
    [flag for flag in CSV.flags if flag.name not in ("sep", "quotes")],
    CSV.read,
)
