import pytest
from synthetic_run import add_short_episodes, synthetic_evaluation

from rl_meta.analysis import wording


@pytest.mark.parametrize(
    ("value", "width", "words"),
    [
        (184.23, 8.0, "184"),
        (184.23, 1.2, "184.2"),
        (0.5, 0.08, "0.50"),
        (1234567.0, 0.0, "1,234,567"),
        (-3.14159, 0.0, "−3.14"),
        (-0.2, 8.0, "0"),
        (0.0, 0.0, "0"),
        (12, 0, "12.0"),
        (float("nan"), 0.0, "–"),
        (None, 0.0, "–"),
    ],
)
def test_a_number_has_the_digits_that_carry_meaning(value, width, words):
    assert wording.number(value, width) == words


@pytest.mark.parametrize(("value", "words"), [(210.4, "210"), (3.0, "3"), (1.52, "1.5"), (42_000.0, "42,000")])
def test_ratios_are_short(value, words):
    assert wording.times(value) == words


@pytest.mark.parametrize(("seconds", "words"), [(4.2, "4 s"), (65, "1 min 5 s"), (7_800, "2 h 10 min")])
def test_durations_are_in_hours_minutes_and_seconds(seconds, words):
    assert wording.duration(seconds) == words


def with_speedup(evaluation, **changes):
    evaluation["speedup"]["scratch"] |= changes
    return evaluation


def test_the_verdict_names_the_return_its_interval_and_what_a_beginner_needs():
    evaluation = synthetic_evaluation(episodes=1)
    evaluation["episodes"][0] |= {"iqm": 184.2, "low": 180.1, "high": 188.3}
    evaluation["stages"][0] |= {"iqm": 184.2}
    with_speedup(evaluation, baseline_steps=42_000, times=210.0)
    assert wording.verdict(evaluation) == (
        "In a task it has never seen, the agent's first episode returns 184 (95 % interval 180 to 188); "
        "learning from scratch needs 42,000 steps for that, the agent 200: 210 times as many."
    )


def test_with_several_episodes_in_a_stage_the_verdict_goes_by_stages():
    words = wording.verdict(add_short_episodes(synthetic_evaluation()))
    assert "per episode in its first 200 steps and 1" in words
    assert "in stage 2;" in words


def test_a_baseline_that_never_gets_there_gives_a_lower_bound():
    assert wording.verdict(synthetic_evaluation(reached=False)).endswith(
        "does not reach the former within 60,000 steps, against the agent's 200: at least 300 times as many."
    )


def test_a_baseline_that_is_as_fast_is_not_hidden():
    evaluation = with_speedup(synthetic_evaluation(), baseline_steps=100, times=0.5)
    assert wording.verdict(evaluation).endswith(
        "learning from scratch needs only 100 steps for the former, no more than the agent's 200."
    )


def test_a_return_that_comes_later_is_named():
    evaluation = with_speedup(synthetic_evaluation(), steps=400, baseline_steps=42_000, times=105.0)
    evaluation["speedup"]["scratch"]["return"] = 154.0
    assert wording.verdict(evaluation).endswith("42,000 steps for 154, the agent 400: 105 times as many.")


def test_training_tasks_are_not_sold_as_new_ones():
    evaluation = synthetic_evaluation(baselines=False) | {"split": "train"}
    assert wording.verdict(evaluation).startswith("In a task of its training set, the agent")


def test_without_a_comparison_the_verdict_makes_none():
    assert ";" not in wording.verdict(synthetic_evaluation(baselines=False))
