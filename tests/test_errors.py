import pytest

from rl_meta.errors import UserError, unknown


def test_a_user_error_is_a_value_error():
    assert issubclass(UserError, ValueError)


def test_an_unknown_name_is_a_user_error_to_raise():
    with pytest.raises(UserError, match="unknown method"):
        raise unknown("method", "rl3", ["rl2"])


@pytest.mark.parametrize(("name", "near"), [("cartpol", "cartpole"), ("pendulm", "pendulum"), ("bandits", "bandit")])
def test_an_unknown_name_is_answered_with_the_nearest_one(name, near):
    assert f"did you mean {near!r}? " in str(unknown("family", name, ["bandit", "cartpole", "pendulum"]))


def test_a_name_that_is_near_to_none_gets_no_guess():
    assert str(unknown("family", "xyzzy", ["bandit"])) == "unknown family 'xyzzy': known: bandit"


def test_the_known_names_are_listed_in_order():
    assert str(unknown("family", "b!", iter(["c", "a", "b"]))).endswith("known: a, b, c")


def test_an_error_is_one_line():
    assert "\n" not in str(unknown("family", "cartpol", ["bandit", "cartpole"]))
