import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_meta.algorithms.rl2 import RL2
from rl_meta.errors import UserError
from rl_meta.settings import (
    Count,
    NotNegative,
    Positive,
    Range,
    Rate,
    check_settings,
    from_plain,
    is_off,
    ranges,
    to_plain,
)


@dataclasses.dataclass(frozen=True)
class Example:
    """One field of every kind."""

    rate: Rate = 0.5
    size: Positive = 1.0
    weight: NotNegative = 0.0
    count: Count = 1
    maybe: Count | None = None
    widths: tuple[Count, ...] = (8, 8)
    maybe_widths: tuple[Count, ...] | None = None
    free: float = 0.0
    name: str = "a"
    flag: bool = True


numbers = st.floats(allow_nan=False) | st.integers(-(10**6), 10**6)
examples = st.builds(
    Example,
    rate=st.floats(0, 1),
    count=st.integers(1, 100),
    maybe=st.none() | st.integers(1, 100),
    widths=st.lists(st.integers(1, 100)).map(tuple),
    free=st.floats(allow_nan=False),
    name=st.text(),
    flag=st.booleans(),
)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rate": 0.0},
        {"rate": 1},
        {"size": 1e-300},
        {"weight": 0},
        {"count": 1},
        {"maybe": 3},
        {"widths": ()},
        {"maybe_widths": (1, 2)},
        {"free": -1e9},
    ],
)
def test_settings_in_range_pass(fields):
    check_settings(Example(**fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate": 1.5}, r"^Example\.rate must be in \[0, 1\], got 1\.5$"),
        ({"rate": -1}, r"rate must be in \[0, 1\], got -1"),
        ({"size": 0.0}, r"size must be more than 0, got 0\.0"),
        ({"weight": -0.1}, r"weight must be at least 0, got -0\.1"),
        ({"count": 0}, r"count must be at least 1, got 0"),
        ({"maybe": 0}, r"maybe must be at least 1, got 0"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(fields, message):
    with pytest.raises(UserError, match=message):
        check_settings(Example(**fields))


@pytest.mark.parametrize("field", ["widths", "maybe_widths"])
def test_every_number_of_a_tuple_is_checked(field):
    with pytest.raises(UserError, match=f"{field} must be at least 1, got 0"):
        check_settings(Example(**{field: (8, 0, 8)}))


@pytest.mark.parametrize("field", ["rate", "size", "weight"])
def test_not_a_number_is_in_no_range(field):
    with pytest.raises(UserError, match="got nan"):
        check_settings(Example(**{field: math.nan}))


def test_a_field_without_a_range_may_be_anything():
    check_settings(Example(free=math.nan))


def test_settings_that_are_traced_pass():
    def traced(rate):
        check_settings(Example(rate=rate))
        return rate

    jax.vmap(traced)(jnp.array([0.5, 7.0]))


def test_ranges_are_found_inside_unions_and_tuples():
    assert set(ranges(Example)) == {"rate", "size", "weight", "count", "maybe", "widths", "maybe_widths"}


@given(numbers, numbers, numbers, st.booleans())
def test_a_range_holds_what_lies_between_its_bounds(low, high, value, open_low):
    expected = (low < value <= high) if open_low else (low <= value <= high)
    assert Range(low, high, open_low).allows(value) == expected


@given(numbers, numbers)
def test_a_missing_bound_does_not_bound(bound, value):
    assert [r.allows(value) for r in (Range(bound), Range(None, bound))] == [value >= bound, value <= bound]


@pytest.mark.parametrize(
    ("allowed", "text"),
    [
        (Range(0, 1), "be in [0, 1]"),
        (Range(0, 0.5, open_low=True), "be in (0, 0.5]"),
        (Range(2), "be at least 2"),
        (Range(2, open_low=True), "be more than 2"),
        (Range(None, 3), "be at most 3"),
    ],
)
def test_a_range_is_written_as_a_person_would(allowed, text):
    assert str(allowed) == text


@given(examples)
def test_settings_survive_a_round_trip_through_json(settings):
    assert from_plain(Example, json.loads(json.dumps(to_plain(settings)))) == settings


def test_plain_settings_have_every_field():
    assert set(to_plain(Example())) == {field.name for field in dataclasses.fields(Example)}


def test_fields_that_are_left_out_take_their_defaults():
    assert from_plain(Example, {"count": 7}) == Example(count=7)


def test_an_unknown_field_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match=r"unknown field of Example 'cuont': did you mean 'count'\?"):
        from_plain(Example, {"cuont": 3})


@dataclasses.dataclass(frozen=True)
class Typed:
    arms: Count = 5
    rate: Positive | None = None


@pytest.mark.parametrize("fields", [{"arms": "many"}, {"arms": None}, {"arms": True}, {"rate": "fast"}, {"rate": [1]}])
def test_what_is_no_number_is_refused(fields):
    with pytest.raises(UserError, match="must be a number"):
        check_settings(Typed(**fields))


def test_a_count_is_a_whole_number():
    with pytest.raises(UserError, match=r"Typed.arms must be a whole number, got 2.5"):
        check_settings(Typed(arms=2.5))


def test_only_the_number_zero_is_off():
    assert is_off(0.0)
    assert is_off(0)
    assert not is_off(1e-9)
    jax.vmap(lambda weight: (weight, pytest.fail("a tracer is off") if is_off(weight) else weight))(jnp.zeros(2))


@pytest.mark.parametrize(("value", "message"), [(8, "must be a tuple of numbers"), ([8], "must be a tuple of numbers")])
def test_widths_must_be_a_tuple(value, message):
    settings = RL2()
    object.__setattr__(settings, "encoder", value)  # past the types that are checked in tests
    with pytest.raises(UserError, match=message):
        check_settings(settings)
