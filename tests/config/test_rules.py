"""Rules of keys: what they accept, and the words of what they refuse."""

from typing import Annotated, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt, MinLen

from recbole_edt.artefacts.augmenter.settings import LLM_MODES
from recbole_edt.config import RULES, KeyRule
from recbole_edt.config.keys.base import KeyGroup, NotNegative
from recbole_edt.config.keys.evaluation import METRICS
from recbole_edt.config.rules import Says, rule_of_default
from recbole_edt.config.schema import PER_PHASE, general_key
from recbole_edt.errors import UserError
from recbole_edt.evaluation.report import metric_values


def reason(rule, value):
    with pytest.raises(UserError) as caught:
        rule.check("key", value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (int, 2.5, "found 2.5, expected a whole number"),
        (int, True, "found True, expected a whole number"),
        (float, "1", "found '1', expected a number"),
        (float, None, "found None, expected a number"),
        (bool, 1, "found 1, expected True or False"),
        (dict, 3, "found 3, expected a mapping"),
        (Annotated[float, Gt(0)], 0, "found 0, expected a value > 0"),
        (Annotated[float, Gt(0)], float("nan"), "found nan, expected a value > 0"),
        (Annotated[int, Ge(1)] | None, 0, "found 0, expected a value >= 1"),
        (Annotated[float, Gt(0), Lt(1)], 1, "found 1, expected a value between 0 and 1"),
        (Annotated[float, Ge(0), Lt(1)], 1.5, "found 1.5, expected a value from 0 to below 1"),
        (Annotated[float, Ge(0), Le(1)], -1, "found -1, expected a value from 0 to 1"),
        (Literal["pca", "mlp"], "pcaa", "found 'pcaa', expected one of ['pca', 'mlp']"
         " (did you mean 'pca'?)"),
        (str, 3, "found 3, expected text"),
        (list[int], 3, "found 3, expected a list"),
        (int | str, 2.5, "found 2.5, Input should be a valid integer"),
        (Annotated[str, MinLen(2)], "a", "found 'a', String should have at least 2 characters"),
        (Literal["pca"], ["pca"], "found ['pca'], expected text"),
        (Annotated[int, Ge(1), Says("is odd", "is low")], "1", "'1' is odd"),
        (Annotated[int, Ge(1), Says("is odd", "is low")], 0, "0 is low"),
    ],
)  # fmt: skip
def test_what_is_refused_and_how(kind, value, said):
    assert reason(KeyRule(kind, "why"), value) == f"key: {said}"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (float, 3),
        (Annotated[int, Gt(0)] | None, None),
        (Annotated[float, Ge(0), Lt(1)], 0),
        (Literal["a", "b"], "b"),
        (dict | None, None),
    ],
)
def test_what_is_accepted(kind, value):
    assert KeyRule(kind, "why").accepts(value)
    assert KeyRule(kind, "why").or_none().accepts(None)


@pytest.mark.parametrize(
    ("default", "good", "bad"),
    [(1, 2, 1.5), (1.0, 2, "x"), (True, False, 1), ("a", 5, None), ({}, None, 3), (None, "x", ...)],
)
def test_a_key_that_only_recbole_explains_takes_values_of_its_defaults_type(default, good, bad):
    rule = rule_of_default(default)
    assert rule.accepts(good)
    assert bad is ... or not rule.accepts(bad)


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        ({"history_lenght": [3]}, "(did you mean 'history_length'?)"),
        (
            {"history_length": [5, 3]},
            "history_length: found [5, 3], expected a rising list",
        ),
        ({"history_length": 3}, "rising"),
        ({"history_length": ["a", "b"]}, "rising"),
        ({"history_length": [1, "b"]}, "rising"),
        ([1], "a mapping"),
    ],
)
def test_group_edges_are_rising_lists_of_known_groups(edges, said):
    assert said in reason(RULES["group_edges"], edges)
    assert RULES["group_edges"].accepts({"history_length": [3, 5.5]})
    assert RULES["group_edges"].accepts(None)


def test_every_metric_that_is_accepted_can_be_computed():
    for name in METRICS:
        assert metric_values(np.array([1]), f"{name.lower()}@1") == 1


def test_the_modes_that_ask_a_language_model_are_modes():
    assert set(LLM_MODES) < set(RULES["augment_mode"].choices)


def test_every_rule_says_why():
    for key, rule in RULES.items():
        assert rule.why.endswith("."), key
        assert rule.type_name, key
        assert rule.group, key


def test_a_phases_key_is_checked_as_the_general_one():
    assert general_key("shared_epochs", ("shared", "domain")) == "epochs"
    assert general_key("domain_dropout", ("shared", "domain")) == "domain_dropout"
    assert general_key("shared_epochs", ()) == "shared_epochs"
    assert "learning_rate" in PER_PHASE
    assert "train_batch_size" not in PER_PHASE


def test_settings_are_read_from_checked_keys():
    class Settings(KeyGroup):
        """Settings."""

        beta: NotNegative

    assert Settings.from_config({"beta": 1, "seed": 2}).beta == 1
    with pytest.raises(UserError, match=r"^beta: missing from the configuration$"):
        Settings.from_config({})
    with pytest.raises(UserError, match=r"^beta: found -1, expected a value >= 0$"):
        Settings.from_config({"beta": -1})
