import numpy as np
import pytest
from augment_toys import make_training, unit

from recbole_edt.artefacts.budget import Demands
from recbole_edt.artefacts.place import find_anchors
from recbole_edt.artefacts.pool import make_pool, unit_vectors


def demand(*rows):
    return Demands(*np.array(rows, dtype=np.int64).T)


def contents(pool):
    parts = [pool.of(d) for d in range(len(pool.starts) - 1)]
    return [pool.items[part].tolist() for part in parts]


def test_by_hand():
    # items 0, 1 in d0; 2 to 6 in d1
    angles = [0, 90, 10, 80, 45, 180, 10]
    vectors = np.array([unit(angle) for angle in angles], dtype=np.float32)
    training = make_training([[0, 4], [0, 1, 2]], [0, 0, 1, 1, 1, 1, 1], 2)
    allowed = np.ones(7, dtype=bool)
    pool = make_pool(training, demand((0, 1, 0, 1), (1, 1, 0, 1)), vectors, allowed, 3, 0.5)
    # user 0: 4 is known, 5 and 3 lie below the floor; 2 and 6 are equal: catalogue order
    # user 1: 2 is known; 6 and 3 are 10 degrees away, 4 is 45
    assert contents(pool) == [[2, 6], [3, 6, 4]]
    np.testing.assert_allclose(pool.similarities[:2], np.cos(np.radians(10)), atol=1e-6)


def test_not_allowed_items_and_those_without_vector_are_out():
    vectors = np.array([unit(0), unit(1), unit(2), [0, 0]], dtype=np.float32)
    training = make_training([[0]], [0, 1, 1, 1], 2)
    allowed = np.array([True, False, True, True])
    assert contents(make_pool(training, demand((0, 1, 0, 1)), vectors, allowed, 9, -1)) == [[2]]


def test_user_without_vectors_in_the_dominant_domain():
    vectors = np.array([[0, 0], unit(0), unit(1)], dtype=np.float32)
    training = make_training([[0, 1]], [0, 1, 1], 2)
    pool = make_pool(training, demand((0, 1, 0, 1)), vectors, np.ones(3, bool), 9, -1)
    assert contents(pool) == [[]]


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_against_a_slow_reference(block):
    rng = np.random.default_rng(3)
    items, domains, size, floor = 90, 3, 6, 0.2
    vectors = unit_vectors(rng.normal(size=(items, 5)))
    item_domains = rng.integers(domains, size=items)
    histories = [rng.choice(items, rng.integers(1, 30)).tolist() for _ in range(25)]
    training = make_training(histories, item_domains, domains)
    rows = [(u, k, (k + 1) % domains, 1) for u in range(25) for k in range(domains)]
    allowed = rng.random(items) < 0.8
    pool = make_pool(training, demand(*rows), vectors, allowed, size, floor, block)
    for place, (user, domain, dominant, _) in enumerate(rows):
        near = [item for item in histories[user] if item_domains[item] == dominant]
        expected = []
        for item in range(items):
            if not allowed[item] or item_domains[item] != domain or item in histories[user]:
                continue
            best = max((float(vectors[item] @ vectors[other]) for other in near), default=-2)
            if best >= floor:
                expected.append((-best, item))
        assert contents(pool)[place] == [item for _, item in sorted(expected)[:size]]


def test_anchor_is_the_nearest_row_and_the_latest_of_equals():
    vectors = np.array([unit(angle) for angle in (0, 90, 12, 80)], dtype=np.float32)
    training = make_training([[0, 1, 0, 1], [1, 0]], [0, 0, 1, 1], 2)
    anchors, similarity = find_anchors(
        training, np.array([0, 0, 1, 1]), np.array([2, 3, 2, 3]), vectors
    )
    assert anchors.tolist() == [2, 3, 5, 4]
    np.testing.assert_allclose(similarity, np.cos(np.radians([12, 10, 12, 10])), atol=1e-6)
