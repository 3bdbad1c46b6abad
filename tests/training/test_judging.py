import pytest

from rl_meta.training.judging import greedy_soup


def soup(scores, together):
    """`together`: the score of a mean, by which models are in it."""
    asked = []

    def score_of_mean(weights):
        kept = "".join("abc"[i] for i, weight in enumerate(weights) if weight)
        assert sum(weights) == pytest.approx(1)
        assert len({weight for weight in weights if weight}) == 1
        asked.append(kept)
        return together[kept]

    return greedy_soup(scores, score_of_mean), asked


def test_a_soup_begins_with_the_best_and_goes_on_to_the_worst():
    weights, asked = soup([1.0, 3.0, 2.0], {"bc": 4.0, "abc": 5.0})
    assert asked == ["bc", "abc"]
    assert weights == pytest.approx([1 / 3] * 3)


def test_a_model_that_makes_it_worse_is_left_out():
    weights, asked = soup([1.0, 3.0, 2.0], {"bc": 2.9, "ab": 3.5})
    assert asked == ["bc", "ab"]
    assert weights == [0.5, 0.5, 0.0]


def test_a_model_that_changes_nothing_is_kept():
    assert soup([3.0, 3.0], {"ab": 3.0})[0] == [0.5, 0.5]


def test_where_all_make_it_worse_the_best_stays_alone():
    assert soup([1.0, 2.0, 3.0], {"bc": 0.0, "ac": 0.0})[0] == [0.0, 0.0, 1.0]
