import gzip
from pathlib import Path

import pandas as pd
import pytest
from small_tables import INTER, ITEMS

from recbole_edt.errors import UserError
from recbole_edt.files import read_json
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.engine import Engine

SHARED = Path(__file__).parents[3] / "shared" / "data"


def test_files_sorted_by_user_and_order_with_ties_in_file_order(prepare_csv, read):
    shuffled = "user_id,item_id,timestamp\n10,k,5\n2,b,20\n1,b,30\n2,a,20\n1,a,10\n2,k,10\n1,k,20\n"
    report = prepare_csv(inter=shuffled)
    inter = read("small.inter")
    assert list(zip(inter["user_id"], inter["item_id"], strict=True)) == [
        ("1", "a"), ("1", "k"), ("1", "b"), ("2", "k"), ("2", "b"), ("2", "a"), ("10", "k"),
    ]  # fmt: skip
    assert "25.0% of neighbouring rows; ties keep the order of the raw data" in report


def test_own_column_names_separator_gzip_and_further_fields(prepare, read, tmp_path):
    with gzip.open(tmp_path / "i.gz", "wt") as handle:
        handle.write("who\twhat\twhen\nx\ta\t1.5\nx\tk\t2.25\n")
    (tmp_path / "m.tsv").write_text(
        "what\twhere\tname\tbrand\na\tfood\tA\tAcme  Inc\nk\tkitchen\tK\t\n"
    )
    prepare(
        "csv", f"--inter={tmp_path}/i.gz", f"--items={tmp_path}/m.tsv", "--dataset=own",
        "--sep=tab", "--user_col=who", "--item_col=what", "--time_col=when", "--domain_col=where",
        "--title_col=name", "--item_fields=brand",
    )  # fmt: skip
    assert read("own.inter")["timestamp"].tolist() == ["1.5", "2.25"]
    assert read("own.item").to_dict("list") == {
        "item_id": ["a", "k"], "domain": ["food", "kitchen"], "title": ["A", "K"],
        "brand": ["Acme Inc", ""],
    }  # fmt: skip


def test_positions_stand_in_for_missing_times_and_forbid_a_split_by_time(prepare_csv, read):
    inter = INTER.replace("timestamp", "position")
    assert "positions 10 to 30, no times" in prepare_csv(inter=inter)
    assert read("small.inter")["timestamp"].tolist()[:3] == ["10", "20", "30"]
    with pytest.raises(UserError, match="'time' needs times; the data have positions only"):
        prepare_csv("--split=time", inter=inter)


def test_positions_may_be_large(prepare_csv):
    inter = INTER.replace("timestamp", "position").replace("1,k,20", "1,k,1605830400000")
    assert "order: positions 10 to 1" in prepare_csv(inter=inter)


def test_a_domain_of_one_item_is_told(prepare_csv):
    told = "kitchen  domains of one item, at least two are needed to train"
    assert told in prepare_csv()
    assert told not in prepare_csv(items=ITEMS + "l,kitchen,Ladle\n", inter=INTER + "9,l,5\n")


def test_titles_are_unescaped_folded_and_survive_quotation_marks(prepare_csv, read, tmp_path):
    items = ITEMS.replace("Apple", '"A &amp;amp; B\t""x""\n2nd"').replace("Bread", '"""Open"')
    report = prepare_csv(items=items)
    titles = ['A & B "x" 2nd', "\u201cOpen", "Knife"]
    assert read("small.item")["title"].tolist() == titles
    assert "2  titles mended" in report
    lines = (tmp_path / "dataset" / "small" / "small.item").read_text().splitlines()
    assert [line.split("\t")[2] for line in lines[1:]] == titles


def test_quotes_that_are_text(prepare_csv, read):
    items = ITEMS.replace("Apple", '"Green" apple').replace("Bread", '"Bread"')
    with pytest.raises(UserError) as error:
        prepare_csv(items=items)
    assert str(error.value).endswith(
        "items.csv: line 2: found '\"Green\" apple', a cell that goes on after its quotes; "
        "--quotes=none reads quotes as any other character"
    )
    report = prepare_csv("--quotes=none", items=items)
    titles = ['\u201cGreen" apple', '\u201cBread"', "Knife"]
    assert read("small.item")["title"].tolist() == titles
    assert "2  titles mended" in report


def test_blanks_after_a_quoted_cell_are_no_text(prepare_csv, read):
    prepare_csv(items=ITEMS.replace("food,Apple", '"food" ,"Green, ""sour""" '))
    assert read("small.item")["title"].tolist()[0] == 'Green, "sour"'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((",a,", ",a.0,"), "the table has 'a'; expected ids that do not differ by '.0' at the end"),
        ((",a,", ", a,"), "the table has 'a'; expected ids that do not differ by blanks"),
        ((",a,", ",00a,"), "the table has 'a'; expected ids .* by zeros at the start"),
        ((",a,", ",A,"), "the table has 'a'; expected ids .* by small and capital letters"),
        ((",a,", ",z,"), "--unknown_items=drop leaves them out"),
    ],
)
def test_ids_that_the_tables_write_differently_are_not_to_be_dropped(prepare_csv, change, said):
    with pytest.raises(UserError, match=f"line 2: item .*, nor are those of 1 other rows; {said}$"):
        prepare_csv(inter=INTER.replace(*change))


def test_unknown_items_are_an_error_unless_dropped(prepare_csv, read):
    inter = INTER + "3,z,1\n3,a,2\n"
    with pytest.raises(UserError, match=r"inter.csv: line 8: item 'z' is not in .*items.csv"):
        prepare_csv(inter=inter)
    report = prepare_csv("--unknown_items=drop", inter=inter)
    assert "1  rows dropped, item not in the items file" in report
    assert read("small.inter")["item_id"].tolist().count("z") == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"inter": INTER.replace("user_id", "userid")},
            r"inter.csv: no column 'user_id' \(did you mean 'userid'\?\); "
            "found userid, item_id, timestamp; --user_col=NAME",
        ),
        ({"inter": INTER.replace("timestamp", "time")}, "no column 'timestamp'"),
        (
            {"inter": INTER.replace("user_id,item_id,timestamp", "who,item_id,timestmp")},
            r"inter.csv: no column 'user_id', 'timestamp' \(did you mean 'timestmp'\?\); "
            "found who, item_id, timestmp; --user_col=NAME, --time_col=NAME name others",
        ),
        (
            {"items": ITEMS.replace("domain", "kind")},
            "items.csv: no column 'domain'; found item_id, kind",
        ),
        ({"items": ITEMS.replace("b,food", "b,")}, "items.csv: line 3: the item has no domain"),
        (
            {"items": ITEMS + "a,kitchen,Apple\n"},
            "items.csv: line 5: item 'a' is of domain 'kitchen', and of 'food' above; expected one",
        ),
        (
            {"items": ITEMS.replace("kitchen", "food")},
            "found one domain 'food'; expected at least two",
        ),
        (
            {"inter": INTER.replace("1,k,20", "1,k,soon")},
            "inter.csv: line 3: timestamp is 'soon'; expected a number",
        ),
        ({"inter": INTER.replace("1,k,20", "1,k,nan")}, "inter.csv: line 3: timestamp is 'nan'"),
        ({"inter": INTER.replace("1,k,20", "1,k")}, "inter.csv: line 3: timestamp is ''"),
        ({"inter": INTER.replace("1,k,20", ",k,20")}, "inter.csv: line 3: no 'user_id'"),
        (
            {"inter": INTER.replace("1,k,20", "1,k,20,9,9")},
            "inter.csv: .*line 3: 5 fields; expected 3",
        ),
        ({"inter": INTER.replace("1,a,10", "1,a,10,9")}, "inter.csv: line 2: 4 fields; expected 3"),
        (
            {"inter": INTER.replace("1,k,20", "1,k,1605830400000")},
            "inter.csv: line 3: timestamp is '1605830400000'; expected seconds .* milliseconds",
        ),
        (
            {"inter": INTER.replace(",", ";")},
            "inter.csv: one column, 'user_id;item_id;timestamp'; --sep=';' would make more",
        ),
        ({"items": ITEMS.replace(",", "\t")}, "items.csv: one column, .*; --sep=tab would"),
        (
            {"items": ITEMS.replace("Apple", '"Apple').replace("Knife", '"Knife"')},
            "items.csv: line 2: title goes on with a whole row; expected the end of the quote",
        ),
        ({"items": ITEMS.replace("Apple", '"Apple')}, "items.csv: line 2: a quote is never closed"),
        ({"inter": "user_id,item_id,timestamp\n"}, "inter.csv: holds no interactions"),
        ({"inter": ""}, "inter.csv: the file is empty"),
        ({"inter": INTER.replace("1,", "NA,")}, "user 'NA': RecBole reads this as missing"),
        ({"inter": INTER.replace("1,", '"a\tb",')}, "holds a tab, line break or control character"),
        ({"inter": INTER.replace("1,", '"""q",')}, 'user "q: starts with a quotation mark'),
    ],
)
def test_bad_tables_end_in_one_line_and_leave_nothing(prepare_csv, nothing_left, change, message):
    with pytest.raises(UserError, match=message) as caught:
        prepare_csv(**change)
    assert "\n" not in str(caught.value)
    assert nothing_left()


def test_line_numbers_count_line_breaks_inside_quotes(prepare_csv):
    items = ITEMS.replace("Apple", '"Two\nlines"').replace("k,kitchen", "k,")
    with pytest.raises(UserError, match=r"items\.csv: line 5: the item has no domain"):
        prepare_csv(items=items)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "inter.csv.gz: no such file"),
        (gzip.compress(INTER.encode() * 50, mtime=0)[:-9], "inter.csv.gz: the gzip data end too"),
        (b"\x1f\x8b\x08\x00damaged", "inter.csv.gz: "),
        (b"user_id,item_id,timestamp\n\xe9,a,1\n", "inter.csv.gz: not UTF-8 text"),
    ],
)  # fmt: skip
def test_bad_files_end_in_one_line_and_leave_nothing(
    prepare, nothing_left, tmp_path, content, message
):
    path = tmp_path / "inter.csv.gz"
    (tmp_path / "items.csv").write_text(ITEMS)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        prepare("csv", f"--inter={path}", f"--items={tmp_path}/items.csv", "--dataset=small")
    assert "\n" not in str(caught.value)
    assert nothing_left()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared study data are not beside the checkout")
class TestSharedData:
    def test_food_kitchen_cut(self, prepare, tmp_path):
        source = SHARED / "food-kitchen"
        prepare(
            "csv", f"--inter={source}/inter.csv.gz", f"--items={source}/items.csv.gz",
            "--dataset=food-kitchen", "--min_user_inter=5", "--min_user_domains=2",
            "--min_item_inter=3", "--require_title",
        )  # fmt: skip
        counts = read_json(tmp_path / "dataset" / "food-kitchen" / "prepare.json")["counts"]
        domains = counts["domains"]
        assert counts["users"] == 7136
        assert (domains["food"]["items"], domains["kitchen"]["items"]) == (6040, 8686)
        assert domains["food"]["interactions"] == 73_604
        assert domains["kitchen"]["interactions"] == 78_549

    def test_windows_have_positions_and_single_domain_users(self, prepare, tmp_path):
        source = SHARED / "food-kitchen-windows"
        prepare(
            "csv", f"--inter={source}/inter.csv.gz", f"--items={source}/items.csv.gz",
            "--dataset=windows",
        )  # fmt: skip
        counts = read_json(tmp_path / "dataset" / "windows" / "prepare.json")["counts"]
        assert counts["interactions"] == 436_127
        assert counts["one_domain_users"] == 5_472 + 38_191
        assert counts["order"] == "positions"


@pytest.mark.parametrize(
    "odd",
    [
        lambda text: text.replace("1,k,20", "\n1,k,20"),
        lambda text: text.replace("1,k,20\n", "1,k,20\r\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("1,k,20", "1, \"k\" ,20"),
        lambda text: text.replace("1,k,20", "#1,k,20"),
        lambda text: text.replace("1,k,20", "1,k\"\"z,20"),
        lambda text: "\ufeff" + text.rstrip("\n"),
        lambda text: "\n" + text,
    ],
)  # fmt: skip
def test_both_ways_to_read_a_table_agree(tmp_path, monkeypatch, odd):
    path = tmp_path / "inter.csv"
    path.write_bytes(odd(INTER).encode())
    expected = pd.read_csv(path, dtype=str, na_filter=False).to_numpy().tolist()
    monkeypatch.setattr("recbole_edt.prepare.csv_file._CHUNK_ROWS", 2)
    with Engine(tmp_path) as engine:
        file = CsvFile(path, ",")
        for load in (file.load, file._load_exact):
            load(engine, "texts", ["user_id", "item_id", "timestamp"])
            rows = engine.rows("SELECT * FROM texts ORDER BY rowid")
            assert [list(row) for row in rows] == expected


def test_an_empty_cell_beyond_the_header_is_a_row_too_long(prepare_csv):
    with pytest.raises(UserError, match=r"inter.csv: line 3: 4 fields; expected 3"):
        prepare_csv(inter=INTER.replace("1,k,20", "1,k,20,"))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_quoted_cell_may_hold_lines_that_look_like_rows(prepare, read, tmp_path, end):
    items = 'item_id;domain;title;text\na;food;"Apple\nx;y;z;w\n";"1;2\n3;4;5;6"\n'
    items += 'b;food;Bread;\nk;kitchen;"Kni""fe";""\n'
    (tmp_path / "items.csv").write_bytes(items.replace("\n", end).encode())
    (tmp_path / "inter.csv").write_text(INTER.replace(",", ";"))
    files = [f"--{name}={tmp_path}/{name}.csv" for name in ("inter", "items")]
    prepare("csv", *files, "--sep=;", "--item_fields=text", "--dataset=small")
    table = read("small.item").to_dict("list")
    assert table["title"] == ["Apple x;y;z;w", "Bread", 'Kni"fe']
    assert table["text"] == ["1;2 3;4;5;6", "", ""]


def test_an_open_quote_in_the_interactions_swallows_nothing(prepare_csv):
    inter = 'user_id,item_id,timestamp,text\n1,a,10,"nice\n1,k,20,ok\n1,b,30,"fine"\n'
    with pytest.raises(UserError, match=r"inter.csv: line 2: text goes on with a whole row"):
        prepare_csv(inter=inter)


def test_what_does_not_fit_in_memory_goes_to_disk(prepare, read, tmp_path):
    rows = [f"{user},{'ak'[n % 2]},{n}" for user in range(20_000) for n in range(30)]
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "inter.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    files = [f"--{name}={tmp_path}/{name}.csv" for name in ("inter", "items")]
    prepare("csv", *files, "--dataset=small", "--memory_gb=0.05")
    assert len(read("small.inter")) == len(rows)
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["small"]
