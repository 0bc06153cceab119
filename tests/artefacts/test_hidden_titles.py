import pytest

from recbole_edt.artefacts.profiles.hidden_titles import hide_titles


@pytest.mark.parametrize(
    ("text", "titles", "expected"),
    [
        ("Likes The Red Kettle.", ["Red Kettle, The"], "Likes [title]."),
        ("Likes Red Kettle, The.", ["The Red Kettle"], "Likes [title]."),
        ("the red kettle and more", ["Red Kettle, The (1995)"], "[title] and more"),
        ("a red kettle", ["Red Kettle, The"], "a [title]"),
        ("Kettles and Kettle", ["Kettle"], "Kettles and [title]"),
        ("a kettle, the Kettle", ["Kettle"], "a kettle, the [title]"),
        ("the kettle", ["Kettle, The"], "[title]"),
        ("Tea Time II and Tea Time", ["Tea Time", "Tea Time II"], "[title] and [title]"),
        ("Pot (Blue) \u2019n\u2019 Pan", ["Pot (Blue) 'n' Pan"], "[title]"),
        ("L'Oeuf dur", ["Oeuf dur, L'"], "[title]"),
        ("Really? Yes! Stop", ["Really? Yes!"], "[title] Stop"),
        ("costs $5 (or so)", ["$5 ("], "costs [title]or so)"),
        ("the red pot and Tea", ["Red Pot (RP) (1996)"], "the [title] and Tea"),
        ("more of The Pan", ["Kettle: The Pan", "Kettle"], "more of [title]"),
        ("Kettle and the big pan", ["Kettle - The Big Pan"], "Kettle and [title]"),
        ("nothing of it", ["(", "...", ""], "nothing of it"),
    ],
)
def test_forms_of_a_title(text, titles, expected):
    hidden, count = hide_titles(text, titles)
    assert hidden == expected
    assert count == expected.count("[title]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('likes "The Red', 'likes "[title]'),
        ("likes the red ket", "likes [title]"),
        ("likes red ke", "likes red ke"),  # two letters may be anything
        ("likes the", "likes the"),
        ("likes the red", "likes [title]"),
        ("The Red Kettle, and the red", "[title], and [title]"),
        ("the red pot", "the red pot"),
    ],
)
def test_title_at_the_end_of_a_cut_text(text, expected):
    hidden, count = hide_titles(text, ["Red Kettle, The"], cut=True)
    assert (hidden, count) == (expected, expected.count("[title]"))
    assert hide_titles("likes the red", ["Red Kettle, The"]) == ("likes the red", 0)
