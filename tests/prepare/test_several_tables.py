"""A table per domain, and RecBole's atomic datasets: ids kept apart, users joined or not."""

import pytest

from recbole_edt.errors import UserError

FOOD = "user_id,item_id,timestamp,rating\nu1,1,10,5\nu2,1,20,4\nu2,2,40,1\n"
KITCHEN = "user_id,item_id,timestamp,rating\nu1,1,30,4\nu2,9,30,5\nu3,1,5,4\n"
FOOD_ITEMS = "item_id,title\n1,Apple\n2,Bread\n"
KITCHEN_ITEMS = "item_id,title\n1,Knife\n9,Ladle\n"
ATOMIC = "user_id:token,item_id:token,rating:float,timestamp:float\n"


@pytest.fixture
def prepare_two(tmp_path, prepare):
    """Write two tables of interactions and of items, and prepare them as dataset ``two``."""

    def run(*argv, tables=(FOOD, KITCHEN, FOOD_ITEMS, KITCHEN_ITEMS), items=True):
        names = ("food", "kitchen", "food_items", "kitchen_items")
        for name, text in zip(names, tables, strict=True):
            (tmp_path / f"{name}.csv").write_text(text)
        flags = [f"--inter=food={tmp_path}/food.csv,kitchen={tmp_path}/kitchen.csv"]
        if items:
            paths = f"food={tmp_path}/food_items.csv,kitchen={tmp_path}/kitchen_items.csv"
            flags.append(f"--items={paths}")
        return prepare("csv", *flags, "--dataset=two", *argv)

    return run


@pytest.fixture
def write_atomic(tmp_path):
    """Write an atomic dataset and return its folder."""

    def write(name, inter, item=None, config=None):
        folder = tmp_path / name
        folder.mkdir()
        for kind, text in (("inter", inter), ("item", item), ("yaml", config)):
            if text is not None:
                (folder / f"{name}.{kind}").write_text(text)
        return folder

    return write


def test_ids_of_items_are_kept_apart_and_users_joined(prepare_two, read):
    report = prepare_two()
    assert read("two.inter")[["user_id", "item_id"]].to_numpy().tolist() == [
        ["u1", "food:1"], ["u1", "kitchen:1"],
        ["u2", "food:1"], ["u2", "kitchen:9"], ["u2", "food:2"], ["u3", "kitchen:1"],
    ]  # fmt: skip
    assert read("two.item").to_numpy().tolist() == [
        ["food:1", "food", "Apple"], ["food:2", "food", "Bread"],
        ["kitchen:1", "kitchen", "Knife"], ["kitchen:9", "kitchen", "Ladle"],
    ]  # fmt: skip
    assert "1  item ids in several domains, kept apart by the prefix DOMAIN:" in report
    assert "2  users in several domains, joined by their id" in report
    assert "3  rows read of kitchen" in report


def test_users_may_be_kept_apart(prepare_two, read):
    prepare_two("--users=separate")
    users = read("two.inter")["user_id"].drop_duplicates().tolist()
    assert users == ["food:u1", "food:u2", "kitchen:u1", "kitchen:u2", "kitchen:u3"]


def test_ratings_are_filtered_over_all_tables(prepare_two, read):
    assert "1  rows dropped, rating below 2" in prepare_two("--min_rating=2")
    assert "food:2" not in set(read("two.inter")["item_id"])


def test_without_tables_of_items_they_are_those_of_the_interactions(prepare_two, read):
    report = prepare_two(items=False)
    assert read("two.item")["item_id"].tolist() == ["food:1", "food:2", "kitchen:1", "kitchen:9"]
    assert "none, food.csv has no table of items beside it  titles of food" in report


def test_unique_ids_need_no_prefix(prepare_two, read):
    tables = [FOOD, KITCHEN.replace(",1,", ",8,"), FOOD_ITEMS, KITCHEN_ITEMS.replace("1,", "8,")]
    prepare_two("--item_prefix=false", tables=tables)
    assert read("two.item")["item_id"].tolist() == ["1", "2", "8", "9"]


@pytest.mark.parametrize(
    ("argv", "change", "message"),
    [
        (["--item_prefix=false"], ("", ""),
         "item_prefix: item '1' is in food and kitchen, as are 0 others; --item_prefix=true keep"),
        ([], ("u3,1,5", "u3,7,5"), r"kitchen.csv: line 4: item '7' is not in .*kitchen_items.csv"),
        ([], ("u3,1,5", "u3,1,late"), "kitchen.csv: line 4: timestamp is 'late'; expected a numb"),
        ([], ("timestamp", "position"), "user 'u1' has position 10 in two domains; .*--users=sepa"),
    ],
)  # fmt: skip
def test_bad_tables_end_in_one_line(prepare_two, nothing_left, argv, change, message):
    tables = [text.replace(*change) for text in (FOOD, KITCHEN, FOOD_ITEMS, KITCHEN_ITEMS)]
    if change[0] == "timestamp":
        tables[1] = tables[1].replace("u1,1,30", "u1,1,10")
    with pytest.raises(UserError, match=message) as caught:
        prepare_two(*argv, tables=tables)
    assert "\n" not in str(caught.value)
    assert nothing_left()


def test_tables_of_two_kinds_of_order(prepare_two):
    tables = [FOOD.replace("timestamp", "position"), KITCHEN, FOOD_ITEMS, KITCHEN_ITEMS]
    with pytest.raises(UserError, match="not both: food by position, kitchen by timestamp"):
        prepare_two(tables=tables)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--inter=a.csv", "--items=x=a.csv"], "inter: found one file 'a.csv'; expected DOMAIN="),
        (["--inter=x=a,y=b", "--items=a"], "items: found 'a'; expected DOMAIN=FILE as in --inter"),
        (["--inter=x=a,y=b", "--items=x=a,z=b"], "items: found the domains x, z; expected .* x, y"),
        (["--inter=x=a,x=b"], "inter: found the domain 'x' twice"),
        (["--inter=a"], "--items=FILE is required"),
    ],
)
def test_flags_that_do_not_fit_together(prepare, argv, message):
    with pytest.raises(UserError, match=message):
        prepare("csv", "--dataset=two", *argv)


def test_flags_of_several_tables_are_refused_for_one(prepare_csv):
    with pytest.raises(UserError, match="users: is for one table per domain"):
        prepare_csv("--users=joined")


def test_atomic_datasets_of_two_domains(prepare, read, write_atomic):
    rows = "u1,1,5,10\nu2,2,4,20\n"
    item = 'item_id:token\ttitle:token_seq\n1\t"Quoted" apple\n2\t"Open\n'
    food = write_atomic("food", (ATOMIC + rows).replace(",", "\t"), item)
    names = "USER_ID_FIELD: who\nITEM_ID_FIELD: what\nTIME_FIELD: when\nfield_separator: ';'\n"
    other = "who:token;what:token;when:float\nu1;1;30\nu2;3;40\n"
    other_item = 'what:token;title:token_seq\n1;"A; B"\n3;C\n'
    kitchen = write_atomic("k", other, other_item, names)
    (kitchen / "k.user").write_text("who:token\nu1\n")
    argv = ("atomic", f"--sources=food={food},kitchen={kitchen}", "--dataset=two")
    report = prepare(*argv)
    assert read("two.inter").to_numpy().tolist() == [
        ["u1", "food:1", "10"], ["u1", "kitchen:1", "30"],
        ["u2", "food:2", "20"], ["u2", "kitchen:3", "40"],
    ]  # fmt: skip
    assert read("two.item")["title"].tolist() == ['\u201cQuoted" apple', "\u201cOpen", "A; B", "C"]
    assert "k.user  files that are not read" in report
    with pytest.raises(UserError, match=r"k.inter: no column 'rating'; found who, what, when"):
        prepare(*argv, "--min_rating=3")


def test_one_atomic_dataset_with_a_column_of_domains(prepare, read, write_atomic):
    inter = (ATOMIC + "u1,a,5,10\nu1,k,4,20\nu2,k,1,5\n").replace(",", "\t")
    item = "item_id:token\tclass:token\ttitle:token_seq\na\tfood\tApple\nk\tkitchen\tKnife\n"
    folder = write_atomic("shop", "\ufeff" + inter, item)
    argv = ("atomic", f"--sources={folder}", "--dataset=two")
    prepare(*argv, "--domain_col=class")
    assert read("two.item")["domain"].tolist() == ["food", "kitchen"]
    with pytest.raises(UserError, match=r"shop.item: no column 'domain'.*--domain_col=NAME"):
        prepare(*argv)


@pytest.mark.parametrize(
    ("inter", "item", "config", "message"),
    [
        (None, None, None, "s.inter: no such file; expected DIR/NAME, the folder of NAME.inter"),
        (ATOMIC, None, None, "found column .*, expected NAME:TYPE, .*--sep or field_separator"),
        ("user_id\titem_id\n", None, None, "found column 'user_id', .*'prepare csv' reads"),
        (ATOMIC.replace(",", "\t"), None, None, "s.item: no such file; without it --sources=DOM"),
        (ATOMIC, None, "field_separator: 3\n", "s.yaml: field_separator is 3, expected a text"),
        (ATOMIC, None, "a: [\n", "s.yaml: not valid YAML"),
    ],
)
def test_bad_atomic_datasets(prepare, write_atomic, nothing_left, inter, item, config, message):
    folder = write_atomic("s", inter, item, config)
    with pytest.raises(UserError, match=message) as caught:
        prepare("atomic", f"--sources={folder}", "--dataset=two")
    assert "\n" not in str(caught.value)
    assert nothing_left()
