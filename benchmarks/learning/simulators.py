"""RL² where environments are stepped on the host.

python benchmarks/learning/simulators.py
python benchmarks/learning/simulators.py pendulum-gymnasium-rl2

`pendulum-gymnasium-rl2` is `pendulum-rl2` of pearl.py with Gymnasium's own pendulum: both should reach the same.
"""

from typing import Any

import numpy as np
from experiment import SWING_UP, Experiment, run_chosen
from gymnasium.envs.classic_control.pendulum import PendulumEnv

from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.distributions import Choice, Uniform
from rl_meta.tasks.gymnasium_env import GymnasiumFamily


class TurningPendulum(PendulumEnv):
    """Gymnasium's, with a motor that may turn the other way."""

    direction = 1.0

    def step(self, u: np.ndarray) -> tuple[Any, ...]:
        """Push along the direction."""
        return super().step(self.direction * u)


PENDULUM = GymnasiumFamily(
    TurningPendulum,
    vary={"g": Uniform(5, 15), "m": Uniform(0.5, 1.5), "l": Uniform(0.5, 1.5), "direction": Choice((-1.0, 1.0))},
    max_steps=200,
    episodes=3,
)

EXPERIMENTS = {
    "pendulum-gymnasium-rl2": Experiment(family=PENDULUM, method=RL2(**SWING_UP), steps=3_000_000, tasks=1_000),
}


if __name__ == "__main__":
    run_chosen(EXPERIMENTS)
