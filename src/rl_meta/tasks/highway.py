"""`highway`: highway-env's road, whose traffic is hidden: how dense it is, on how many lanes, and how the others drive.

Needs `pip install 'rl-meta[driving]'`. It makes some tens of steps per second; the family `driving` is the fast one.
See Leurent (2018), "An Environment for Autonomous Driving Decision-Making", https://github.com/Farama-Foundation/HighwayEnv.
"""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError, unknown
from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS
from rl_meta.tasks.distributions import Choice, Uniform
from rl_meta.tasks.gymnasium_world import Simulated, World
from rl_meta.tasks.sources import Source, source_of
from rl_meta.types import Key, PyTree

OBSERVATION = {
    "type": "Kinematics",
    "vehicles_count": 5,
    "features": ["presence", "x", "y", "vx", "vy"],
    "features_range": {"x": [-150, 150], "y": [-16, 16], "vx": [-40, 40], "vy": [-40, 40]},
}
"""The own car and the four nearest ones, scaled by what does not depend on the task."""
MANNERS = {
    "TIME_WANTED": (2.5, 0.7),
    "DISTANCE_WANTED": (12.0, 6.0),
    "COMFORT_ACC_MAX": (2.0, 5.0),
    "LANE_CHANGE_MIN_ACC_GAIN": (1.0, 0.25),
    "LANE_CHANGE_MAX_BRAKING_IMPOSED": (2.0, 6.0),
    "POLITENESS": (0.5, 0.1),
}
"""What the drivers' models (IDM and MOBIL) have in calm traffic, and in aggressive traffic: seconds, metres, metres per
square second. Extrapolation goes a quarter beyond."""


@dataclass(frozen=True)
class Highway(Simulated):
    """Highway-env with hidden traffic: drive fast, keep right, and do not crash."""

    horizon: Count = 40
    """Seconds, and decisions, of an episode; a crash ends it."""
    episodes: Count = 3
    """Full-length episodes of an ordinary lifetime."""

    splits = SPLITS
    measures = ("crashed=max", "speed=mean")
    action_space: ClassVar[spaces.Discrete] = spaces.Discrete(5)  # lane left, idle, lane right, faster, slower

    @property
    def observation_space(self) -> spaces.Box:
        """Presence, place and velocity of five cars.

        Raises:
            UserError: highway-env is missing.
        """
        if find_spec("highway_env") is None:
            raise UserError("highway-env is missing: pip install 'rl-meta[driving]'")
        return spaces.Box(-np.inf, np.inf, (5, 5))

    @cached_property
    def _source(self) -> Source:
        ranges = {"density": Uniform(0.7, 1.7), "aggressiveness": Uniform(0.0, 1.0)}
        return source_of({**ranges, "lanes": Choice((2, 3, 4)), "vehicles": Choice((12, 16, 20))})

    @property
    def task_space(self) -> spaces.Dict:
        """Density, aggressiveness, and which of the numbers of lanes and of vehicles."""
        return self._source.task_space

    def sample(self, key: Key, split: str = "train") -> PyTree:
        """Density and aggressiveness from the split's region."""
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        return self._source.sample(key, split)

    @property
    def world(self) -> World:
        """A road."""
        return World(partial(_made, self.horizon), {}, _set_traffic, self._source.values, ("crashed", "speed"))


def _made(horizon: int) -> gymnasium.Env:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # PyGame would greet
    gymnasium.register_envs(importlib.import_module("highway_env"))
    settings = {"observation": OBSERVATION, "duration": horizon}
    return _Mannered(gymnasium.make("highway-fast-v0", disable_env_checker=True, config=settings))


def _set_traffic(env: gymnasium.Env, values: Mapping[str, Any]) -> None:
    traffic = {
        "lanes_count": int(values["lanes"]),
        "vehicles_count": int(values["vehicles"]),
        "vehicles_density": float(values["density"]),
    }
    env.unwrapped.configure(traffic)  # type: ignore[attr-defined]
    env.aggressiveness = float(values["aggressiveness"])  # type: ignore[attr-defined]


class _Mannered(gymnasium.Wrapper):
    """Highway-env with other drivers' manners."""

    aggressiveness = 0.5

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new road, with drivers of the task's manners."""
        found = self.env.reset(seed=seed, options=options)
        road: Any = self.env.unwrapped
        for driver in road.road.vehicles:
            if driver not in road.controlled_vehicles:
                for name, (calm, aggressive) in MANNERS.items():
                    setattr(driver, name, calm + self.aggressiveness * (aggressive - calm))
        return found
