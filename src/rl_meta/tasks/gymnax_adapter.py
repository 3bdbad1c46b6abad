"""`gymnax`: an environment of gymnax, any of whose float parameters may vary from task to task.

    Gymnax("Pendulum-v1", vary=("g=5:15", "m=0.5:1.5"))

Needs `pip install 'rl-meta[gymnax]'`. See Lange (2022), https://github.com/RobertTLange/gymnax.
"""

from collections import namedtuple
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError, unknown
from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS, Transition
from rl_meta.tasks.regions import sample_box
from rl_meta.types import Array, Key, PyTree

DERIVED = {
    "total_mass": lambda params: params.masscart + params.masspole,
    "polemass_length": lambda params: params.masspole * params.length,
}
"""Parameters of gymnax's CartPole that it does not update when those they are computed from change."""


@cache
def _make(name: str) -> tuple[Any, Any]:
    """The environment and its default parameters."""
    try:
        import gymnax  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UserError(f"gymnax is missing ({error}): pip install 'rl-meta[gymnax]'") from error
    if name not in gymnax.registered_envs:
        raise unknown("gymnax environment", name, gymnax.registered_envs)
    with jax.ensure_compile_time_eval():  # the cache must not hold tracers
        return gymnax.make(name)


@cache
def _task_type(names: tuple[str, ...]) -> type:
    """One NamedTuple type per set of names, so that tasks of equal families are equal pytrees."""
    return namedtuple("GymnaxTask", names)


def _parse(entry: str) -> tuple[str, float, float]:
    """Name, low, high of one entry of `Gymnax.vary`."""
    name, _, bounds = entry.partition("=")
    try:
        low, high = (float(bound) for bound in bounds.split(":"))
    except ValueError:
        raise UserError(f"Gymnax.vary must be like 'length=0.25:1.0', got {entry!r}") from None
    if not -np.inf < low < high < np.inf:
        raise UserError(f"Gymnax.vary must have a low below a high, got {entry!r}")
    return name, low, high


@dataclass(frozen=True)
class Gymnax:
    """A gymnax environment as a family whose tasks are its parameters; split by region.

    Both spaces are those of the default parameters. What an environment draws in its own reset (the mazes'
    goals, the bandits' arms) is drawn anew in every episode and is no part of the task.
    """

    env: str = "CartPole-v1"
    """A name registered with gymnax."""
    vary: tuple[str, ...] = ("length=0.25:1.0", "gravity=5:15")
    """Parameters that differ between tasks, as NAME=LOW:HIGH; extrapolation goes a quarter beyond."""
    max_steps: Count | None = None
    """Steps after which an episode is truncated; without it, the environment's own limit."""

    splits = SPLITS
    episodes = 2

    def __post_init__(self) -> None:
        """Check the environment and the parameters' names and ranges."""
        params = _make(self.env)[1]
        floats = [f.name for f in fields(params) if type(getattr(params, f.name)) is float]
        known = [name for name in floats if name != "max_steps_in_episode"]
        for name in self._ranges:
            if name not in known:
                raise unknown(f"float parameter of {self.env}", name, known)
        if not self.vary or len(self._ranges) < len(self.vary):
            raise UserError(f"Gymnax.vary must name each parameter once, and at least one, got {self.vary}")

    @property
    def _ranges(self) -> dict[str, tuple[float, float]]:
        return {name: (low, high) for name, low, high in map(_parse, self.vary)}

    @property
    def horizon(self) -> int:
        """`max_steps`, or the environment's own limit."""
        return int(self.max_steps or _make(self.env)[1].max_steps_in_episode)

    @property
    def observation_space(self) -> spaces.Space:
        """The environment's."""
        return _spaces(self.env)[0]

    @property
    def action_space(self) -> spaces.Space:
        """The environment's."""
        return _spaces(self.env)[1]

    @property
    def task_space(self) -> spaces.Dict:
        """The parameters that vary."""
        return spaces.Dict([(name, spaces.Box(*bounds, ())) for name, bounds in self._ranges.items()])

    def sample(self, key: Key, split: str = "train") -> PyTree:
        """Parameters in the split's region."""
        low, high = zip(*self._ranges.values(), strict=True)
        return _task_type(tuple(self._ranges))(*sample_box(key, low, high, split))

    def reset(self, key: Key, task: PyTree) -> tuple[PyTree, Array]:
        """The environment's."""
        obs, state = _make(self.env)[0].reset_env(key, self.params(task))
        return jax.tree.map(jnp.asarray, state), obs

    def step(self, key: Key, state: PyTree, action: Array, task: PyTree) -> Transition:
        """The environment's, without its auto-reset."""
        env, params = _make(self.env)[0], self.params(task)
        obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
        terminated = jnp.asarray(terminated, bool)
        truncated = env.is_truncated(state, params) & ~terminated
        return Transition(state, obs, jnp.asarray(reward, float), terminated, truncated)

    def params(self, task: PyTree) -> Any:
        """The environment's parameters in a task, an `EnvParams` of gymnax."""
        params = _make(self.env)[1].replace(**task._asdict(), max_steps_in_episode=self.horizon)
        stale = {name: rule for name, rule in DERIVED.items() if hasattr(params, name)}
        return params.replace(**{n: rule(params) for n, rule in stale.items() if n not in task._fields})


def _spaces(name: str) -> tuple[spaces.Space, spaces.Space]:
    """Observation and action space as Gymnasium's, also when asked for while JAX traces."""
    from gymnax.environments.spaces import gymnax_space_to_gym_space  # noqa: PLC0415 (an extra)

    env, params = _make(name)
    with jax.ensure_compile_time_eval():
        observation, action = env.observation_space(params), env.action_space(params)
        return gymnax_space_to_gym_space(observation), gymnax_space_to_gym_space(action)
