"""A vector environment of Gymnasium behind the protocol of environments on the host, in every autoreset mode.

No step is wasted: whatever the mode, an episode that ends is followed at once by a masked reset.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from rl_meta.errors import UserError
from rl_meta.tasks.envs import Outcome, as_in_jax, rows_of
from rl_meta.types import Key, PyTree

HOW = "must take a list of seeds and options={'reset_mask': ...} in its reset, as gymnasium.vector.SyncVectorEnv does"
Put = Callable[[VectorEnv, int, PyTree], None]


class VectorEnvs:
    """See `tasks.envs.Envs`. For families of a user's own, whose `make_envs` returns it."""

    wants_keys = False

    def __init__(self, envs: VectorEnv, put: Put) -> None:
        """put: (vector environment, index, task) puts one of the environments into a task; a reset follows.

        Raises:
            UserError: the environments cannot be reset one by one.
        """
        self._envs, self._put = envs, put
        self._same_step = envs.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP
        self._obs: PyTree = None
        self._sent: tuple[np.ndarray, bool] | None = None
        self._check_masked_reset()

    def _check_masked_reset(self) -> None:
        """A reset of one environment must leave the others where they are."""
        count = self._envs.num_envs
        only_first = np.arange(count) == 0
        try:
            self._reset(list(range(count)), np.ones(count, bool))
            self._envs.action_space.seed(0)
            before = _typed(self._envs.step(self._envs.action_space.sample())[0])
            after = self._reset(None, only_first)
        except Exception as error:
            raise UserError(f"{self._envs} {HOW}, but: {type(error).__name__}: {error}") from error
        kept = jax.tree.map(lambda x, y: np.array_equal(x[1:], y[1:]), before, after)
        if not all(jax.tree.leaves(kept)):
            raise UserError(f"{self._envs} {HOW}, but it resets all where only one is to be reset")

    def begin(self, born: np.ndarray, tasks: PyTree, seeds: np.ndarray, keys: Key | None) -> PyTree:
        """See `Envs`."""
        for index in np.flatnonzero(born):
            self._put(self._envs, int(index), rows_of(tasks, int(index)))
        if born.any():
            self._obs = self._reset([int(seed) for seed in seeds], born)
        return self._obs

    def _reset(self, seeds: Any, mask: np.ndarray) -> PyTree:
        """Reset some; Gymnasium takes the mask out of the options that it is given."""
        return _typed(self._envs.reset(seed=seeds, options={"reset_mask": mask.copy()})[0])

    def send(self, action: np.ndarray, keys: Key | None, *, cut: bool, final: np.ndarray | None = None) -> None:
        """See `Envs`."""
        self._sent = np.array(action, self._envs.single_action_space.dtype), cut

    def receive(self) -> Outcome:
        """See `Envs`."""
        action, cut = self._sent  # type: ignore[misc]
        obs, reward, terminated, truncated, info = self._envs.step(action)
        terminated, truncated = np.array(terminated, bool), np.array(truncated, bool)
        ended = terminated | truncated
        obs = next_obs = _typed(obs)
        if self._same_step and ended.any():  # these are reset already: their last observation is in `info`
            next_obs = _with_final(obs, info["final_obs"], ended)
        truncated = (truncated | cut) & ~terminated
        over = (terminated | truncated) & ~(ended & self._same_step)
        if over.any():  # in mode NEXT_STEP as well: a masked reset takes the place of the one that was to come
            obs = self._reset(None, over)
        self._obs = obs
        return Outcome(obs, next_obs, np.asarray(reward, np.float32), terminated, truncated)

    def close(self) -> None:
        """See `Envs`."""
        self._envs.close()


def _typed(obs: Any) -> PyTree:
    """A copy in the types that JAX has."""
    return jax.tree.map(lambda x: np.array(x, as_in_jax(x.dtype)), obs)


def _with_final(obs: PyTree, final: np.ndarray, ended: np.ndarray) -> PyTree:
    """Observations with the last ones of the episodes that ended, which come as an array of objects [B]."""
    if isinstance(obs, dict):
        parts = lambda name: np.array([None if x is None else x[name] for x in final], object)
        return {name: _with_final(part, parts(name), ended) for name, part in obs.items()}
    result = obs.copy()
    for index in np.flatnonzero(ended):
        result[index] = final[index]
    return result
