"""The layout of the Netflix Prize data, in small files."""

import pytest

from recbole_edt.errors import UserError

TITLES = (
    "1,2003,Dinosaur Planet\n2,2004,Isle of Man, The Movie\n3,1997,Caf\xe9: Season 2\n"
    "4,NULL,Friends: The Complete Series\n"
)
FIRST = "1:\n10,3,2005-09-06\n7,5,2005-05-13\n3:\n10,4,2005-09-07\n"
SECOND = "2:\n7,1,2004-01-02\n4:\n7,2,2005-06-01\n"


@pytest.fixture
def prepare_netflix(tmp_path, prepare):
    """Write the files of the release, or others, and prepare them as dataset ``nf``."""

    def run(*argv, first=FIRST, second=SECOND, titles=TITLES):
        (tmp_path / "combined_data_1.txt").write_text(first)
        (tmp_path / "combined_data_2.txt").write_text(second)
        (tmp_path / "movie_titles.csv").write_text(titles, encoding="latin-1")
        return prepare("netflix", f"--raw={tmp_path}", "--dataset=nf", *argv)

    return run


def test_series_and_films_in_order_of_time(prepare_netflix, read):
    report = prepare_netflix()
    assert "5  ratings read" in report
    assert read("nf.inter").to_numpy().tolist() == [
        ["7", "2", "1073001600"], ["7", "1", "1115942400"], ["7", "4", "1117584000"],
        ["10", "1", "1125964800"], ["10", "3", "1126051200"],
    ]  # fmt: skip
    items = read("nf.item").set_index("item_id")
    assert items["domain"].to_dict() == {"1": "films", "2": "films", "3": "series", "4": "series"}
    assert items["title"].tolist() == [
        "Dinosaur Planet (2003)", "Isle of Man, The Movie (2004)", "Caf\xe9: Season 2 (1997)",
        "Friends: The Complete Series",
    ]  # fmt: skip


def test_low_ratings_are_dropped_and_counted(prepare_netflix, read):
    assert "1  ratings below 2 dropped" in prepare_netflix("--min_rating=2")
    assert "2" not in set(read("nf.inter")["item_id"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first": FIRST[3:]}, "data_1.txt: line 1: found '10,3,2005-09-06' before the line of"),
        ({"first": FIRST + "7,5\n"}, "data_1.txt: line 6: found '7,5', expected USER,RATING"),
        ({"first": FIRST + "7,5,soon\n"}, "data_1.txt: line 6: found '7,5,soon', expected"),
        ({"first": FIRST + "x:\n"}, "data_1.txt: line 6: found 'x:', expected USER,RATING"),
        ({"first": FIRST + "7,5,2005-01-01,9\n"}, "data_1.txt: line 6: found '7,5,2005-01-01,9'"),
        ({"first": ""}, "data_1.txt: holds no ratings"),
        ({"titles": TITLES.replace("3,1997", "30,1997")}, "titles.csv: no line of movie 3, which"),
        ({"titles": TITLES + "nonsense\n"}, "titles.csv: line 5: found 'nonsense', expected ID"),
        ({"titles": TITLES + "1,2,x\n"}, "titles.csv: movie 1 is listed twice"),
    ],
)
def test_bad_files_end_in_one_line(prepare_netflix, nothing_left, change, message):
    with pytest.raises(UserError, match=message) as caught:
        prepare_netflix(**change)
    assert "\n" not in str(caught.value)
    assert nothing_left()
