"""Meta-training on environments of Gymnasium: to a known answer, resumed, and with every kind of method."""

import os
import signal
from dataclasses import dataclass

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from safetensors.numpy import load_file

import rl_meta
from rl_meta.algorithms.oracle import Oracle
from rl_meta.algorithms.pearl import PEARL
from rl_meta.algorithms.rl2 import RL2
from rl_meta.errors import UserError
from rl_meta.tasks.distributions import Uniform
from rl_meta.tasks.gymnasium_env import GymnasiumFamily
from rl_meta.tasks.probes import OneArmPays
from rl_meta.training.config import read_config
from rl_meta.training.metrics import read_lines

LUCK = 0.15
"""Of 6 pulls in 500 tasks: four standard errors, and what exploring costs."""


class Arms(gymnasium.Env):
    """Two arms, one of which pays 1."""

    observation_space = spaces.Box(0, 1, (1,))
    action_space = spaces.Discrete(2)

    def __init__(self, arm=0.0):
        self.arm = int(arm > 0.5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(action == self.arm), False, False, {"paid": action == self.arm}


ARMS = GymnasiumFamily(Arms, vary={"arm": Uniform(0, 1)}, max_steps=3, episodes=2, measures=("paid=sum",))
PENDULUM = GymnasiumFamily("Pendulum-v1", vary={"g": Uniform(5, 15), "m": Uniform(0.5, 2)}, max_steps=8)


def newest(run):
    return load_file(sorted((run / "checkpoints").glob("*"))[-1])


@dataclass(frozen=True)
class TellingArms(OneArmPays):
    """On the device."""

    measures = ("paid=sum",)

    def step(self, key, state, action, task):
        made = super().step(key, state, action, task)
        return made._replace(measured={"paid": made.reward})


@pytest.mark.parametrize("family", [ARMS, TellingArms()], ids=["host", "device"])
def test_what_is_measured_is_in_the_metrics_and_in_the_evaluation(family, tmp_path):
    method = RL2(memory=4, encoder=(4,), meta_batch_size=4)
    run = rl_meta.train(family, method, out=tmp_path / "run", steps=1)
    (line,) = read_lines(run / "metrics.jsonl")
    assert line["paid"] == line["return"]
    evaluation = rl_meta.evaluate(run, family=family, tasks=5, baselines=())
    earned = [row["mean"] for row in evaluation["episodes"]]
    assert [row["mean"] for row in evaluation["measures"]["paid"]["episodes"]] == pytest.approx(earned)


@pytest.mark.learning
def test_rl2_finds_the_arm_that_pays(tmp_path):
    method = RL2(memory=8, encoder=(8,), meta_batch_size=32, learning_rate=1e-2)
    run = rl_meta.train(ARMS, method, out=tmp_path / "run", steps=20_000)
    evaluation = rl_meta.evaluate(run, family=ARMS, tasks=500, baselines=(), acting="deterministic")
    assert evaluation["lifetime"]["mean"] == pytest.approx(5.5, abs=LUCK)
    earned = [row["mean"] for row in evaluation["episodes"]]
    assert earned == pytest.approx([2.5, 3.0], abs=LUCK)
    assert [row["mean"] for row in evaluation["measures"]["paid"]["episodes"]] == pytest.approx(earned)
    assert [row["mean"] for row in evaluation["measures"]["paid"]["stages"]] == pytest.approx(earned)


def test_a_family_with_functions_has_to_be_given_again(tmp_path):
    rl_meta.train(ARMS, RL2(memory=4, encoder=(4,), meta_batch_size=4), out=tmp_path / "run", steps=1)
    config = tmp_path / "run" / "config.json"
    with pytest.raises(UserError, match="of your own"):
        read_config(config)
    assert read_config(config, family=ARMS).family == ARMS


def test_settings_that_contradict_each_other_leave_no_directory(tmp_path):
    with pytest.raises(UserError, match="equal minibatches"):
        rl_meta.train(ARMS, RL2(memory=4, meta_batch_size=3), out=tmp_path / "run", steps=1)
    assert not (tmp_path / "run").exists()


SMALL = (
    RL2(memory=4, encoder=(4,), meta_batch_size=4),
    pytest.param(
        PEARL(meta_batch_size=2, train_tasks=4, latent=2, hidden=(4,), encoder=(4,), batch_steps=8, batch_tasks=2),
        marks=pytest.mark.learning,
    ),
    pytest.param(Oracle(meta_batch_size=3, hidden=(4,)), marks=pytest.mark.learning),
)


@pytest.mark.parametrize("method", SMALL, ids=lambda method: type(method).__name__)
def test_a_run_that_is_stopped_resumes_to_the_same_numbers(method, tmp_path):
    def stop(line):
        if line["iteration"] == 1:
            os.kill(os.getpid(), signal.SIGINT)

    options = {"steps": 1 + method.meta_batch_size * method.shape(method.view(PENDULUM)).steps_per_call}
    whole = rl_meta.train(PENDULUM, method, out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        rl_meta.train(PENDULUM, method, out=tmp_path / "cut", report=stop, **options)
    rl_meta.resume(tmp_path / "cut")
    arrays = newest(whole)
    for name, array in newest(tmp_path / "cut").items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
