"""Search spaces: RecBole's grammar, what is refused, and the points that are drawn."""

import math
import sys
from itertools import islice

import pytest

from recbole_edt.compare.tuning.search import STRATEGIES, OptunaSearch
from recbole_edt.compare.tuning.search_space import read_search_space
from recbole_edt.errors import UserError
from recbole_edt.paths import properties_dir


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        (tmp_path / "a.hyper").write_text(text)
        return read_search_space(tmp_path / "a.hyper")

    return write_and_read


def test_lines_of_every_kind(read):
    space = read(
        "# a comment\n\n"
        "learning_rate loguniform -8,-2\n"
        "dropout uniform 0.1, 0.5\n"
        "layers quniform 1,3,1\n"
        "rate quniform 0.1,0.3,0.1\n"
        "act choice ['gelu', relu]\n"
        "sizes choice ['[64, 64]', [32], '[128,128]']\n"
        "flag choice [True, None]\n"
    )
    by_key = {dimension.key: dimension for dimension in space.dimensions}
    assert by_key["layers"].points == (1, 2, 3)
    assert [type(n) for n in by_key["layers"].points] == [int] * 3
    assert by_key["rate"].points == (0.1, 0.2, 0.3)
    assert by_key["act"].points == ("gelu", "relu")
    assert by_key["sizes"].points == ([64, 64], [32], [128, 128])
    assert by_key["flag"].points == (True, None)
    low, high = by_key["learning_rate"].bounds  # natural logarithms, as in RecBole
    assert (low, high) == pytest.approx((math.exp(-8), math.exp(-2)), rel=1e-5)
    assert by_key["dropout"].bounds == (0.1, 0.5)
    assert space.size is None
    for point in islice(space.draw(3), 50):
        assert low <= point["learning_rate"] <= high
        assert 0.1 <= point["dropout"] <= 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no line"),
        ("learning_rate choice", "a.hyper:1"),
        ("\nlearning_rate chioce [1]", "a.hyper:2: 'chioce' is unknown"),
        ("a choice 5", "expected a list"),
        ("a choice []", "expected a list"),
        ("a choice __import__('os').getcwd()", "expected a list"),
        ("a choice [1, 1]", "twice"),
        ("a uniform 1", "expected 2 numbers"),
        ("a uniform 2,1", "rising"),
        ("a uniform 0,inf", "expected 2 numbers"),
        ("a quniform 0,1,0", "step above 0"),
        ("a quniform 0.1,0.2,1", "no multiple"),
        ("a uniform 0,1\na choice [1, 2]", "a.hyper:2: a is given twice"),
    ],
)
def test_mistakes_name_file_and_line(read, text, said):
    with pytest.raises(UserError, match=r"a\.hyper") as caught:
        read(text)
    assert said in str(caught.value)


def test_random_points_differ_repeat_for_a_seed_and_cover_a_small_space(read):
    space = read("a choice [1, 2, 3]\nb quniform 0,1,1")
    points = list(space.draw(5))
    assert sorted((p["a"], p["b"]) for p in points) == [(a, b) for a in (1, 2, 3) for b in (0, 1)]
    assert list(islice(space.draw(5), 4)) == points[:4]  # a larger budget begins like a smaller
    assert list(space.draw(6)) != points


def test_exhaustive_points_are_all_points(read):
    space = read("a choice [1, 2, 3]\nb choice [x, y]")
    assert space.size == 6
    points = [tuple(space.point(index).values()) for index in range(6)]
    assert points == [(1, "x"), (1, "y"), (2, "x"), (2, "y"), (3, "x"), (3, "y")]


def test_optuna_learns_from_scores_and_repeats(read):
    space = read("a uniform 0,1\nb choice [[1], [2, 2]]\nc loguniform -3,-1\nd quniform 0,9,3")

    def points():
        search = OptunaSearch(space, 8, 1, {"a": 5})
        assert search.ask(1) == [{"a": 5}]  # outside the space, and no score of its teaches Optuna
        search.tell([1.0])
        found = []
        while asked := search.ask(3):
            search.tell([None if len(found) == 3 else -((p["a"] - 0.7) ** 2) for p in asked])
            found += asked
        return found

    first = points()
    assert len(first) == 7
    assert first == points()
    assert all(p["b"] in ([1], [2, 2]) and p["d"] in (0, 3, 6, 9) for p in first)


def test_optuna_that_is_not_installed_is_named(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match="pip install optuna"):
        OptunaSearch(read("a choice [1, 2]"), 2, 1, {"a": 1})


def test_random_search_begins_with_the_given_point_and_does_not_draw_it_again(read):
    space = read("a choice [1, 2, 3]\nb choice [x, y]")
    inside, outside = {"a": 2, "b": "y"}, {"a": 7, "b": "y"}
    drawn = list(space.draw(5))
    assert STRATEGIES["random"](space, 3, 5, outside).ask(1) == [outside, *drawn[:2]]
    points = STRATEGIES["random"](space, 9, 5, inside).ask(1)
    assert points == [inside, *(point for point in drawn if point != inside)]
    assert len(points) == space.size


def test_shipped_spaces_can_be_read():
    paths = sorted((properties_dir() / "search").glob("*.hyper"))
    assert {"SASRec", "GRU4Rec", "BPR", "LLMEDT", "sequential"} <= {path.stem for path in paths}
    for path in paths:
        assert read_search_space(path).size > 1
