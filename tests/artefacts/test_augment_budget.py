import numpy as np
import pytest

from recbole_edt.artefacts.augmenter.augment_settings import AugmentSettings
from recbole_edt.artefacts.augmenter.budget import count_by_domain, find_demands
from recbole_edt.errors import UserError

from augment_toys import make_training  # isort: skip

DEFAULTS = {
    "augment_mode": "select",
    "augment_pool_by": "similarity",
    "augment_seed": 2026,
    "augment_imbalance": 0.8,
    "augment_rate": 0.5,
    "augment_cap": 3,
    "augment_pool": 20,
    "augment_floor": 0.3,
    "augment_history": 8,
}


def demands_of(counts, **keys):
    found = find_demands(np.array(counts), AugmentSettings.from_config(DEFAULTS | keys))
    columns = found.users, found.domains, found.dominant, found.limits
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_two_domains():
    counts = [[8, 2], [1, 4], [3, 0], [5, 5], [1, 0], [79, 21], [40, 0]]
    assert demands_of(counts) == [
        (0, 1, 0, 3),  # share .8, half of 6
        (1, 0, 1, 2),  # half of 3 is 1.5, to the even 2
        (2, 1, 0, 2),  # nothing at all counts as a share of 1
        # half of 1 rounds to nothing; 79 of 100 is below the threshold
        (6, 1, 0, 3),  # capped
    ]


def test_every_sparse_domain_of_three():
    assert demands_of([[8, 2, 0], [8, 8, 1], [4, 3, 4]]) == [
        (0, 1, 0, 3),
        (0, 2, 0, 3),
        (1, 2, 0, 3),
    ]


def test_budget_grows_with_length_and_imbalance():
    limits = [demands_of([[most, rest]], augment_cap=99)[0][3] for most, rest in ((9, 2), (9, 0))]
    assert limits == [4, 4]  # 3.5 and 4.5, each to the even number
    assert demands_of([[90, 20]], augment_cap=99)[0][3] == 35


def test_counts():
    training = make_training([[0, 1, 1], [2], [0, 0]], [0, 1, 2], 3)
    assert count_by_domain(training).tolist() == [[1, 2, 0], [0, 0, 1], [2, 0, 0]]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("augment_mode", "selct", "did you mean 'select'"),
        ("augment_pool_by", "titles", "augment_pool_by: 'titles' is unknown"),
        ("augment_seed", 1.5, "augment_seed: 1.5 is not a whole number"),
        ("augment_imbalance", 1.2, "augment_imbalance: 1.2 is not a number of 0 to 1"),
        ("augment_rate", -1, "augment_rate: -1 is not a number of 0 or more"),
        ("augment_floor", float("nan"), "augment_floor: nan"),
        ("augment_cap", True, "augment_cap: True is not a whole number"),
        ("augment_pool", 0, "augment_pool: 0 is not a whole number of 1 or more"),
    ],
)
def test_bad_settings(key, value, told):
    with pytest.raises(UserError, match=told):
        AugmentSettings.from_config(DEFAULTS | {key: value})
