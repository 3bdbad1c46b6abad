"""`highway-fast`: highway-env's road in EnvPool's C++, or as it is, with hidden lanes, cars and density.

How aggressively the others drive, EnvPool cannot be told, so they drive as highway-env's drivers usually do. Lanes,
cars and density are settings of a whole pool, so each environment is a pool of its own, with one thread at work.
Needs `pip install 'rl-meta[envpool]'`, or for highway-env `pip install 'rl-meta[driving]'`.
See Weng et al. (2022), "EnvPool: A Highly Parallel Reinforcement Learning Environment Execution Engine".
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np

from rl_meta.settings import Count
from rl_meta.tasks.highway import AROUND, HIGHWAY, HIGHWAY_ENV, Road, RoadFamily, Simulator

ROAD = HIGHWAY._replace(hidden={name: one for name, one in HIGHWAY.hidden.items() if name != "aggressiveness"})
IN_SIGHT, TOP_SPEED, LANE_WIDTH = 200.0, 40.0, 4.0
"""Metres, metres per second, metres: highway-env's, by which EnvPool scales what is observed."""


class PoolOfOne(gymnasium.Env):
    """EnvPool's road, observed in the units of `tasks.highway`."""

    values: Mapping[str, Any]

    def __init__(self, road: Road, horizon: int) -> None:
        self._road, self._horizon = road, horizon
        self._pool: Any = None
        self._made_for: Mapping[str, Any] | None = None
        self._scale = np.ones(5)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The next road of the task; with a seed, or in a new task, the first one of another pool."""
        super().reset(seed=seed)
        if seed is not None or self.values is not self._made_for:
            self._begin(int(self.np_random.integers(2**31)))
        obs, _ = self._pool.reset()
        return self._scaled(obs), {}

    def _begin(self, seed: int) -> None:
        """Make the pool of the task, and how its observations are scaled."""
        settings = self._road.configure(self.values)
        limits = {"duration": self._horizon, "max_episode_steps": self._horizon}
        make = importlib.import_module("envpool").make_gymnasium
        self._pool = make(self._road.env, num_envs=1, num_threads=1, seed=seed, **settings, **limits)
        self._made_for = self.values
        widths = {"x": IN_SIGHT, "y": LANE_WIDTH * settings["lanes_count"], "vx": 2 * TOP_SPEED, "vy": 2 * TOP_SPEED}
        ours: Any = AROUND["features_range"]
        self._scale = np.array([1.0, *(widths[name] / ours[name][1] for name in widths)])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """EnvPool calls a crash in the last second a time limit; here it is a crash, as it is in highway-env."""
        obs, reward, _, truncated, info = self._pool.step(np.array([action], np.int32))
        crashed = bool(info["crashed"][0])
        measured = {"crashed": crashed, "speed": float(info["speed"][0])}
        return self._scaled(obs), float(reward[0]), crashed, bool(truncated[0]), measured

    def _scaled(self, obs: np.ndarray) -> np.ndarray:
        return np.clip(obs[0] * self._scale, -1, 1).astype(np.float32)

    def close(self) -> None:
        """Let go of the pool's threads."""
        self._pool = None


ENVPOOL = Simulator("EnvPool", "envpool", "envpool", PoolOfOne)


@dataclass(frozen=True)
class HighwayFast(RoadFamily):
    """Drive fast, keep right, and do not crash, on two to four lanes among cars of hidden number and density."""

    horizon: Count = 40
    """Seconds, and decisions, of an episode; a crash ends it."""
    simulator: Literal["auto", "envpool", "highway-env"] = "auto"
    """What steps it; auto: EnvPool where it is installed, highway-env where only that is."""
    road: ClassVar[Road] = ROAD

    @property
    def stepped_by(self) -> Simulator:
        """What steps it."""
        only_slow = find_spec("envpool") is None and find_spec("highway_env") is not None
        slow = only_slow if self.simulator == "auto" else self.simulator == "highway-env"
        return HIGHWAY_ENV if slow else ENVPOOL
