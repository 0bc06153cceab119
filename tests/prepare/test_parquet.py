"""Interactions and items as Parquet files and folders."""

import duckdb
import pytest

from recbole_edt.errors import UserError

INTER = "VALUES (7::BIGINT, 'a', 30), (7, 'k', 10), (3, 'b', 20), (3, 'k', 25)"
ITEMS = "VALUES ('a', 'food', 'Apple'), ('b', 'food', NULL), ('k', 'kitchen', 'Knife')"


@pytest.fixture
def prepare_parquet(tmp_path, prepare):
    """Write two tables given in SQL and prepare them as dataset ``pq``."""

    def run(*argv, inter=f"SELECT * FROM ({INTER}) t(user_id, item_id, timestamp)", items=ITEMS):
        (tmp_path / "inter").mkdir(exist_ok=True)
        items = f"SELECT * FROM ({items}) t(item_id, domain, title)"
        sides = ((inter, "inter/part-0.parquet"), (items, "items.parquet"))
        with duckdb.connect() as db:
            for query, name in sides:
                db.execute(f"COPY ({query}) TO '{tmp_path / name}' (FORMAT parquet)").fetchall()
        files = (f"--inter={tmp_path}/inter", f"--items={tmp_path}/items.parquet")
        return prepare("parquet", *files, "--dataset=pq", *argv)

    return run


def test_a_folder_and_a_file(prepare_parquet, read):
    prepare_parquet()
    expected = [["3", "b", "20"], ["3", "k", "25"], ["7", "k", "10"], ["7", "a", "30"]]
    assert read("pq.inter").to_numpy().tolist() == expected
    assert read("pq.item")["title"].tolist() == ["Apple", "", "Knife"]


def test_timestamps_are_seconds(prepare_parquet, read):
    columns = "user_id, item_id, make_timestamp(second_ * 1000000) AS timestamp"
    prepare_parquet(inter=f"SELECT {columns} FROM ({INTER}) t(user_id, item_id, second_)")
    assert read("pq.inter")["timestamp"].tolist() == ["20", "25", "10", "30"]


@pytest.mark.parametrize(
    ("inter", "message"),
    [
        ("[user_id] AS user_id, item_id, timestamp", r"'user_id' is of type BIGINT\[\]; exp"),
        ("1.5::DOUBLE AS user_id, item_id, timestamp", "'user_id' is of type DOUBLE; expected"),
        ("user_id, item_id, {'a': 1} AS timestamp", "'timestamp' is of type STRUCT.*expected numb"),
        ("user_id, item_id, TRUE AS timestamp", "'timestamp' is of type BOOLEAN; expected"),
        ("user_id, item_id, timestamp AS time", r"no column 'timestamp'.*--time_col=NAME"),
        ("NULL::BIGINT AS user_id, item_id, timestamp", "inter: row 1: no 'user_id'"),
        ("user_id, 'z' AS item_id, timestamp", "inter: row 1: item 'z' is not in"),
    ],
)  # fmt: skip
def test_bad_tables_end_in_one_line(prepare_parquet, nothing_left, inter, message):
    query = f"SELECT {inter} FROM ({INTER}) t(user_id, item_id, timestamp)"
    with pytest.raises(UserError, match=message) as caught:
        prepare_parquet(inter=query)
    assert "\n" not in str(caught.value)
    assert nothing_left()


def test_damaged_and_missing_files(prepare_parquet, tmp_path):
    (tmp_path / "inter").mkdir()
    (tmp_path / "inter" / "part-1.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(UserError, match="inter: ") as caught:
        prepare_parquet()
    assert "\n" not in str(caught.value)
