"""Dates, units of time and ratings of `prepare csv` and `prepare parquet`."""

import duckdb
import pytest
from small_tables import INTER, ITEMS

from recbole_edt.errors import UserError

RATED = "user_id,item_id,timestamp,rating\n1,a,10,5\n1,k,20,4\n1,b,30,1.5\n2,k,10,4\n2,a,20,3\n"


def with_times(*times: str) -> str:
    """Return three interactions of one user at these times, in this order."""
    rows = zip("abk", times, strict=True)
    return "user_id,item_id,timestamp\n" + "".join(f"1,{item},{time}\n" for item, time in rows)


@pytest.mark.parametrize(
    ("argv", "times", "seconds"),
    [
        ([], ("2024-01-31", "2024-01-30", "1969-12-31"), [-86400, 1706572800, 1706659200]),
        (
            [],
            ("2024-01-31T12:15:00+02:00", "2024-01-31 10:15:00Z", "2024-01-31 10:15:00.5"),
            [1706696100, 1706696100, 1706696100.5],
        ),
        (["--time_format=%d.%m.%Y %H:%M"], ("31.01.2024 10:15",) * 3, [1706696100] * 3),
        (["--time_format=%Y%m%d%H%M%S"], ("20231227101500",) * 3, [1703672100] * 3),
        (["--time_format=%Y%m%d%H%M%S%g"], ("20231227101500250",) * 3, [1703672100.25] * 3),
        (["--time_format=ms"], ("1706696100500", "1", "2"), [0.001, 0.002, 1706696100.5]),
        (["--time_format=us"], ("1706696100000000", "0", "0"), [0, 0, 1706696100]),
        (["--time_format=s"], ("20240101", "20240103", "20240102"), [20240101, 20240102, 20240103]),
    ],
)  # fmt: skip
def test_dates_and_units_become_seconds(prepare_csv, read, argv, times, seconds):
    prepare_csv(*argv, inter=with_times(*times))
    assert read("small.inter")["timestamp"].astype(float).tolist() == seconds


@pytest.mark.parametrize(
    ("argv", "times", "message"),
    [
        ([], ("2024-01-31", "2024-02-31", "2024-01-31"),
         "line 3: timestamp is '2024-02-31'; expected a date as in the first row"),
        ([], ("2024-01-31", "17", "2024-01-31"), "line 3: timestamp is '17'; expected a date"),
        ([], ("31/12/2023",) * 3, "line 2: timestamp is '31/12/2023'; .*--time_format=FORMAT"),
        ([], ("20231227101500",) * 3, "looks like a date; --time_format=%Y%m%d%H%M%S reads it"),
        ([], ("20231227101500250",) * 3, "a date; --time_format=%Y%m%d%H%M%S%g reads it"),
        ([], ("20231227101500250000",) * 3, "a date; --time_format=%Y%m%d%H%M%S%f reads it"),
        ([], ("202312271015",) * 3, "looks like a date; --time_format=%Y%m%d%H%M reads it"),
        ([], ("20231227",) * 3, "every row looks like a date; --time_format=%Y%m%d reads it"),
        ([], ("1706696100500",) * 3, "looks like milliseconds; --time_format=ms reads it"),
        ([], ("1706696100500000",) * 3, "looks like microseconds; --time_format=us reads it"),
        ([], ("1706696100500000000",) * 3, "looks like nanoseconds; --time_format=ns reads it"),
        (["--time_format=ms"], ("1706696100500000",) * 3, "looks like microseconds; --time_format"),
        (["--time_format=%d.%m.%Y"], ("1.1.2024", "2024", "1.1.2024"),
         "line 3: timestamp is '2024'; expected the format '%d.%m.%Y' of --time_format"),
        (["--time_format=%Q"], ("1",) * 3, "time_format: .*%Q"),
        (["--time_format=iso"], ("1",) * 3, "time_format: found 'iso'; expected one of s, ms, us"),
        (["--time_format=s", "--position_col=timestamp"], ("1",) * 3, "rows are ordered by pos"),
    ],
)  # fmt: skip
def test_other_times_are_refused_with_the_way_out(prepare_csv, nothing_left, argv, times, message):
    with pytest.raises(UserError, match=message) as caught:
        prepare_csv(*argv, inter=with_times(*times))
    assert "\n" not in str(caught.value)
    assert nothing_left()


def test_low_ratings_go_first_and_are_counted(prepare_csv, read):
    report = prepare_csv("--min_rating=3.5", "--min_item_inter=0", inter=RATED)
    assert read("small.inter")["item_id"].tolist() == ["a", "k", "k"]
    assert "2  rows dropped, rating below 3.5" in report
    stars = RATED.replace("rating", "stars").replace("2,a,20", "2,zzz,20")
    prepare_csv("--min_rating=3.5", "--rating_col=stars", inter=stars)  # the unknown item is gone


@pytest.mark.parametrize(
    ("argv", "inter", "message"),
    [
        (["--min_rating=3"], INTER, "no column 'rating'; .*--rating_col=NAME names another"),
        (["--min_rating=3"], RATED.replace("1.5", "good"), "line 4: rating is 'good'; expected a"),
        (["--min_rating=3"], RATED.replace("1.5", ""), "line 4: rating is ''; expected a number"),
        (["--min_rating=6"], RATED, "min_rating: no rating of .*inter.csv reaches 6"),
        (["--rating_col=rating"], RATED, "rating_col: is read for --min_rating=R, which is missin"),
    ],
)  # fmt: skip
def test_bad_ratings_end_in_one_line(prepare_csv, nothing_left, argv, inter, message):
    with pytest.raises(UserError, match=message):
        prepare_csv(*argv, inter=inter)
    assert nothing_left()


def test_parquet_has_ratings_as_numbers_and_types_of_time(prepare, read, tmp_path):
    (tmp_path / "items.csv").write_text(ITEMS)
    rows = (
        "SELECT 1 AS user_id, i AS item_id, 1.5::DOUBLE + r AS rating, "
        "make_timestamp(r * 1000000) AS timestamp FROM (VALUES ('a', 1), ('k', 2), ('b', 0)) t(i,r)"
    )
    with duckdb.connect() as db:
        db.execute(f"COPY ({rows}) TO '{tmp_path}/inter.parquet' (FORMAT parquet)").fetchall()
    argv = ("parquet", f"--inter={tmp_path}/inter.parquet", f"--items={tmp_path}/items.csv")
    prepare(*argv, "--dataset=pq", "--min_rating=2")
    assert read("pq.inter").to_numpy().tolist() == [["1", "a", "1"], ["1", "k", "2"]]
    with pytest.raises(UserError, match=r"time_format: column 'timestamp' .* is of type TIMESTAMP"):
        prepare(*argv, "--dataset=pq", "--time_format=ms")


def test_ratings_of_the_default_movielens(prepare, nothing_left):
    with pytest.raises(UserError, match=r"min_rating: another value .* needs a --dataset=NAME"):
        prepare("movielens", "--min_rating=4")
    assert nothing_left()
    report = prepare("movielens", "--min_rating=4", "--dataset=liked")
    assert "44,625  ratings below 4 dropped" in report
