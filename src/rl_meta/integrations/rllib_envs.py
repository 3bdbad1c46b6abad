"""Families as environments of RLlib's new API stack, and the protocol of the MAML that it had up to version 2.8.

Environments have `sample_tasks(n)`, `set_task(task)` and `get_task()`, as RLlib's `TaskSettableEnv` had. Where RLlib
asks for a vector environment (`gym_env_vectorize_mode="vector_entry_point"`), all copies are stepped as one compiled
program.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from ray.tune.registry import register_env

from rl_meta.errors import unknown
from rl_meta.integrations.batch import Copies, counted_from_0
from rl_meta.tasks.base import Family, draw_tasks
from rl_meta.types import PyTree

SETTINGS = ("split", "seed", "every_episode", "num_envs")


def register(family: Family, name: str) -> None:
    """Let RLlib know the family as the environment `name`.

    `env_config` may have `split` (train), `seed` (0), and `every_episode` (False): a new task with every episode, which
    is learning on pooled tasks; else the task stays until `set_task`, and is at first one that the seed decides.
    """
    register_env(name, partial(make_env, family=family))


def make_env(config: Mapping[str, Any], *, family: Family | None = None) -> gymnasium.Env | VectorEnv:
    """What RLlib calls: one environment, or as many copies as `num_envs` in the config says.

    config: see `register`; it may have the family as well.
    """
    settings = dict(config)
    family = settings.pop("family", family)
    for name in settings:
        if name not in SETTINGS:
            raise unknown("field of env_config", name, SETTINGS)
    count = settings.pop("num_envs", None)
    return FamilyEnv(family, **settings) if count is None else FamilyVectorEnv(family, count, **settings)


class AnyFamily:
    """`make_env` as a class, which RLlib takes for an environment without a name: checkpoints need no `register`."""

    def __new__(cls, config: Mapping[str, Any]) -> Any:
        """An environment, or several: no object of this class."""
        return make_env(config)


class Tasks:
    """The protocol of `TaskSettableEnv`, for B copies."""

    def __init__(self, family: Family, count: int, *, split: str, seed: int, every_episode: bool) -> None:
        """See `register`."""
        self.family, self.split, self.every_episode = family, split, every_episode
        self.copies = Copies(family, count, split=split, seed=seed)
        self.put(self.sample(1)[0])

    def sample(self, count: int) -> list[PyTree]:
        """So many tasks of the split, as NumPy arrays."""
        drawn = jax.tree.map(np.asarray, draw_tasks(self.family, self.copies.key(), count, self.split))
        return [jax.tree.map(lambda x, i=i: x[i], drawn) for i in range(count)]

    def put(self, task: PyTree) -> None:
        """Be in this task from the next episode on."""
        self.task = task
        self._all = self.copies.repeated(task)

    def begin(self, where: np.ndarray | None = None) -> PyTree:
        """New episodes, see `Copies.begin`; in new tasks where every episode is to have its own."""
        return self.copies.begin(self.copies.drawn() if self.every_episode else self._all, where)


class FamilyEnv(gymnasium.Env):
    """One environment of a family, with episodes as the family has them."""

    def __init__(self, family: Family, *, split: str = "train", seed: int = 0, every_episode: bool = False) -> None:
        """See `register`."""
        self.observation_space, self.action_space = family.observation_space, counted_from_0(family.action_space)
        self._tasks = Tasks(family, 1, split=split, seed=seed, every_episode=every_episode)

    def sample_tasks(self, n_tasks: int) -> list[PyTree]:
        """So many tasks."""
        return self._tasks.sample(n_tasks)

    def set_task(self, task: PyTree) -> None:
        """Be in this task from the next reset on."""
        self._tasks.put(task)

    def get_task(self) -> PyTree:
        """The task that was set last."""
        return self._tasks.task

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[PyTree, dict]:  # noqa: ARG002
        """A new episode."""
        if seed is not None:
            self._tasks.copies.random = np.random.default_rng(seed)
        return jax.tree.map(lambda x: x[0], self._tasks.begin()), {}

    def step(self, action: Any) -> tuple[PyTree, float, bool, bool, dict]:
        """See `gymnasium.Env`."""
        told = jax.tree.map(lambda x: x[0], self._tasks.copies.step(np.asarray(action)[None]))
        return told.next_obs, float(told.reward), bool(told.terminated), bool(told.truncated), {}

    def close(self) -> None:
        """See `gymnasium.Env`."""
        self._tasks.copies.close()


class FamilyVectorEnv(VectorEnv):
    """B copies of one task; the step after the end of an episode begins the next, as RLlib wants it."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's own way)

    def __init__(
        self, family: Family, num_envs: int, *, split: str = "train", seed: int = 0, every_episode: bool = False
    ) -> None:
        """See `register`."""
        self.num_envs = num_envs
        self.single_observation_space = family.observation_space
        self.single_action_space = counted_from_0(family.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.tasks = Tasks(family, num_envs, split=split, seed=seed, every_episode=every_episode)
        self._over, self._return = np.zeros(num_envs, bool), np.zeros(num_envs)
        self.steps, self.returns = 0, list[float]()
        """Steps taken, and the returns of episodes that ended."""

    def sample_tasks(self, n_tasks: int) -> list[PyTree]:
        """So many tasks."""
        return self.tasks.sample(n_tasks)

    def set_task(self, task: PyTree) -> None:
        """All copies are in this task from their next episode on."""
        self.tasks.put(task)

    def get_task(self) -> PyTree:
        """The task that was set last."""
        return self.tasks.task

    def reset(self, *, seed: Any = None, options: dict | None = None) -> tuple[PyTree, dict]:  # noqa: ARG002
        """New episodes everywhere."""
        if seed is not None:
            self.tasks.copies.random = np.random.default_rng(seed)
        self._over[:], self._return[:] = False, 0
        return self.tasks.begin(), {}

    def step(self, actions: Any) -> tuple[PyTree, np.ndarray, np.ndarray, np.ndarray, dict]:
        """See `gymnasium.vector.VectorEnv`."""
        told, begun = self.tasks.copies.step(np.asarray(actions)), self._over
        obs = told.next_obs
        if begun.any():  # these were not to be stepped, but reset
            fresh = self.tasks.begin(begun)
            obs = jax.tree.map(lambda new, old: np.where(_along(begun, new), new, old), fresh, obs)
        reward = np.where(begun, 0.0, told.reward)
        terminated, truncated = told.terminated & ~begun, told.truncated & ~begun
        self._count(reward, begun, terminated | truncated)
        return obs, reward, terminated, truncated, {}

    def _count(self, reward: np.ndarray, begun: np.ndarray, over: np.ndarray) -> None:
        self.steps += int((~begun).sum())
        self._return += reward
        self.returns += self._return[over].tolist()
        self._return[over] = 0
        self._over = over

    def close_extras(self, **_: Any) -> None:
        """See `gymnasium.vector.VectorEnv`."""
        self.tasks.copies.close()


def _along(flags: np.ndarray, like: np.ndarray) -> np.ndarray:
    """[B] -> [B, 1, ...], as many axes as `like` has."""
    return flags.reshape(-1, *[1] * (like.ndim - 1))
