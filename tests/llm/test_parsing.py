import pytest

from recbole_edt.llm import parsing
from recbole_edt.llm.parsing import parse_choices, parse_summary, parse_titles


@pytest.mark.parametrize(
    ("reply", "numbers"),
    [
        ("3, 7", (3, 7)),
        ("7,3", (7, 3)),
        ("Answer: 3 and 7.", (3, 7)),
        ("The numbers are [3], 7", ()),
        ("[3, 7]", (3, 7)),
        ("#3; #7", (3, 7)),
        ("2 5 8", (2, 5, 8)),
        ('3. "Tea, 12 bags"\n7. Coffee', (3, 7)),
        ("- 3) Tea\n- 7) Coffee", (3, 7)),
        ("Sure! Here are my choices:\n3, 7\nI chose 2 because of 9.", (3, 7)),
        ("<think>1 or 2?</think>\n3", (3,)),
        ("４", ()),
    ],
)
def test_numbers_are_found(reply, numbers):
    assert parse_choices(reply, 10).numbers == numbers


@pytest.mark.parametrize(
    ("reply", "rejects"),
    [
        ("", {parsing.EMPTY: 1}),
        (" \n\t", {parsing.EMPTY: 1}),
        ("I like the 12 oz coffee", {parsing.INVALID: 1}),
        ("3.5 stars", {parsing.INVALID: 1}),
        ("3, 3", {parsing.DUPLICATE: 1}),
        ("0, 3, 11", {parsing.OUT_OF_RANGE: 2}),
        ("9" * 200, {parsing.OUT_OF_RANGE: 1}),
        ("9" * 6000, {parsing.INVALID: 1}),  # its end is not read
        ("1, 2, 3, 4", {parsing.OVER_LIMIT: 1}),
        ("-3", {}),
    ],
)
def test_what_is_turned_away_has_a_reason(reply, rejects):
    assert parse_choices(reply, 10, limit=3).rejects == rejects


def test_a_renumbered_title_is_no_choice():
    offered = ["Green tea, 20 bags", "Mug", "抹茶 🍵", "!!!"]
    reply = '1. "Green Tea" (food)\n2. "Honey"\n3) 抹茶\n4. anything\n'
    read = parse_choices(reply, offered)
    assert (read.numbers, read.rejects) == ((1, 3, 4), {parsing.OTHER_TITLE: 1})
    assert parse_choices("2, 1", offered).numbers == (2, 1)
    assert parse_choices(reply, 4).numbers == (1, 2, 3, 4)


@pytest.mark.parametrize("reply", ["none", "None.", "NONE fits", "\n**none**\n1"])
def test_none_is_an_answer(reply):
    assert parse_choices(reply, 10) == parsing.Choices(none=True)
    assert parse_titles(reply, 10) == parsing.Titles(none=True)


def test_titles():
    reply = (
        "Here are some:\n1. Green Tea\n- **Mug, 12 oz**\n•  « Théière »\n(4) 抹茶 🍵\n"
        "green tea\n---\n" + "x" * 300 + "\n7 Up\none too many\n"
    )
    titles = parse_titles(reply, limit=5)
    assert titles.titles == ("Green Tea", "Mug, 12 oz", "Théière", "抹茶 🍵", "7 Up")
    assert titles.rejects == {
        parsing.NOT_A_TITLE: 2,
        parsing.DUPLICATE: 1,
        parsing.TOO_LONG: 1,
        parsing.OVER_LIMIT: 1,
    }


def test_summaries():
    assert parse_summary(" Likes\x00 tea.\n\nAnd  🍵. ").text == "Likes tea. And 🍵."
    assert parse_summary(" \n*\n").rejects == {parsing.EMPTY: 1}
    long = parse_summary("One sentence here. " + "word " * 100, max_characters=30)
    assert (long.text, long.cut) == ("One sentence here.", True)
    assert parse_summary("x" * 99, max_characters=30).text == "x" * 30


@pytest.mark.parametrize(
    ("reply", "numbers", "choices", "titles", "cut"),
    [
        ("1" * 100_000, (), {parsing.INVALID: 1}, {parsing.TOO_LONG: 1}, True),
        ("1, " * 50_000, (1,), {parsing.DUPLICATE: 99}, {parsing.TOO_LONG: 1}, True),
        ("- " * 50_000, (), {parsing.INVALID: 1}, {parsing.NOT_A_TITLE: 1}, False),
        ("(" * 50_000, (), {parsing.INVALID: 1}, {parsing.NOT_A_TITLE: 1}, False),
    ],
    ids=["digits", "list", "bullets", "brackets"],
)
def test_hostile_replies_give_nothing_and_end(reply, numbers, choices, titles, cut):
    found = parse_choices(reply, 10)
    assert (found.numbers, found.rejects) == (numbers, choices)
    assert parse_titles(reply, 10).rejects == titles
    summary = parse_summary(reply)
    assert summary.cut == cut
    assert len(summary.text) <= 600


def test_a_number_that_the_cut_goes_through_is_not_read():
    start = "10 " + "2 " * 148  # 299 characters
    assert parse_choices(start + "12 3 4", 20).numbers == (10, 2)
    assert parse_choices(start + "1", 20).numbers == (10, 2, 1)
