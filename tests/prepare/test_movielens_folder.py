"""The published folders of MovieLens, in small files."""

import pytest

from recbole_edt.errors import UserError

FOLDERS = {
    "100k": {
        "u.data": "7\t1\t5\t20\n7\t2\t1\t10\n3\t2\t4\t30\n",
        "u.item": "1|Caf\xe9 (1995)|d||url|1|0\n2|Heat (1995)|d||url|0|1\n",
        "u.genre": "Comedy|0\nAction|1\n\n",
    },
    "1m": {
        "ratings.dat": "7::1::5::20\n7::2::1::10\n3::2::4::30\n",
        "movies.dat": "1::Caf\xe9 (1995)::Comedy\n2::Heat (1995)::Action\n",
    },
    "25m": {
        "ratings.csv": "userId,movieId,rating,timestamp\n7,1,5.0,20\n7,2,1.0,10\n3,2,4.0,30\n",
        "movies.csv": 'movieId,title,genres\n1,Caf\xe9 (1995),Comedy\n2,"Heat (1995)",Action\n',
    },
}


@pytest.fixture
def prepare_folder(tmp_path, prepare):
    """Write a folder and prepare it as dataset ``ml``; `change` replaces text in all its files."""

    def run(release, *argv, change=("", "")):
        for name, text in FOLDERS[release].items():
            encoding = "utf-8" if name.endswith(".csv") else "latin-1"
            (tmp_path / name).write_text(text.replace(*change), encoding=encoding)
        genres = "--genres=light:Comedy;serious:*"
        return prepare("movielens", f"--raw={tmp_path}", "--dataset=ml", genres, *argv)

    return run


@pytest.mark.parametrize("release", FOLDERS)
def test_every_release_gives_the_same_dataset(prepare_folder, read, release):
    prepare_folder(release)
    expected = [["3", "2", "30"], ["7", "2", "10"], ["7", "1", "20"]]
    assert read("ml.inter").to_numpy().tolist() == expected
    assert read("ml.item").to_numpy().tolist() == [
        ["1", "light", "Caf\xe9 (1995)", "Comedy"], ["2", "serious", "Heat (1995)", "Action"],
    ]  # fmt: skip
    assert "1  ratings below 2 dropped" in prepare_folder(release, "--min_rating=2")


@pytest.mark.parametrize(
    ("release", "change", "message"),
    [
        ("100k", ("3\t2", "3\tx"), "u.data: line 3: found '3\tx\t4\t30'; expected user, movie"),
        ("1m", ("::30", ""), "ratings.dat: line 3: found '3::2::4'; expected user, movie"),
        ("25m", ("4.0,30", "4.0,late"), "ratings.csv: line 4: found '3,2,4.0,late'"),
        ("25m", ("7,1,", "7,9,"), "movies.csv: 1 ratings are of movies that it does not list"),
        ("1m", ("2::Heat", "1::Heat"), "movies.dat: movie 1 is listed twice"),
    ],
)
def test_bad_files_end_in_one_line(prepare_folder, nothing_left, release, change, message):
    with pytest.raises(UserError, match=message) as caught:
        prepare_folder(release, change=change)
    assert "\n" not in str(caught.value)
    assert nothing_left()


def test_a_folder_without_files(prepare, tmp_path):
    with pytest.raises(UserError, match="found no files of MovieLens"):
        prepare("movielens", f"--raw={tmp_path}", "--dataset=ml")
    with pytest.raises(UserError, match="raw: needs its own --dataset=NAME"):
        prepare("movielens", f"--raw={tmp_path}")
