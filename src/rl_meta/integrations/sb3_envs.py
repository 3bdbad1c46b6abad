"""Families as vector environments of Stable-Baselines3: lifetimes for its recurrent PPO, and single tasks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from rl_meta.errors import UserError
from rl_meta.integrations.batch import Copies, counted_from_0
from rl_meta.policies.spaces import flat_size, flatten, flatten_action
from rl_meta.tasks.base import Family
from rl_meta.tasks.envs import Outcome
from rl_meta.types import Array, PyTree


class FamilyVecEnv(VecEnv):
    """B environments of a family; what a subclass adds is where an episode ends. It tells what `Monitor` would."""

    def __init__(self, family: Family, n_envs: int, observation_space: spaces.Space, *, split: str, seed: int) -> None:
        """observation_space: what is shown. split: of the tasks. seed: decides them, and all randomness in them."""
        self.family = family
        self.render_mode = None
        super().__init__(n_envs, observation_space, counted_from_0(family.action_space))
        self._copies = Copies(family, n_envs, split=split, seed=seed)
        self._action: np.ndarray | None = None
        self._returns, self._lengths = np.zeros(n_envs), np.zeros(n_envs, int)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Decide tasks and all randomness in them from the next reset on."""
        if seed is not None:
            self._copies.random = np.random.default_rng(seed)
        return [seed] * self.num_envs

    def step_async(self, actions: np.ndarray) -> None:
        """See `VecEnv`."""
        self._action = np.asarray(actions)

    def close(self) -> None:
        """See `VecEnv`."""
        self._copies.close()

    def _begin(self, tasks: PyTree) -> PyTree:
        """All environments anew, in tasks [B, ...]; what they show."""
        self._returns[:], self._lengths[:] = 0, 0
        return self._copies.begin(tasks)

    def _stepped(self) -> Outcome:
        """What the action led to."""
        assert self._action is not None
        outcome = self._copies.step(self._action)
        self._returns += outcome.reward
        self._lengths += 1
        return outcome

    def _infos(self, done: np.ndarray, truncated: np.ndarray, last: PyTree) -> list[dict[str, Any]]:
        """What Stable-Baselines3 wants to know of episodes that ended. last: observations before any reset."""
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for index in np.flatnonzero(done):
            told = {"r": float(self._returns[index]), "l": int(self._lengths[index]), "t": 0.0}
            final = jax.tree.map(lambda x, i=index: x[i], last)
            infos[index] = {"episode": told, "terminal_observation": final}
            infos[index]["TimeLimit.truncated"] = bool(truncated[index])
        self._returns[done], self._lengths[done] = 0, 0
        return infos

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """See `VecEnv`: there is one object for all environments."""
        return [getattr(self, attr_name)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ARG002
        """See `VecEnv`."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """See `VecEnv`."""
        return [getattr(self, method_name)(*method_args, **method_kwargs)] * len(self._chosen(indices))

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """As if in a `Monitor`, which measures the same."""
        return [wrapper_class is Monitor] * len(self._chosen(indices))

    def _chosen(self, indices: Any) -> list[int]:
        return list(self._get_indices(indices))


class LifetimeVecEnv(FamilyVecEnv):
    """Lifetimes, each in a task of its own: what RL² needs (Duan et al. 2016).

    An episode, as Stable-Baselines3 counts, is a whole lifetime: a recurrent policy keeps its state across the
    episodes in it. It sees the observation, its last action, the last reward and whether an episode begins, as one
    vector. With every lifetime comes a new task.
    """

    def __init__(
        self, family: Family, n_envs: int = 16, *, split: str = "train", episodes: int | None = None, seed: int = 0
    ) -> None:
        """episodes: full-length ones in a lifetime; None: as many as the family says."""
        size = flat_size(family.observation_space) + flat_size(family.action_space) + 2
        super().__init__(family, n_envs, spaces.Box(-np.inf, np.inf, (size,)), split=split, seed=seed)
        self.lifetime_steps = (episodes or family.episodes) * family.horizon
        self._see = jax.jit(_see(family))
        self._time = 0
        self._none = np.zeros((n_envs, *(self.action_space.shape or ())), self.action_space.dtype)

    def reset(self) -> np.ndarray:
        """New lifetimes in new tasks."""
        self._time = 0
        obs = self._begin(self._copies.drawn())
        yes = np.ones(self.num_envs, bool)
        return np.array(self._see(obs, self._none, np.zeros(self.num_envs, np.float32), yes))

    def step_wait(self) -> tuple:
        """See `VecEnv`. All lifetimes are equally long, and end together."""
        self._time += 1
        over = np.full(self.num_envs, self._time == self.lifetime_steps)
        outcome = self._stepped()
        ended = outcome.terminated | outcome.truncated
        shown = np.array(self._see(outcome.obs, self._action, outcome.reward, ended))
        infos = self._infos(over, np.zeros_like(over), shown)
        return (self.reset() if over.all() else shown), outcome.reward, over, infos


def _see(family: Family) -> Callable[[PyTree, Array, Array, Array], Array]:
    """(observations [B], actions in the space, rewards, first flags) -> [B, size]."""

    def one(obs: PyTree, action: Array, reward: Array, first: Array) -> Array:
        drawn = action if isinstance(family.action_space, spaces.Discrete) else action.ravel()
        parts = [flatten(family.observation_space, obs), flatten_action(family.action_space, drawn)]
        return jnp.concatenate([*parts, reward[None], first[None].astype(jnp.float32)])

    return jax.vmap(one)


class TaskVecEnv(FamilyVecEnv):
    """Copies of one task, with the family's own episodes and observations; `put` changes the task.

    With `every_episode` there is a new task for every episode of each instead, and nothing to put.
    """

    def __init__(
        self,
        family: Family,
        n_envs: int = 8,
        *,
        task: PyTree = None,
        split: str = "train",
        every_episode: bool = False,
        seed: int = 0,
    ) -> None:
        """task: of the family, not batched; None: the first of the split.

        every_episode: instead of one task, a new one of the split with every episode, which is what a policy for all
        tasks is trained on.

        Raises:
            UserError: a task, and a new one with every episode.
        """
        if every_episode and task is not None:
            raise UserError("a task was given, and every_episode draws them: leave one of the two out")
        super().__init__(family, n_envs, family.observation_space, split=split, seed=seed)
        self.every_episode = every_episode
        self.put(family.sample(jax.random.key(seed), split) if task is None else task)

    def put(self, task: PyTree) -> None:
        """Be in this task from the next reset on."""
        self._tasks = self._copies.repeated(task)

    def reset(self) -> PyTree:
        """New episodes."""
        return self._begin(self._copies.drawn() if self.every_episode else self._tasks)

    def step_wait(self) -> tuple:
        """See `VecEnv`."""
        outcome = self._stepped()
        done = outcome.terminated | outcome.truncated
        infos = self._infos(done, outcome.truncated, outcome.next_obs)
        obs = self._copies.begin(self._copies.drawn(), done) if self.every_episode and done.any() else outcome.obs
        return obs, outcome.reward, done, infos
