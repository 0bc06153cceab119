import gzip
import json

import pytest
import yaml

from recbole_edt.errors import UserError
from recbole_edt.paths import properties_dir


def review(user, item, time, **more):
    return {"overall": 5.0, "reviewerID": user, "asin": item, "unixReviewTime": time, **more}


CLOTH = [
    review("u", "c1", 86400),
    review("u", "c2", 172800),
    review("v", "c1", 86400),
    review("v", "x", 5),
]
SPORT = [review("u", "s1", 259200), review("v", "s1", 86400), review("v", "x", 5)]
CLOTH_ITEMS = [
    {"asin": "c1", "title": "Sock <b>&amp;amp; shoe</b>", "also_buy": ["s1"]},
    {"asin": "c2", "title": "<script> var getTime = 1 </script>"},
    {"asin": "x", "title": "Both"},
]
SPORT_ITEMS = [{"asin": "s1"}, {"asin": "s1", "title": "Ball"}, {"asin": "zz", "title": "other"}]


@pytest.fixture
def dump(tmp_path):
    """Write objects as gzipped lines, JSON unless `line` says otherwise."""

    def write(name, rows, line=json.dumps):
        path = tmp_path / name
        path.write_bytes(gzip.compress("".join(f"{line(row)}\n" for row in rows).encode()))
        return path

    return write


@pytest.fixture
def prepare_amazon(dump, prepare):
    """Prepare the small dumps above, or others, as the dataset ``am``."""

    def run(*argv, cloth=CLOTH, sport=SPORT, line=json.dumps):
        reviews = f"--reviews=cloth={dump('c.json.gz', cloth)},sport={dump('s.json.gz', sport)}"
        cloth_items = dump("mc.json.gz", CLOTH_ITEMS, line)
        metadata = f"--metadata=cloth={cloth_items},sport={dump('ms.json.gz', SPORT_ITEMS, line)}"
        return prepare("amazon", reviews, metadata, "--dataset=am", *argv)

    return run


@pytest.mark.parametrize("line", [json.dumps, repr], ids=["JSON of 2018", "literals of 2014"])
def test_titles_come_from_either_kind_of_metadata(prepare_amazon, read, line):
    report = prepare_amazon(line=line)
    items = read("am.item").set_index("item_id")
    assert items["domain"].to_dict() == {"c1": "cloth", "c2": "cloth", "x": "cloth", "s1": "sport"}
    assert items["title"].to_dict() == {"c1": "Sock & shoe", "c2": "", "x": "Both", "s1": "Ball"}
    assert "1  of them with a page script for a title, taken as untitled" in report
    assert "4  reviews of cloth, 2018 release" in report


def test_an_item_of_two_categories_belongs_to_the_first_or_goes(prepare_amazon, read):
    report = prepare_amazon()
    assert "1  items that several domains list" in report
    assert "1  reviews of such items in later domains dropped" in report
    assert read("am.inter")["item_id"].tolist().count("x") == 1
    prepare_amazon("--shared_items=drop")
    assert "x" not in set(read("am.item")["item_id"]) | set(read("am.inter")["item_id"])
    assert len(read("am.inter")) == 5


def test_release_of_2023_has_milliseconds_and_parent_items(dump, prepare, read):
    def row(user, item, time):
        return {
            "user_id": user,
            "parent_asin": item,
            "asin": "no",
            "rating": 1.0,
            "timestamp": time,
        }

    one = dump("a.jsonl.gz", [row("u", "p", 1_588_687_728_923), row("u", "q", 1_588_687_728_000)])
    two = dump("b.jsonl.gz", [row("u", "r", 1_600_000_000_000)])
    meta = dump(
        "m.jsonl.gz", [{"parent_asin": "p", "title": "Pen"}, {"parent_asin": "q", "title": None}]
    )
    prepare(
        "amazon", f"--reviews=a={one}", f"--reviews=b={two}", f"--metadata=a={meta},b={meta}",
        "--dataset=new",
    )  # fmt: skip
    inter = read("new.inter")
    assert inter["item_id"].tolist() == ["q", "p", "r"]
    assert inter["timestamp"].tolist() == ["1588687728.0", "1588687728.923", "1600000000.0"]
    assert read("new.item")["title"].tolist() == ["Pen", "", ""]


def test_ratings_files_need_the_release_that_tells_their_columns(dump, prepare, read):
    one, two = (dump(f"{n}.csv", [f"u,{n},4.0,{t}"], str) for n, t in (("i", 10), ("j", 20)))
    files = f"--reviews=a={one},b={two}"
    with pytest.raises(UserError, match="--version=2014 means user,item,rating,timestamp"):
        prepare("amazon", files, "--dataset=r")
    prepare("amazon", files, "--dataset=r", "--version=2014")
    assert read("r.inter").to_numpy().tolist() == [["u", "i", "10"], ["u", "j", "20"]]
    with pytest.raises(UserError, match="found no header; 2023 has a header"):
        prepare("amazon", files, "--dataset=r", "--version=2023")


def test_low_ratings_are_dropped_and_counted(prepare_amazon, read):
    report = prepare_amazon("--min_rating=3", cloth=[*CLOTH, review("u", "c9", 1, overall=2.0)])
    assert "1  reviews rated below 3 dropped" in report
    assert "c9" not in set(read("am.inter")["item_id"])


def test_ties_are_drawn_by_seed_since_dumps_stand_in_id_order(prepare_amazon, read):
    cloth = [review("u", f"c{number:02}", 86400) for number in range(40)]

    def order(*argv):
        prepare_amazon(*argv, cloth=cloth)
        return read("am.inter")["item_id"].tolist()

    drawn = order()
    assert drawn == order("--seed=2026") != order("--seed=1")
    assert sorted(drawn) != drawn
    assert order("--ties=file")[:40] == [f"c{number:02}" for number in range(40)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"reviewerID": "u", "asin": ', "line 8: neither JSON nor a Python literal"),
        ('{"reviewerID": "u", "unixReviewTime": 3}', "line 8: no key 'asin'"),
        (json.dumps(review("u", "c", "soon")), "line 8: "),
        (json.dumps(review("u", "c", float("nan"))), "line 8: .*the time is no number"),
        (json.dumps(review(7, "c", 1)), "line 8: .*user and item must be texts"),
        ("[1, 2]", "line 8: .*not an object"),
    ],
)
def test_a_malformed_line_is_named(dump, prepare, nothing_left, line, message):
    rows = [json.dumps(row) for row in [*CLOTH, *SPORT]]
    path = dump("c.json.gz", [*rows, line], str)
    other = dump("s.json.gz", SPORT)
    with pytest.raises(UserError, match=f"c.json.gz: {message}") as caught:
        prepare("amazon", f"--reviews=a={path},b={other}", "--dataset=x")
    assert "\n" not in str(caught.value)
    assert nothing_left()


def test_truncated_gzip_and_missing_files(dump, prepare, nothing_left, tmp_path):
    path, other = dump("c.json.gz", CLOTH * 99), dump("s.json.gz", SPORT)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="the gzip data end too early"):
        prepare("amazon", f"--reviews=a={path},b={other}", "--dataset=x")
    with pytest.raises(UserError, match=r"none\.gz: no such file"):
        prepare("amazon", f"--reviews=a={tmp_path}/none.gz,b={other}", "--dataset=x")
    assert nothing_left()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--reviews=DOMAIN=FILE,DOMAIN=FILE is required"),
        (["--reviews=a=x"], "reviews: found one domain 'a'; expected at least two"),
        (["--reviews=a=x,a=y"], "reviews: found the domain 'a' twice"),
        (["--reviews=file.gz"], "reviews: found 'file.gz'; expected DOMAIN=FILE"),
        (["--reviews=a=x,b=y", "--metadata=a=x"], "metadata: found the domains a; expected those"),
        (
            ["--recipe=cloth-sport"],
            r"'cloth-sport' is unknown; .*\(did you mean 'amazon-cloth-sport'\?\)",
        ),
        (["--raw=."], "--recipe=NAME is missing"),
    ],
)
def test_bad_flags(prepare, argv, message):
    with pytest.raises(UserError, match=message):
        prepare("amazon", "--dataset=x", *argv)


def test_recipe_names_files_and_filters_and_flags_override_it(prepare, dump, tmp_path, read):
    clothing, sports = "Clothing_Shoes_and_Jewelry", "Sports_and_Outdoors"
    dump(f"{clothing}_5.json.gz", CLOTH)
    dump(f"{sports}_5.json.gz", SPORT)
    dump(f"meta_{clothing}.json.gz", CLOTH_ITEMS)
    dump(f"meta_{sports}.json.gz", SPORT_ITEMS)
    argv = ["amazon", "--recipe=amazon-cloth-sport", f"--raw={tmp_path}"]
    with pytest.raises(UserError, match="nothing is left after filtering"):
        prepare(*argv)
    prepare(*argv, "--min_user_inter=1", "--min_item_inter=1")
    assert read("amazon-cloth-sport.item")["item_id"].tolist() == ["c1", "x", "s1"]


@pytest.mark.parametrize(
    "path", sorted((properties_dir() / "prepare").glob("*.yaml")), ids=lambda p: p.stem
)
def test_ready_datasets_name_the_files_of_their_recipe(path):
    recipe = yaml.safe_load(path.read_text())
    ready = (properties_dir() / "dataset" / path.name).read_text()
    for file in [*recipe["reviews"].values(), *recipe["metadata"].values()]:
        assert f"/{file}\n" in ready
    assert f"--recipe={path.stem} " in ready
