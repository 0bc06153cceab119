import numpy as np
from fake_llm import defaults
from shops import make_training

from recbole_edt.artefacts.augmenter import AugmentSettings
from recbole_edt.artefacts.augmenter.deficits import find_deficits

KEYS = {"augment_imbalance": 0.8, "augment_rate": 0.5, "augment_cap": 3}


def deficits_of(counts, **keys):
    settings = AugmentSettings.from_config(defaults() | KEYS | keys)
    found = find_deficits(np.array(counts), settings)
    columns = found.users, found.domains, found.dominant, found.limits
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_two_domains():
    counts = [[8, 2], [1, 4], [3, 0], [5, 5], [1, 0], [79, 21], [40, 0]]
    assert deficits_of(counts) == [
        (0, 1, 0, 3),  # share .8, half of 6
        (1, 0, 1, 2),  # half of 3 is 1.5, to the even 2
        (2, 1, 0, 2),  # nothing at all counts as a share of 1
        # half of 1 rounds to nothing; 79 of 100 is below the threshold
        (6, 1, 0, 3),  # capped
    ]


def test_every_sparse_domain_of_three():
    assert deficits_of([[8, 2, 0], [8, 8, 1], [4, 3, 4]]) == [
        (0, 1, 0, 3),
        (0, 2, 0, 3),
        (1, 2, 0, 3),
    ]


def test_budget_grows_with_length_and_imbalance():
    limits = [deficits_of([[most, rest]], augment_cap=99)[0][3] for most, rest in ((9, 2), (9, 0))]
    assert limits == [4, 4]  # 3.5 and 4.5, each to the even number
    assert deficits_of([[90, 20]], augment_cap=99)[0][3] == 35


def test_counts():
    training = make_training([[0, 1, 1], [2], [0, 0]], [0, 1, 2], 3)
    assert training.count_by_domain().tolist() == [[1, 2, 0], [0, 0, 1], [2, 0, 0]]
