import numpy as np
import pytest

from rl_meta.analysis.metrics import column, columns, mean_of_known, thinned


def rows(*values):
    return [{"iteration": i, "env_steps": 10 * (i + 1), "loss": value} for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("value", "shape"),
    [(1.5, (1, 1)), ([1.0, None], (2, 1)), ([[1, 2, 3]], (1, 3)), ([[[1, 2], [3, 4]]], (1, 4))],
)
def test_values_are_laid_out_by_seed_and_entry(value, shape):
    assert column(rows(value), "loss").values[0].shape == shape


def test_what_is_not_known_is_nan():
    values = column(rows([1.0, None], [float("inf"), 2.0]), "loss").values[..., 0]
    np.testing.assert_array_equal(values, [[1.0, np.nan], [np.nan, 2.0]])


def test_rows_without_the_metric_or_of_another_shape_are_left_out():
    measured = column([{"env_steps": 5}, *rows([[1, 2, 3]], [[1, 2]], None, [[3, 4]])], "loss")
    assert measured.env_steps.tolist() == [20, 40]


@pytest.mark.parametrize("value", ["text", {"a": 1}, [[1], [1, 2]], [], None, [None]])
def test_what_holds_no_numbers_is_no_metric(value):
    assert columns(rows(value)) == {}


def test_bookkeeping_is_no_metric():
    assert list(columns(rows(1.0))) == ["loss"]


def test_thinning_averages_rows_and_keeps_the_mean():
    measured = column(rows(*[[float(i)] for i in range(1000)]), "loss")
    short = thinned(measured, 100)
    assert short.values.shape == (100, 1, 1)
    assert short.values.mean() == pytest.approx(measured.values.mean())
    assert short.env_steps[0] == measured.env_steps[:10].mean()


def test_short_logs_are_not_thinned():
    measured = column(rows(1.0, 2.0), "loss")
    np.testing.assert_array_equal(thinned(measured, 2).values, measured.values)


def test_means_pass_over_what_is_unknown():
    means = mean_of_known(np.array([[1.0, np.nan, 3.0], [np.nan] * 3]), axis=1)
    np.testing.assert_array_equal(means, [2.0, np.nan])
