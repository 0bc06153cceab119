"""The bootstrap, its p values and Holm's correction against scipy and hand-made cases."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from recbole_edt.compare.report import bootstrap


def compare(first, second, seed=1, draws=2000):
    """Return the effect of first over second with one target per user."""
    counts = np.ones(len(first))
    both = bootstrap.bootstrap_means(np.stack([first, second], axis=1), counts, seed, draws)
    return bootstrap.effect(first, second, counts, both[:, 0], both[:, 1])


@pytest.fixture
def users():
    """Two correlated metrics of 400 users, the first one 0.3 larger."""
    rng = np.random.default_rng(3)
    base = rng.normal(size=400)
    return base + 0.3 + rng.normal(0, 0.8, 400), base + rng.normal(0, 0.8, 400)


def test_a_win_and_a_loss_are_told_apart(users):
    win, loss = compare(*users), compare(*reversed(users))
    assert win.difference > 0 > loss.difference
    assert 0 < win.low < win.difference < win.high
    assert loss.low < loss.difference < loss.high < 0
    assert win.p < 0.01  # a one-sided test the wrong way round would say nearly 1 here
    assert loss.p < 0.01
    assert win.d_z == pytest.approx(-loss.d_z)


def test_equal_rows_have_no_effect(users):
    same = compare(users[0], users[0])
    assert (same.difference, same.low, same.high, same.p, same.d_z) == (0, 0, 0, 1, 0)


def test_p_is_uniform_without_a_difference():
    rng = np.random.default_rng(5)
    found = [compare(*rng.normal(size=(2, 200)), seed=k, draws=400).p for k in range(300)]
    assert scipy_stats.kstest(found, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.09


def test_interval_and_p_agree_with_scipy(users):
    first, second = users
    ours = compare(first, second, draws=20_000)
    theirs = scipy_stats.bootstrap(
        (first - second,), np.mean, n_resamples=20_000, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.005)
    t_test = scipy_stats.ttest_rel(first, second)
    assert (ours.low, ours.high) == pytest.approx(tuple(t_test.confidence_interval()), abs=0.005)
    assert ours.d_z == pytest.approx(t_test.statistic / np.sqrt(len(first)))
    nearer = compare(first - 0.22, second, draws=20_000)
    assert nearer.p == pytest.approx(scipy_stats.ttest_rel(first - 0.22, second).pvalue, abs=0.02)


def test_a_users_targets_are_drawn_together():
    rng = np.random.default_rng(2)
    per_user = rng.normal(0.1, 1, 300)
    once = compare(per_user, np.zeros(300))
    counts = np.full(300, 4)
    sums = np.stack([per_user * 4, np.zeros(300)], axis=1)  # four equal targets each
    draws = bootstrap.bootstrap_means(sums, counts, 1, 2000)
    four = bootstrap.effect(sums[:, 0], sums[:, 1], counts, draws[:, 0], draws[:, 1])
    assert four == once  # copies of a target make nothing more certain


def test_users_count_by_their_targets():
    sums, counts = np.array([[1.0], [0.0]]), np.array([1, 3])
    draws = bootstrap.bootstrap_means(sums, counts, 0, 500)
    assert set(np.round(draws[:, 0], 6)) == {0.0, 0.25, 1.0}


def test_draws_do_not_depend_on_the_memory_that_is_used():
    sums, users = np.random.default_rng(0).normal(size=(50, 2)), np.ones(50)
    whole = bootstrap.bootstrap_means(sums, users, 9, 100)
    in_parts = bootstrap.bootstrap_means(sums, users, 9, 100, cells_in_memory=50 * 7)
    assert np.allclose(in_parts, whole)
    assert not np.allclose(bootstrap.bootstrap_means(sums, users, 10, 100), whole)


def test_p_is_never_zero_and_counts_a_tie_on_both_sides():
    assert bootstrap.two_sided_p(np.ones(99)) == pytest.approx(2 / 100)
    assert bootstrap.two_sided_p(-np.ones(99)) == pytest.approx(2 / 100)
    assert bootstrap.two_sided_p(np.r_[np.ones(97), 0, -1]) == pytest.approx(2 * 3 / 100)


def test_what_rounding_adds_is_no_difference(users):
    first, counts = users[0], np.ones(400)
    draws = bootstrap.bootstrap_means(np.stack([first, first], axis=1), counts, 1, 500)
    noisy = bootstrap.effect(first, first, counts, draws[:, 0] + 1e-14, draws[:, 1])
    assert (noisy.low, noisy.high, noisy.p) == (0, 0, 1)
    real = bootstrap.effect(first, first, counts, draws[:, 0] + 1e-9, draws[:, 1])
    assert real.p < 0.01


def test_difference_weighs_targets_and_effect_size_weighs_users():
    first, counts = np.array([2.0, 0.0, 1.0]), np.array([4, 1, 1])
    draws = np.zeros(10)
    found = bootstrap.effect(first, np.zeros(3), counts, draws, draws)
    assert found.difference == pytest.approx(3 / 6)
    assert found.d_z == pytest.approx(np.mean([0.5, 0, 1]) / np.std([0.5, 0, 1], ddof=1))


def test_few_users_are_not_tested():
    few = compare(np.full(bootstrap.MIN_USERS - 1, 1.0), np.zeros(bootstrap.MIN_USERS - 1))
    assert few.p is None
    assert few.d_z is None  # no spread: the quotient has no value
    assert compare(np.full(bootstrap.MIN_USERS, 1.0), np.zeros(bootstrap.MIN_USERS)).p < 0.01


def test_holm_by_hand():
    # sorted .01 .02 .03 .04: times 4, 3, 2, 1, never falling
    assert bootstrap.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert bootstrap.holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert bootstrap.holm([]) == []
