"""The name that a user may have meant."""

from recbole_edt.errors import nearest


def test_the_nearest_name_is_told():
    assert nearest("learnin_rate", ["seed", "learning_rate"]) == " (did you mean 'learning_rate'?)"
    assert nearest("quite", ["another"]) == ""


def test_among_very_many_names_only_case_is_forgiven():
    users = [f"U{n}" for n in range(100_001)]
    assert nearest("u77", users) == " (did you mean 'U77'?)"
    assert nearest("u7x", users) == ""
