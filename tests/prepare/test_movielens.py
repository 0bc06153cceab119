import pytest

from recbole_edt.errors import UserError
from recbole_edt.files import read_json, sha256_of
from recbole_edt.prepare.pipeline import ensure_default, prepare_dataset


def test_default_has_the_documented_counts(prepare, tmp_path):
    report = prepare("movielens")
    folder = tmp_path / "dataset" / "ml-100k-genres"
    counts = read_json(folder / "prepare.json")["counts"]
    assert (counts["users"], counts["interactions"]) == (943, 100_000)
    assert {name: domain["items"] for name, domain in counts["domains"].items()} == {
        "light": 608,
        "serious": 1074,
    }
    assert counts["dominated_users"]["above 80%"] == 158  # 16.8 %
    assert "158 (16.8%)" in report
    assert (folder / "split" / "leave_one_out.npy").is_file()


def test_default_is_the_same_bytes_everywhere(prepare, tmp_path):
    # committed artefacts name the hash of this file's split
    prepare("movielens")
    path = tmp_path / "dataset" / "ml-100k-genres" / "ml-100k-genres.inter"
    assert sha256_of(path).startswith("cf59e75f9ace5123")


def test_titles_carry_the_year_and_genres_are_a_field(prepare, read):
    prepare("movielens")
    items = read("ml-100k-genres.item").set_index("item_id")
    assert items.loc["1"].to_dict() == {
        "domain": "light",
        "title": "Toy Story (1995)",
        "genres": "Animation Children's Comedy",
    }
    assert items.loc["1412", "title"].endswith("Great Giving (1995)")  # the wheel has year 'V'


def test_other_rules_make_other_domains(prepare, tmp_path):
    prepare("movielens", "--dataset=three", "--genres=fun:Comedy,Musical;dark:Crime,Horror")
    counts = read_json(tmp_path / "dataset" / "three" / "prepare.json")["counts"]
    assert set(counts["domains"]) == {"fun", "dark", "other"}
    assert sum(domain["items"] for domain in counts["domains"].values()) == 1682


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--genres=a:Comedi", "--dataset=x"], r"no film .* 'Comedi' \(did you mean 'Comedy'\?\)"),
        (["--genres=Comedy", "--dataset=x"], "genres: found 'Comedy'; expected 'name:Genre,Genre'"),
        (["--genres=a:Comedy"], "needs a --dataset=NAME of its own"),
        (["--genres=all:*", "--dataset=x"], "found one domain 'all'; expected at least two"),
        (["--dataset=../x"], "dataset: '../x' cannot be a file name"),
    ],
)  # fmt: skip
def test_bad_flags(prepare, nothing_left, argv, message):
    with pytest.raises(UserError, match=message):
        prepare("movielens", *argv)
    assert nothing_left()


def test_ensure_default_prepares_once(tmp_path):
    assert "943" in (ensure_default(tmp_path) or "")
    stamp = (tmp_path / "ml-100k-genres" / "ml-100k-genres.yaml").stat().st_mtime_ns
    assert ensure_default(tmp_path) is None
    assert (tmp_path / "ml-100k-genres" / "ml-100k-genres.yaml").stat().st_mtime_ns == stamp


def test_movielens_without_recbole(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="recbole is not installed"):
        prepare_dataset("movielens", {})
