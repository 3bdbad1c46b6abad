"""A robot of Gymnasium's MuJoCo environments, put into one task after another: what families of `locomotion` share."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS
from rl_meta.tasks.gymnasium_world import Simulated, World
from rl_meta.types import Key, PyTree

Pay = Callable[[dict, Mapping], tuple[float, str, float]]
"""(info of a step, task) -> reward, and the name and the value of what is measured."""


class Robot(NamedTuple):
    """An environment of Gymnasium."""

    id: str
    observation: int
    """Numbers in an observation."""
    action_space: spaces.Box
    """Torques."""
    wrapper: Callable[[gymnasium.Env], gymnasium.Wrapper]
    """Gets the task, as its attribute `task`."""
    settings: Mapping[str, Any] = {}
    """Of the environment's constructor, where they are not the defaults."""


@dataclass(frozen=True)
class Locomotion(Simulated):
    """A robot, what is hidden about it, and how that gets into its environment."""

    horizon: Count = 200
    """Steps of the longest episode."""
    episodes: Count = 2
    """Full-length episodes of an ordinary lifetime."""

    splits: ClassVar[tuple[str, ...]] = SPLITS[:3]
    robot: ClassVar[Robot]
    measures: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def task_space(self) -> spaces.Dict:
        """See `Family`."""

    @abstractmethod
    def sample(self, key: Key, split: str = "train") -> PyTree:
        """See `Family`."""

    @property
    def observation_space(self) -> spaces.Box:
        """The robot's joints and speeds.

        Raises:
            UserError: MuJoCo is missing.
        """
        if find_spec("mujoco") is None:
            raise UserError("MuJoCo is missing: pip install 'rl-meta[mujoco]'")
        return spaces.Box(-np.inf, np.inf, (self.robot.observation,))

    @property
    def action_space(self) -> spaces.Box:
        """The robot's."""
        return self.robot.action_space

    @property
    def world(self) -> World:
        """The robot's."""
        names = tuple(entry.partition("=")[0] for entry in self.measures)
        make = partial(_made, self.robot, self.horizon)
        return World(make, ways={}, set_task=_set_task, values=lambda task: task._asdict(), measures=names)


class Rewarded(gymnasium.Wrapper):
    """A robot that is paid for something else."""

    task: Mapping[str, Any]

    def __init__(self, env: gymnasium.Env, pay: Pay) -> None:
        super().__init__(env)
        self._pay = pay

    def step(self, action: np.ndarray) -> tuple:
        """See `gymnasium.Env`."""
        obs, _, terminated, truncated, info = self.env.step(action)
        reward, name, measured = self._pay(info, self.task)
        return obs, reward, terminated, truncated, {**info, name: measured}


def _made(robot: Robot, horizon: int) -> gymnasium.Env:
    env = gymnasium.make(robot.id, max_episode_steps=horizon, disable_env_checker=True, **robot.settings)
    return robot.wrapper(env)


def _set_task(env: gymnasium.Env, values: Mapping[str, Any]) -> None:
    env.task = values  # type: ignore[attr-defined]
