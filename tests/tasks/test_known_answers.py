import pytest

from known_answers import bernoulli_bandit_value, grid_navigation_plan, grid_navigation_values


@pytest.mark.parametrize(("pulls", "arms", "value"), [(10, 2, 6.0218), (10, 5, 6.6600), (10, 10, 6.7140)])
def test_the_bandits_value_is_the_published_one(pulls, arms, value):
    assert bernoulli_bandit_value(pulls, arms) == pytest.approx(value, abs=5e-5)


def test_one_pull_and_one_arm_earn_half_a_pull_each():
    assert bernoulli_bandit_value(1, 5) == pytest.approx(0.5)
    assert bernoulli_bandit_value(7, 1) == pytest.approx(3.5)


def test_two_pulls_of_two_arms_by_hand():
    assert bernoulli_bandit_value(2, 2) == pytest.approx(0.5 + 0.5 * 2 / 3 + 0.5 * 1 / 2)


def test_the_grids_values_are_the_published_ones():
    assert grid_navigation_values(5, 15, 4) == pytest.approx([4.0] + [11.0714] * 3, abs=5e-5)


def test_a_plan_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no plan"):
        grid_navigation_plan(3, 15)
