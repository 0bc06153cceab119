import hashlib

import pytest

from recbole_edt.artefacts.catalogue import read_catalogue
from recbole_edt.errors import UserError


def test_values_are_taken_literally(write_items):
    titles = ['12" pan, "non-stick', "NA", "null", "", "a,b;c", "日本語 😀"]
    catalogue = read_catalogue(write_items(titles), "toy", "{title}")
    assert catalogue.texts == titles
    assert catalogue.ids == ["i0", "i1", "i2", "i3", "i4", "i5"]
    assert catalogue.column("domain") == ["a", "b"] * 3


def test_template_and_hash(write_items):
    catalogue = read_catalogue(write_items(["pan", " "]), "toy", "{{{domain}}}: {title}")
    assert catalogue.texts == ["{a}: pan", "{b}:"]
    lines = "i0\t{a}: pan\ni1\t{b}:\n"
    assert catalogue.hash == hashlib.sha256(lines.encode()).hexdigest()


def test_item_whose_fields_are_all_blank_has_no_text(write_items):
    assert read_catalogue(write_items(["", "x"]), "toy", "buy {title}!").texts == ["", "buy x!"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{titel}", r"no field 'titel' \(did you mean 'title'\?\); it has item_id, domain, title"),
        ("{title.__class__}", "no field 'title.__class__'"),
        ("{title!r}", "plain field"),
        ("{title", "malformed"),
        ("an item", "names no field"),
    ],
)
def test_bad_template(write_items, template, message):
    with pytest.raises(UserError, match=message):
        read_catalogue(write_items(["pan"]), "toy", template)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item_id:token\ttitle:token_seq\ni0\ta\ni1\n", "line 3 has 1 fields, expected 2"),
        ("item_id:token\ttitle:token_seq\ni0\ta\tb\n", "line 2 has 3 fields, expected 2"),
        ("item_id:token\ttitle:token_seq\ni0\ta\ni0\tb\n", "line 3 repeats item 'i0' of line 2"),
        ("item_id:token\ttitle:token_seq\n\ta\n", "line 2 has an empty item_id"),
        ("item_id:token\ttitle:token_seq\n", "holds no items"),
        ("asin:token\ttitle:token_seq\ni0\ta\n", "lacks the field 'item_id:token'"),
    ],
)
def test_malformed_file(tmp_path, content, message):
    (tmp_path / "toy.item").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_catalogue(tmp_path, "toy", "{title}")


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"toy\.item: no such file"):
        read_catalogue(tmp_path, "toy", "{title}")
