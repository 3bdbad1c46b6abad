"""Ranges as they are written, checked against the settings they are of, and drawn from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_meta.algorithms.rl2 import RL2
from rl_meta.errors import UserError
from rl_meta.settings import check_settings, ranges
from rl_meta.tasks.distributions import Choice, LogUniform, Uniform
from rl_meta.tasks.probes import OneArmPays
from rl_meta.training.catalogue import METHODS, methods
from rl_meta.tuning.ranges import as_written, default_ranges, draw, read_ranges, value_at
from tuned import Leaning

PARTS = {"family": OneArmPays(), "method": Leaning()}
TRIALS = 64


@pytest.mark.parametrize(
    ("entry", "name", "read"),
    [
        ("method.rate=log:1e-4:1e-2", "method.rate", LogUniform(1e-4, 1e-2)),
        ("method.rate=0.3:0.95", "method.rate", Uniform(0.3, 0.95)),
        ("method.rate=choice:1,0.5", "method.rate", Choice((1.0, 0.5))),
        ("method.meta-batch-size=choice:64,128", "method.meta_batch_size", Choice((64, 128))),
        ("method.meta_batch_size=8:64", "method.meta_batch_size", Uniform(8, 64)),
        ("method.widths=choice:64,64x32", "method.widths", Choice(((64,), (64, 32)))),
        ("method.limit=choice:none,5", "method.limit", Choice((None, 5))),
        ("method.kind=choice:one,two", "method.kind", Choice(("one", "two"))),
        ("family.horizon=4:8", "family.horizon", Uniform(4, 8)),
    ],
)
def test_a_range_is_read_in_the_type_of_its_field(entry, name, read):
    found = read_ranges([entry], PARTS)
    assert found == {name: read}
    if isinstance(read, Choice):
        assert [type(x) for x in found[name].values] == [type(x) for x in read.values]
    assert read_ranges([f"{name}={as_written(read)}"], PARTS) == found


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("method.rat=1:2", "unknown field 'method.rat': did you mean 'method.rate'?"),
        ("methd.rate=1:2", "unknown part of a run 'methd': did you mean 'method'?"),
        ("rate=1:2", "--range must be like method.learning-rate=log:1e-4:1e-2, got 'rate=1:2'"),
        ("method.rate", "--range must be like"),
        ("method.meta-batch-size=0:4", "Leaning.meta_batch_size must be at least 1, got 0"),
        ("family.end=0.5:1.5", "OneArmPays.end must be in [0, 1], got 1.5"),
        ("method.rate=2:1", "method.rate: a range must have a finite low below a finite high"),
        ("method.rate=log:0:1", "a logarithmic range must have a positive low"),
        ("method.rate=1:2:3", "a range must be two numbers LOW:HIGH"),
        ("method.rate=choice:a,b", "method.rate takes values of type float, got 'a'"),
        ("method.meta-batch-size=choice:1.5", "method.meta_batch_size takes values of type int, got 1.5"),
        ("method.kind=choice:one,tow", "unknown value of method.kind 'tow': did you mean 'two'?"),
        ("method.kind=1:2", "method.kind takes no numbers from a range: give method.kind=choice:A,B"),
        ("method.widths=3:4", "method.widths takes no numbers from a range"),
        ("method.widths=choice:64y", "a value of method.widths must be like 64 or 64x64, got '64y'"),
        ("method.widths=choice:0x8", "Leaning.widths must be at least 1, got 0"),
    ],
)
def test_a_wrong_range_is_told_with_what_is_right(entry, message):
    with pytest.raises(UserError) as told:
        read_ranges([entry], PARTS)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_two_ranges_of_one_field_are_refused():
    with pytest.raises(UserError, match=r"method.rate has two ranges"):
        read_ranges(["method.rate=1:2", "method.rate=2:3"], PARTS)


@given(low=st.integers(1, 50), more=st.integers(1, 50), unit=st.floats(0, 1), logarithmic=st.booleans())
def test_whole_numbers_stay_in_their_range(low, more, unit, logarithmic):
    distribution = (LogUniform if logarithmic else Uniform)(low, low + more)
    value = value_at(distribution, unit, whole=True)
    assert isinstance(value, int)
    assert low <= value <= low + more


@given(low=st.floats(1e-6, 1e3), times=st.floats(1.001, 1e6), unit=st.floats(0, 1), logarithmic=st.booleans())
def test_numbers_stay_in_their_range(low, times, unit, logarithmic):
    distribution = (LogUniform if logarithmic else Uniform)(low, low * times)
    assert low <= value_at(distribution, unit, whole=False) <= low * times


def test_every_trial_has_its_own_strip_of_every_range():
    drawn = read_ranges(["method.rate=log:1:16", "family.end=0:1", "method.limit=choice:none,1,2,3"], PARTS)
    values = draw(drawn, PARTS, TRIALS, seed=3)
    ends = sorted(int(one["family.end"] * TRIALS) for one in values)
    assert len(set(ends)) > TRIALS * 0.9, "but for rounding to four digits"
    assert sum(one["method.rate"] < 4 for one in values) == TRIALS / 2
    limits = [one["method.limit"] for one in values]
    assert {limit: limits.count(limit) for limit in (None, 1, 2, 3)} == dict.fromkeys((None, 1, 2, 3), TRIALS / 4)


def test_fields_are_drawn_independently_and_a_seed_repeats_them():
    drawn = read_ranges(["method.rate=0:1", "family.end=0:1"], PARTS)
    values = draw(drawn, PARTS, TRIALS, seed=3)
    assert values == draw(drawn, PARTS, TRIALS, seed=3)
    assert values != draw(drawn, PARTS, TRIALS, seed=4)
    both_low = sum(one["method.rate"] < 0.5 and one["family.end"] < 0.5 for one in values)
    assert 0.1 * TRIALS < both_low < 0.4 * TRIALS


@pytest.mark.parametrize("name", METHODS)
def test_the_ranges_that_a_method_declares_hold_its_default_and_are_allowed(name):
    method = methods.make(name)
    found = default_ranges(method)
    assert "method.learning_rate" in found
    written = [f"{field}={as_written(drawn)}" for field, drawn in found.items()]
    assert read_ranges(written, {"method": method}).keys() == found.keys()
    for field, drawn in found.items():
        default = getattr(method, field.removeprefix("method."))
        assert default in drawn.values if isinstance(drawn, Choice) else drawn.low <= default <= drawn.high


def test_what_is_searched_around_a_default_moves_with_it():
    assert default_ranges(RL2(learning_rate=0.01))["method.learning_rate"] == LogUniform(0.01 / 5, 0.05)
    assert "method.entropy_weight" not in default_ranges(RL2(entropy_weight=0.0))


def test_a_method_that_declares_nothing_wants_a_range():
    with pytest.raises(UserError, match="OneArmPays does not say where to look: give --range"):
        default_ranges(OneArmPays())


def test_declaring_where_to_look_leaves_the_limits_of_a_field_as_they_are():
    assert str(ranges(RL2)["learning_rate"]) == "be more than 0"
    with pytest.raises(UserError, match="learning_rate must be more than 0"):
        check_settings(RL2(learning_rate=0.0))
