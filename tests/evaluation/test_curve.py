import json

import numpy as np
import pytest

from rl_meta.evaluation.curve import Scores, adaptation, speedup, summary
from rl_meta.evaluation.lifetimes import Lived

ROUNDING = 1e-12
ROW = {"env_steps", "mean", "iqm", "low", "high", "p20"}
SEEDS, TASKS = 2, 5


def lived(seed, stages=3, episodes=4):
    """What a seed's agent has made of five tasks: a little more in every later stage."""
    rng = np.random.default_rng(seed)
    rising = lambda count: rng.normal(size=(TASKS, count)) + 10 * np.arange(count)
    return Lived(
        stages=rising(stages),
        stage_env_steps=20 * (1 + np.arange(stages)),
        episodes=rising(episodes),
        episode_env_steps=15.0 * (1 + np.arange(episodes)) + seed,
        lifetime=rng.normal(size=TASKS),
    )


@pytest.fixture
def scores():
    return Scores([lived(seed) for seed in range(SEEDS)])


def rows(*means, steps=100):
    return [{"stage": i, "env_steps": steps * (i + 1), "mean": mean} for i, mean in enumerate(means)]


@pytest.mark.parametrize(("field", "name"), [("stages", "stage"), ("episodes", "episode")])
def test_a_row_has_what_programs_rely_on(field, name, scores):
    assert all(set(row) == {name} | ROW for row in summary(scores)[field])


@pytest.mark.parametrize(("field", "name"), [("stages", "stage"), ("episodes", "episode")])
def test_rows_are_numbered_from_zero(field, name, scores):
    found = [row[name] for row in summary(scores)[field]]
    assert found == list(range(scores.length(field)))
    assert {type(index) for index in found} == {int}


def test_all_numbers_but_indices_are_floats(scores):
    both = [row for field in ("stages", "episodes") for row in summary(scores)[field]]
    assert {type(row[name]) for row in both for name in ROW} == {float}


def test_what_programs_read_is_json(scores):
    everything = summary(scores) | adaptation(scores)
    assert json.loads(json.dumps(everything, allow_nan=False)) == everything


def test_the_mean_is_over_seeds_and_tasks(scores):
    expected = np.mean([one.stages[:, 1] for one in scores.lived])
    assert abs(summary(scores)["stages"][1]["mean"] - expected) < ROUNDING


def test_the_interval_holds_the_interquartile_mean(scores):
    assert all(row["low"] <= row["iqm"] <= row["high"] for row in summary(scores)["stages"])


def test_environment_steps_are_the_mean_over_seeds(scores):
    assert [row["env_steps"] for row in summary(scores)["episodes"]] == [15.5, 30.5, 45.5, 60.5]


def test_episodes_that_some_seed_did_not_complete_are_left_out():
    scores = Scores([lived(0, episodes=4), lived(1, episodes=2)])
    assert len(summary(scores)["episodes"]) == 2


def test_delta_is_the_last_less_the_first_stage_of_the_same_task(scores):
    expected = np.mean([one.stages[:, -1] - one.stages[:, 0] for one in scores.lived])
    assert abs(adaptation(scores)["delta"]["mean"] - expected) < ROUNDING


def test_delta_has_an_interval(scores):
    assert set(adaptation(scores)["delta"]) == {"mean", "iqm", "low", "high"}


def test_the_scores_of_both_ends_are_per_task(scores):
    expected = np.mean([one.stages[:, -1] for one in scores.lived], 0)
    assert adaptation(scores)["scores"]["last"] == expected.tolist()


def test_the_first_tasks_can_be_looked_at_alone(scores):
    few = scores.of_first(2)
    np.testing.assert_array_equal(few.matrix("stages", 1), scores.matrix("stages", 1)[:, :2])
    np.testing.assert_array_equal(few.matrix("lifetime"), scores.matrix("lifetime")[:, :2])


def test_the_speedup_is_the_ratio_of_steps_to_the_same_return():
    assert speedup(rows(5, 9, steps=10), rows(1, 2, 6, 7)) == {
        "return": 5,
        "steps": 10,
        "baseline_steps": 300,
        "times": 30.0,
        "at_least": False,
    }


def test_a_baseline_that_never_gets_there_gives_a_lower_bound():
    found = speedup(rows(5, 9, steps=10), rows(1, 2, 3, 4))
    assert (found["times"], found["baseline_steps"], found["at_least"]) == (40.0, None, True)


def test_a_baseline_reaches_a_return_when_it_equals_it():
    assert speedup(rows(5, steps=10), rows(1, 5))["baseline_steps"] == 200


def test_a_baseline_that_is_faster_has_a_speedup_below_one():
    assert speedup(rows(5, steps=200), rows(8))["times"] == 0.5
