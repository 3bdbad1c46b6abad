"""Running robots of MuJoCo: hidden speeds, directions and goals, and hidden bodies.

The bodies are those of Gymnasium's environments in version 5, the rewards and tasks those of the papers. Results with
the older bodies, most of which also showed the position of the torso, can be compared with care only.
Needs `pip install 'rl-meta[mujoco]'`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import unknown
from rl_meta.settings import Count
from rl_meta.tasks.base import split_key
from rl_meta.tasks.robots import Locomotion, Pay, Rewarded, Robot
from rl_meta.types import Array, Key


def cheetah(pay: Pay) -> Robot:
    """The half-cheetah with the cost of torques that all these papers have."""
    return Robot("HalfCheetah-v5", 17, spaces.Box(-1, 1, (6,)), partial(Rewarded, pay=pay), {"ctrl_cost_weight": 0.05})


# ------------------------------------------------------------------------------------------------ a hidden speed


class VelocityTask(NamedTuple):
    """What is hidden."""

    velocity: Array
    """At which to run, in metres per second."""


def run_at(info: dict, task: Mapping) -> tuple[float, str, float]:
    """-|velocity - wanted velocity|, less the cost of torques."""
    error = abs(info["x_velocity"] - float(task["velocity"]))
    return info["reward_ctrl"] - error, "velocity_error", error


@dataclass(frozen=True)
class _HalfCheetahVel(Locomotion):
    """Half-cheetah at a hidden speed."""

    robot = cheetah(run_at)
    measures = ("velocity_error=mean",)
    fastest: ClassVar[float]

    @property
    def task_space(self) -> spaces.Dict:
        """The speed, in metres per second."""
        return spaces.Dict([("velocity", spaces.Box(0, self.fastest, ()))])

    def sample(self, key: Key, split: str = "train") -> VelocityTask:
        """A fresh one in every split."""
        return VelocityTask(jax.random.uniform(split_key(key, split), maxval=self.fastest))


@dataclass(frozen=True)
class HalfCheetahVelMAML(_HalfCheetahVel):
    """Half-cheetah at a hidden speed from 0 to 2, as for MAML: episodes of 100 steps (Finn et al. 2017)."""

    horizon: Count = 100
    """Steps of an episode."""

    fastest = 2.0


@dataclass(frozen=True)
class HalfCheetahVelVariBAD(_HalfCheetahVel):
    """Half-cheetah at a hidden speed from 0 to 3, as for VariBAD: a lifetime of 2 episodes (Zintgraf et al. 2020)."""

    fastest = 3.0


@dataclass(frozen=True)
class HalfCheetahVelPEARL(Locomotion):
    """Half-cheetah at one of 100 + 30 fixed speeds from 0 to 3; the third episode counts (Rakelly et al. 2019)."""

    episodes: Count = 3
    """Full-length episodes of an ordinary lifetime."""

    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    robot = cheetah(run_at)
    measures = ("velocity_error=mean",)
    task_space = spaces.Dict([("velocity", spaces.Box(0, 3, ()))])

    def sample(self, key: Key, split: str = "train") -> VelocityTask:
        """One of the paper's: the first 100 numbers of their seed are for training, the next 30 for testing."""
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        drawn = np.random.RandomState(1337).uniform(0, 3, 130).astype(np.float32)  # it was theirs
        rows = drawn[:100] if split == "train" else drawn[100:]
        return VelocityTask(jnp.asarray(rows)[jax.random.randint(key, (), 0, len(rows))])


# ------------------------------------------------------------------------------------------------ a hidden direction


class DirectionTask(NamedTuple):
    """What is hidden."""

    direction: Array
    """1: forward, -1: backward."""


def run_forward_or_back(info: dict, task: Mapping) -> tuple[float, str, float]:
    """Velocity in the wanted direction, less the cost of torques."""
    velocity = float(task["direction"]) * info["x_velocity"]
    return velocity + info["reward_ctrl"], "velocity", velocity


@dataclass(frozen=True)
class HalfCheetahDir(Locomotion):
    """Half-cheetah that runs forward or backward, with the horizon of ProMP (Rothfuss et al. 2019)."""

    horizon: Count = 100
    """Steps of an episode."""

    robot = cheetah(run_forward_or_back)
    measures = ("velocity=mean",)
    task_space = spaces.Dict([("direction", spaces.Box(-1, 1, ()))])

    def sample(self, key: Key, split: str = "train") -> DirectionTask:
        """Both directions are in every split: there are no others."""
        return DirectionTask(jax.random.rademacher(split_key(key, split), (), jnp.float32))


class AngleTask(NamedTuple):
    """What is hidden."""

    angle: Array
    """In which to run, from 0 to 2π."""


def run_towards(info: dict, task: Mapping) -> tuple[float, str, float]:
    """Velocity at the wanted angle and 1 for living, less the costs of torques and of contacts."""
    angle = float(task["angle"])
    velocity = math.cos(angle) * info["x_velocity"] + math.sin(angle) * info["y_velocity"]
    return velocity + 1.0 + info["reward_ctrl"] + info["reward_contact"], "velocity", velocity


@dataclass(frozen=True)
class AntDir(Locomotion):
    """Ant that runs at a hidden angle; an episode ends when it falls (Rakelly et al. 2019)."""

    robot = Robot("Ant-v5", 105, spaces.Box(-1, 1, (8,)), partial(Rewarded, pay=run_towards))
    measures = ("velocity=mean",)
    task_space = spaces.Dict([("angle", spaces.Box(0, 2 * np.pi, ()))])

    def sample(self, key: Key, split: str = "train") -> AngleTask:
        """A fresh one in every split."""
        return AngleTask(jax.random.uniform(split_key(key, split), maxval=2 * jnp.pi))


# ------------------------------------------------------------------------------------------------ a hidden goal


class GoalTask(NamedTuple):
    """What is hidden."""

    goal: Array
    """[2] In metres from the start."""


def go_to(info: dict, task: Mapping) -> tuple[float, str, float]:
    """-(|x - goal x| + |y - goal y|), less the costs of torques and of contacts."""
    x, y = np.subtract((info["x_position"], info["y_position"]), task["goal"]).tolist()
    return info["reward_ctrl"] + info["reward_contact"] - abs(x) - abs(y), "distance", math.hypot(x, y)


@dataclass(frozen=True)
class AntGoal(Locomotion):
    """Ant that walks to a hidden place up to 3 metres away, and knows where it is itself (Rakelly et al. 2019)."""

    robot = Robot(
        "Ant-v5",
        107,
        spaces.Box(-1, 1, (8,)),
        partial(Rewarded, pay=go_to),
        {
            "ctrl_cost_weight": 0.1,
            "terminate_when_unhealthy": False,
            "exclude_current_positions_from_observation": False,
        },
    )
    measures = ("distance=last",)
    task_space = spaces.Dict([("goal", spaces.Box(-3, 3, (2,)))])

    def sample(self, key: Key, split: str = "train") -> GoalTask:
        """A fresh one in every split; all places of the disc are equally likely."""
        key_angle, key_radius = jax.random.split(split_key(key, split))
        angle = jax.random.uniform(key_angle, maxval=2 * jnp.pi)
        radius = 3 * jnp.sqrt(jax.random.uniform(key_radius))
        return GoalTask(radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)]))


# ------------------------------------------------------------------------------------------------ a hidden body


class BodyTask(NamedTuple):
    """What is hidden: powers, by which parts of the body differ from Gymnasium's. 0: they do not."""

    mass: Array
    """[bodies] of 1.5"""
    inertia: Array
    """[bodies, 3] of 1.5"""
    damping: Array
    """[joints] of 1.3"""
    friction: Array
    """[shapes, 3] of 1.5"""


POWER = 3.0
"""The largest: masses from 0.3 to 3.4 times the robot's own, damping from 0.46 to 2.2 times."""
ARRAYS = {"mass": "body_mass", "inertia": "body_inertia", "damping": "dof_damping", "friction": "geom_friction"}
"""Where MuJoCo has them."""


class OtherBody(gymnasium.Wrapper):
    """Gymnasium's own reward, with another body."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self._model = env.unwrapped.model  # type: ignore[attr-defined]
        self._own = {name: getattr(self._model, array).copy() for name, array in ARRAYS.items()}

    @property
    def task(self) -> dict[str, np.ndarray]:
        """How many times as heavy (and so on) as the robot's own its parts are."""
        own = self._own.items()
        return {k: np.divide(getattr(self._model, ARRAYS[k]), x, out=np.ones_like(x), where=x != 0) for k, x in own}

    @task.setter
    def task(self, values: Mapping[str, np.ndarray]) -> None:
        import mujoco  # noqa: PLC0415 (an extra)

        for name, array in ARRAYS.items():
            base = 1.3 if name == "damping" else 1.5
            getattr(self._model, array)[:] = self._own[name] * base ** np.asarray(values[name], float)
        mujoco.mj_setConst(self._model, self.env.unwrapped.data)  # type: ignore[attr-defined] # what follows from them


@dataclass(frozen=True)
class _RandomBody(Locomotion):
    """Masses, inertias, damping and friction differ; the ranges are those of rand_param_envs (Rothfuss et al. 2019)."""

    parts: ClassVar[tuple[int, int, int]]
    """Bodies, joints, shapes."""

    @property
    def task_space(self) -> spaces.Dict:
        """See `BodyTask`."""
        return spaces.Dict([(name, spaces.Box(-POWER, POWER, shape)) for name, shape in self._shapes.items()])

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        bodies, joints, shapes = self.parts
        return {"mass": (bodies,), "inertia": (bodies, 3), "damping": (joints,), "friction": (shapes, 3)}

    def sample(self, key: Key, split: str = "train") -> BodyTask:
        """A fresh one in every split."""
        keys = jax.random.split(split_key(key, split), len(self._shapes))
        several = zip(keys, self._shapes.values(), strict=True)
        return BodyTask(*(jax.random.uniform(k, shape, minval=-POWER, maxval=POWER) for k, shape in several))


@dataclass(frozen=True)
class HopperBody(_RandomBody):
    """Hopper with a hidden body: masses, inertias, damping and friction."""

    robot = Robot("Hopper-v5", 11, spaces.Box(-1, 1, (3,)), OtherBody)
    measures = ("x_velocity=mean",)
    parts = (5, 6, 5)


@dataclass(frozen=True)
class Walker2dBody(_RandomBody):
    """Walker with a hidden body: masses, inertias, damping and friction."""

    robot = Robot("Walker2d-v5", 17, spaces.Box(-1, 1, (6,)), OtherBody)
    measures = ("x_velocity=mean",)
    parts = (8, 9, 8)
