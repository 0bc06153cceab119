import numpy as np
import pytest
from shops import make_training, unit

from recbole_edt.artefacts.augmenter import Deficits, find_anchors
from recbole_edt.artefacts.augmenter.candidates import find_candidates
from recbole_edt.artefacts.augmenter.retrieval import Cooccurrence, TitleSimilarity
from recbole_edt.artefacts.embeddings import unit_vectors


def deficits(*rows):
    return Deficits(*np.array(rows, dtype=np.int64).T)


def by_titles(training, lacking, unit, allowed, size, floor, **block):
    retrieval = TitleSimilarity(training, unit, floor, **block)
    return find_candidates(training, lacking, allowed, size, retrieval)


def contents(found):
    return [found.of(d).tolist() for d in range(len(found.starts) - 1)]


def test_by_hand():
    # items 0, 1 in d0; 2 to 6 in d1
    angles = [0, 90, 10, 80, 45, 180, 10]
    vectors = np.array([unit(angle) for angle in angles], dtype=np.float32)
    training = make_training([[0, 4], [0, 1, 2]], [0, 0, 1, 1, 1, 1, 1], 2)
    allowed = np.ones(7, dtype=bool)
    found = by_titles(training, deficits((0, 1, 0, 1), (1, 1, 0, 1)), vectors, allowed, 3, 0.5)
    # user 0: 4 is known, 5 and 3 lie below the floor; 2 and 6 are equal: catalogue order
    # user 1: 2 is known; 6 and 3 are 10 degrees away, 4 is 45
    assert contents(found) == [[2, 6], [3, 6, 4]]
    np.testing.assert_allclose(found.values[:2], np.cos(np.radians(10)), atol=1e-6)


def test_not_allowed_items_and_those_without_vector_are_out():
    vectors = np.array([unit(0), unit(1), unit(2), [0, 0]], dtype=np.float32)
    training = make_training([[0]], [0, 1, 1, 1], 2)
    allowed = np.array([True, False, True, True])
    assert contents(by_titles(training, deficits((0, 1, 0, 1)), vectors, allowed, 9, -1)) == [[2]]


def test_user_without_vectors_in_the_dominant_domain():
    vectors = np.array([[0, 0], unit(0), unit(1)], dtype=np.float32)
    training = make_training([[0, 1]], [0, 1, 1], 2)
    found = by_titles(training, deficits((0, 1, 0, 1)), vectors, np.ones(3, bool), 9, -1)
    assert contents(found) == [[]]


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
    found = by_titles(training, deficits(*rows), vectors, allowed, size, floor, block=block)
    for number, (user, domain, dominant, _) in enumerate(rows):
        near = [item for item in histories[user] if item_domains[item] == dominant]
        expected = []
        for item in range(items):
            if not allowed[item] or item_domains[item] != domain or item in histories[user]:
                continue
            best = max((float(vectors[item] @ vectors[other]) for other in near), default=-2)
            if best >= floor:
                expected.append((-best, item))
        assert contents(found)[number] == [item for _, item in sorted(expected)[:size]]


def test_users_in_common_by_hand():
    # a-items 0, 1; b-items 2 to 5; user 0 has 0, 1 and 2
    histories = [[0, 1, 2, 2], [0, 3], [0, 1, 3, 3], [1, 4], [5], [2, 5]]
    training = make_training(histories, [0, 0, 1, 1, 1, 1], 2)
    retrieval = Cooccurrence(training)
    found = find_candidates(training, deficits((0, 1, 0, 1)), np.ones(6, dtype=bool), 9, retrieval)
    # 0 and 1 have three users each, 2 two; 3 and 5 two, 4 one
    expected = {3: 2 / 6**0.5 + 1 / 6**0.5, 4: 1 / 3**0.5, 5: 1 / 4**0.5}
    assert contents(found) == [[3, 4, 5]]
    np.testing.assert_allclose(found.values, list(expected.values()), rtol=1e-6)
    pairs = retrieval.pairs(np.zeros(3, np.int64), np.array([5, 3, 4]))
    np.testing.assert_allclose(pairs, [expected[i] for i in (5, 3, 4)], rtol=1e-6)
    allowed = np.array([True, True, True, False, True, True])
    assert contents(find_candidates(training, deficits((0, 1, 0, 1)), allowed, 1, retrieval)) == [
        [4]
    ]


@pytest.mark.parametrize("block", [1, 60, 1 << 20])
def test_users_in_common_against_a_slow_reference(block):
    rng = np.random.default_rng(4)
    items, size = 40, 7
    item_domains = rng.integers(3, size=items)
    histories = [rng.integers(items, size=rng.integers(1, 25)).tolist() for _ in range(30)]
    training = make_training(histories, item_domains, 3)
    rows = [(u, k, (k + 1) % 3, 1) for u in range(30) for k in range(3)]
    allowed = rng.random(items) < 0.8
    found = find_candidates(training, deficits(*rows), allowed, size, Cooccurrence(training, block))
    has = np.array([[item in history for item in range(items)] for history in histories], float)
    counts = has.sum(axis=0)
    cosine = has.T @ has / np.sqrt(np.maximum(np.outer(counts, counts), 1))
    for number, (user, domain, _, _) in enumerate(rows):
        value = cosine[np.flatnonzero(has[user])].sum(axis=0)
        value[~allowed | (item_domains != domain) | (has[user] > 0)] = 0
        items = found.of(number)
        assert len(items) == min(size, (value > 0).sum())
        np.testing.assert_allclose(value[items], np.sort(value)[::-1][: len(items)], rtol=1e-5)
        values = found.values[found.starts[number] : found.starts[number + 1]]
        np.testing.assert_allclose(values, value[items], rtol=1e-5)


def test_anchor_is_the_nearest_row_and_the_latest_of_equals():
    vectors = np.array([unit(angle) for angle in (0, 90, 12, 80)], dtype=np.float32)
    training = make_training([[0, 1, 0, 1], [1, 0]], [0, 0, 1, 1], 2)
    anchors, similarity = find_anchors(
        training, np.array([0, 0, 1, 1]), np.array([2, 3, 2, 3]), vectors
    )
    assert anchors.tolist() == [2, 3, 5, 4]
    np.testing.assert_allclose(similarity, np.cos(np.radians([12, 10, 12, 10])), atol=1e-6)
