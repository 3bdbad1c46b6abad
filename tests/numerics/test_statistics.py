import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from rl_meta.errors import UserError
from rl_meta.numerics.statistics import (
    bootstrap_interval,
    interquartile_mean,
    paired_difference,
    percentile20,
    probability_of_improvement,
    rliable_interval,
    summarise,
)

ROUNDING = 1e-9
"""Sums of the same doubles in another order; the scores here are at most 1e3."""

score = st.floats(-1e3, 1e3, allow_nan=False, width=32)
matrices = arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=score)
few = settings(max_examples=40, deadline=None)


def normal_scores(rng, seeds, tasks, *, seed_spread=0.0, task_spread=0.0, rest=1.0):
    """[seeds, tasks] around 0: the luck of a seed, how hard a task is (the same for all seeds), and noise."""
    luck = seed_spread * rng.normal(size=(seeds, 1)) + task_spread * rng.normal(size=(1, tasks))
    return luck + rest * rng.normal(size=(seeds, tasks))


def coverage(interval, trials, **how):
    """Share of simulated studies whose interval contains the true mean, 0."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(trials):
        low, high = interval(normal_scores(rng, **how), np.mean, repetitions=200)
        hits += low <= 0 <= high
    return hits / trials


@few
@given(matrices)
def test_the_interquartile_mean_is_scipys_trimmed_mean(scores):
    expected = stats.trim_mean(scores, 0.25, axis=None)
    assert interquartile_mean(scores) == pytest.approx(expected, abs=ROUNDING)


@few
@given(matrices)
def test_the_interquartile_mean_along_an_axis_is_that_of_every_row(scores):
    rows = [interquartile_mean(row) for row in scores]
    np.testing.assert_allclose(interquartile_mean(scores, axis=-1), rows, atol=ROUNDING)


@few
@given(matrices)
def test_the_interquartile_mean_lies_between_the_extremes(scores):
    assert scores.min() - ROUNDING <= interquartile_mean(scores) <= scores.max() + ROUNDING


@few
@given(matrices, st.randoms(use_true_random=False))
def test_centres_do_not_depend_on_the_order_of_tasks(scores, random):
    order = random.sample(range(scores.shape[1]), scores.shape[1])
    plain, shuffled = summarise(scores), summarise(scores[:, order])
    for name in ("mean", "iqm", "p20"):
        assert shuffled[name] == pytest.approx(plain[name], abs=ROUNDING)


@few
@given(matrices)
def test_intervals_stay_within_the_scores(scores):
    for interval in (bootstrap_interval, rliable_interval):
        low, high = interval(scores, interquartile_mean, repetitions=50)
        assert scores.min() - ROUNDING <= low <= high <= scores.max() + ROUNDING


@few
@given(matrices, st.floats(-100, 100), st.floats(0.1, 10))
def test_a_summary_moves_and_stretches_with_its_scores(scores, shift, scale):
    plain, moved = summarise(scores), summarise(scale * scores + shift)
    for name, value in plain.items():
        assert moved[name] == pytest.approx(scale * value + shift, abs=10 * ROUNDING)


@few
@given(matrices)
def test_the_interval_of_a_higher_level_is_the_wider_one(scores):
    narrow_low, narrow_high = bootstrap_interval(scores, np.mean, repetitions=100, level=0.5)
    low, high = bootstrap_interval(scores, np.mean, repetitions=100, level=0.99)
    assert low <= narrow_low <= narrow_high <= high


def test_equal_scores_have_an_interval_of_one_point():
    expected = {"mean": 7.0, "iqm": 7.0, "low": 7.0, "high": 7.0, "p20": 7.0}
    assert summarise(np.full((3, 10), 7.0)) == expected


def test_a_summary_holds_plain_floats():
    assert {type(value) for value in summarise(np.arange(8, dtype=np.float32)).values()} == {float}


def test_a_vector_is_one_seed():
    scores = np.random.default_rng(0).normal(size=30)
    assert summarise(scores) == summarise(scores[None])


def test_the_same_arguments_give_the_same_interval_and_another_seed_another():
    scores = np.random.default_rng(0).normal(size=(2, 20))
    first = bootstrap_interval(scores, np.mean, seed=1)
    assert first == bootstrap_interval(scores, np.mean, seed=1)
    assert first != bootstrap_interval(scores, np.mean, seed=2)


def test_with_one_seed_the_interval_is_scipys_bootstrap_over_tasks():
    scores = np.random.default_rng(0).gamma(2.0, size=100)
    ours = bootstrap_interval(scores, np.mean, repetitions=20_000)
    scipys = stats.bootstrap((scores,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    quantile_noise = 0.1 * (ours[1] - ours[0])
    np.testing.assert_allclose(ours, scipys, atol=quantile_noise)


def test_chunks_of_resamples_do_not_change_the_interval(monkeypatch):
    scores = np.random.default_rng(0).normal(size=(1, 20))
    whole = bootstrap_interval(scores, np.mean)
    monkeypatch.setattr("rl_meta.numerics.statistics.CHUNK_SCORES", 333)
    np.testing.assert_allclose(bootstrap_interval(scores, np.mean), whole, rtol=0.1)


@pytest.mark.parametrize(
    "design",
    [
        {"seeds": 1, "tasks": 40},
        {"seeds": 10, "tasks": 20},
        {"seeds": 15, "tasks": 20, "seed_spread": 1.0},
    ],
)
def test_the_interval_covers_the_truth_about_as_often_as_it_says(design):
    assert 0.87 <= coverage(bootstrap_interval, 200, **design) <= 1.0


def test_with_tasks_shared_by_the_seeds_only_drawing_them_once_covers_the_truth():
    design = {"seeds": 5, "tasks": 40, "task_spread": 1.0, "rest": 0.3}

    def shared(*args, **kwargs):
        return bootstrap_interval(*args, **kwargs, same_tasks=True)

    assert coverage(bootstrap_interval, 200, **design) < 0.8
    assert coverage(shared, 200, **design) > 0.87


def test_rliables_interval_does_not_count_the_choice_of_tasks():
    rng = np.random.default_rng(0)
    scores = normal_scores(rng, 10, 10, task_spread=100.0, rest=1.0)
    low, high = rliable_interval(scores, np.mean)
    own_low, own_high = bootstrap_interval(scores, np.mean)
    assert high - low < 1.0 < own_high - own_low


def test_rliables_interval_of_one_run_is_a_point():
    scores = np.random.default_rng(0).normal(size=(1, 20))
    low, high = rliable_interval(scores, np.mean)
    assert low == high == pytest.approx(scores.mean())


def test_the_20th_percentile_is_numpys_quantile():
    assert percentile20(np.arange(101.0)) == 20.0


@few
@given(
    arrays(float, st.tuples(st.integers(1, 5), st.just(3)), elements=st.integers(0, 4)),
    arrays(float, st.tuples(st.integers(1, 5), st.just(3)), elements=st.integers(0, 4)),
)
def test_the_probability_of_improvement_is_the_mean_mann_whitney_statistic(x, y):
    per_task = [
        stats.mannwhitneyu(x[:, task], y[:, task], method="asymptotic").statistic / (len(x) * len(y))
        for task in range(3)
    ]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(per_task))


@few
@given(matrices)
def test_nothing_improves_on_itself(scores):
    assert probability_of_improvement(scores, scores) == pytest.approx(0.5)


def test_differences_are_taken_task_by_task():
    before = np.arange(100.0)
    gain = paired_difference(before + 3, before)
    assert gain == {"mean": 3.0, "iqm": 3.0, "low": 3.0, "high": 3.0}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(UserError, match="got 1 of 4 that are not"):
        summarise([[1.0, 2.0], [3.0, bad]])


@pytest.mark.parametrize("scores", [[], [[]], [[[1.0]]]])
def test_what_is_not_a_score_matrix_is_refused(scores):
    with pytest.raises(UserError, match=r"matrix \[seeds, tasks\]"):
        summarise(scores)


def test_pairs_of_other_shapes_and_other_numbers_of_tasks_are_refused():
    with pytest.raises(UserError, match="same shape"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(UserError, match="same tasks"):
        probability_of_improvement([[1.0, 2.0]], [[1.0]])
