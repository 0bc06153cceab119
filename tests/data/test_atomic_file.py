import pytest

from recbole_edt.data import atomic_file
from recbole_edt.data.atomic_file import check_rows
from recbole_edt.errors import UserError

HEADER = "item_id:token\tdomain:token\ttitle:token_seq\n"
GOOD = [f"i{k}\ta\tTitle {k}" for k in range(5)]


def is_read(name):
    return name != "title"


@pytest.fixture(params=[1, 20, 1 << 20])  # a line, a few lines, all lines together
def table(request, monkeypatch, tmp_path):
    monkeypatch.setattr(atomic_file, "_BLOCK", request.param)

    def write(text):
        path = tmp_path / "t.item"
        path.write_bytes((HEADER + text).encode())
        return path

    return write


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "end"])
def test_whole_rows_pass(table, end, last):
    rows = [*GOOD, 'i5\ta\t"A" and "B"', "i6\t\t", 'i7\ta"\t3" pan', "i8\tü\t漢字"]
    check_rows(table(end.join(rows) + (end if last else "")), is_read)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("i9\ta\tb\tc", "4 fields; expected 3"),
        ("i9\ta", "2 fields; expected 3"),
        ("i9\ta\tb\t", "4 fields; expected 3"),
        ("", "1 fields; expected 3"),
        ('i9\ta\t"open', "title is '\"open'; expected no leading quotation mark"),
        ('"i9\ta\tb', "item_id is '\"i9'; expected no leading quotation mark"),
        ('i9\t"a"\tb', "domain is '\"a\"'; expected no leading quotation mark"),
    ],
)
@pytest.mark.parametrize("place", [0, 3, 5])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_first_bad_row_is_named(table, place, row, said, end):
    rows = [*GOOD[:place], row, *GOOD[place:], "i10\ta"]
    with pytest.raises(UserError) as caught:
        check_rows(table(end.join(rows) + end), is_read)
    assert f"t.item: line {place + 2}: {said}" in str(caught.value)


def test_a_last_row_without_its_line_end_counts(table):
    with pytest.raises(UserError, match="line 7: 2 fields"):
        check_rows(table("\n".join([*GOOD, "i9\ta"])), is_read)
