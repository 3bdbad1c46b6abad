"""A trial without Ray: scored in validation tasks, at equal distances, and going on where it was."""

from contextlib import suppress

import numpy as np
import pytest

from rl_meta.training.config import RunConfig
from rl_meta.training.metrics import read_lines
from rl_meta.training.run import load_params
from rl_meta.tuning.trial import Job, run_trial, scored_iterations
from tuned import Leaning, SecondArmPays, expected

ITERATIONS = 45
STEPS = ITERATIONS * 16
TASKS = 400
NOISE = 4 * 2 * 2 / np.sqrt(TASKS * 4)
"""Four standard errors: a step pays 2 or nothing, a score is 4 times the mean of 1600 of them."""


class Stopped(Exception):  # noqa: N818 (it is no error)
    """Raised in place of Tune's stopping."""


def config(**settings):
    return RunConfig(SecondArmPays(), Leaning(**settings), steps=STEPS)


def told_by(directory, settings, *, stop_at=None, before=()):
    told = []

    def tell(env_steps, score):
        told.append((env_steps, score))
        if env_steps == stop_at:
            raise Stopped

    with suppress(Stopped):
        run_trial(Job(settings, directory, TASKS, tuple(before)), tell)
    return told


def test_a_trial_is_scored_in_validation_tasks_and_in_no_test_task(tmp_path):
    told = told_by(tmp_path / "run", config(rate=0.1))
    assert [env_steps for env_steps, _ in told] == [80 * part for part in range(1, 10)]
    for env_steps, score in told:
        assert score == pytest.approx(expected(0.1, env_steps / 16), abs=NOISE)
    with pytest.raises(KeyError, match="test"):
        SecondArmPays().sample(None, "test")


def test_a_trial_that_was_stopped_is_a_run_with_what_was_scored(tmp_path):
    told_by(tmp_path / "run", config(rate=0.1), stop_at=240)
    assert load_params(config(rate=0.1), tmp_path / "run") == pytest.approx(1.5)
    assert read_lines(tmp_path / "run" / "metrics.jsonl")[-1]["env_steps"] == 240


def test_a_trial_goes_on_with_the_scores_that_it_would_have_had(tmp_path):
    whole = told_by(tmp_path / "whole", config())
    first = told_by(tmp_path / "cut", config(), stop_at=320)
    assert first + told_by(tmp_path / "cut", config(), before=first)[len(first) :] == whole
    assert told_by(tmp_path / "cut", config(), before=whole) == whole


def test_a_score_that_was_lost_is_made_again(tmp_path):
    whole = told_by(tmp_path / "whole", config())
    told_by(tmp_path / "cut", config(), stop_at=320)
    assert told_by(tmp_path / "cut", config(), before=whole[:3]) == whole


def test_several_seeds_are_scored_by_their_mean(tmp_path):
    several = RunConfig(SecondArmPays(), Leaning(), steps=STEPS, seeds=3)
    assert told_by(tmp_path / "run", several)[-1][1] == pytest.approx(expected(0.1, ITERATIONS), abs=NOISE)


def test_a_run_of_few_iterations_is_scored_after_each_of_them():
    assert scored_iterations(RunConfig(SecondArmPays(), Leaning(), steps=48)) == [1, 2, 3]
    assert scored_iterations(config())[-1] == config().iterations
