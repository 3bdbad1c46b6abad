"""An agent that adapts in an environment of the user's own: NumPy in, NumPy out.

The user steps the environment; the agent does what a collector does around `begin`, `act` and `learn`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.algorithms.base import Adapter, Shape, birth_keys, keep_adapted, stage_keys, without_a_key
from rl_meta.axes import select
from rl_meta.collection.ledger import Ledger, observed
from rl_meta.errors import UserError
from rl_meta.policies.spaces import into_space, no_action
from rl_meta.settings import LARGEST_SEED
from rl_meta.types import Array, Inputs, Key, PyTree


class PredictState(NamedTuple):
    """What `Agent.predict` hands from call to call, one lifetime per environment, [n, ...]."""

    memory: PyTree
    last_action: np.ndarray
    calls: np.ndarray


class Agent:
    """Lives one lifetime at a time, between two calls of `begin_task`.

    A method that adapts by learning does so by itself, after every `copies` times `steps` steps.
    """

    def __init__(
        self,
        adapter: Adapter,
        params: PyTree,
        shape: Shape,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        *,
        best: Adapter | None = None,
    ) -> None:
        """params: meta-parameters of one seed. best: how it acts deterministically; None: without a key."""
        self.observation_space = observation_space
        self.action_space = action_space
        self._adapter, self._params, self._shape = adapter, params, shape
        self._keys = jax.jit(lambda key, stage: stage_keys(key, stage, shape.copies, shape.steps))
        self._begin = jax.jit(adapter.begin)
        best = best or without_a_key(adapter)
        self._act, self._act_best = jax.jit(adapter.act), jax.jit(best.act)
        self._learn = jax.jit(adapter.learn)
        self._predict, self._predict_best = jax.jit(partial(_act_each, adapter)), jax.jit(partial(_act_each, best))
        self._key: Key | None = None

    def begin_task(self, seed: int = 0) -> None:
        """A new task: all that was learned in the last one is forgotten. `seed` decides every later draw."""
        if not isinstance(seed, int | np.integer) or not 0 <= seed <= LARGEST_SEED:
            raise UserError(f"a seed must be a whole number from 0 to {LARGEST_SEED}, got {seed!r}")
        self._key = key = jax.random.key(seed)
        self._adapted, memory = self._begin(birth_keys(key)[0], self._params)
        self._unborn = memory
        self._memories = [memory] * self._shape.copies
        self._ledger = Ledger(self._shape, self.action_space, learns=self._adapter.learn is not keep_adapted)
        self._settled = False
        self._stage_keys = self._keys(key, 0)

    def act(
        self,
        observation: Any,
        reward: float = 0.0,
        terminated: bool = False,  # noqa: FBT001, FBT002 (the order of Gymnasium's step)
        truncated: bool = False,  # noqa: FBT001, FBT002
        *,
        final_observation: Any = None,
        deterministic: bool = False,
    ) -> np.ndarray:
        """The next action.

        Args:
            observation: what the environment shows now: after the end of an episode, the first observation of the
                next one.
            reward: what the previous action brought. Ignored in the first call of a task.
            terminated: whether the previous action ended the episode.
            truncated: whether a time limit did.
            final_observation: the last observation of the episode that ended, where one did and it is known.
            deterministic: act at its best instead of as in training (see `MetaAlgorithm.best`).

        Returns:
            An action inside `action_space`.

        Raises:
            UserError: `begin_task` was not called, the observation is not of `observation_space`, or the reward is
                not finite.
        """
        if self._key is None:
            raise UserError("no task has begun: call begin_task(seed=...) before act")
        obs, ledger = observed(self.observation_space, observation), self._ledger
        if ledger.inputs is None or self._settled:
            ledger.observe(obs)
            self._settled = False
        else:
            final = obs if final_observation is None else observed(self.observation_space, final_observation)
            self._go_on(obs, final, reward, ended=(bool(terminated), bool(truncated)))
        act = self._act_best if deterministic else self._act
        key, memory = self._stage_keys[0][ledger.copy, ledger.time, 0], self._memories[ledger.copy]
        memory, action, extras = act(key, self._params, self._adapted, memory, ledger.inputs)
        self._memories[ledger.copy] = memory
        ledger.acted(action, extras)
        return np.asarray(into_space(self.action_space, action))

    def settle(
        self,
        reward: float,
        terminated: bool,  # noqa: FBT001 (the order of Gymnasium's step)
        truncated: bool,  # noqa: FBT001
        *,
        final_observation: Any,
    ) -> PredictState:
        """Take in what the last action led to, without acting any more: an agent that learns from it does so now.

        Args:
            reward: what the last action brought.
            terminated: whether it ended the episode.
            truncated: whether a time limit did.
            final_observation: what it led to.

        Returns:
            What `predict` can go on from in this task, as often as wanted. `act` goes on with a new episode.

        Raises:
            UserError: there was no action.
        """
        if self._key is None or self._ledger.inputs is None or self._settled:
            raise UserError("nothing to settle: call begin_task and act before settle")
        final = observed(self.observation_space, final_observation)
        self._go_on(final, final, reward, ended=(bool(terminated), bool(truncated)))
        self._settled = True
        one = lambda x: np.asarray(x)[None]
        memory = jax.tree.map(one, self._memories[self._ledger.copy])
        return PredictState(memory, one(self._ledger.action), np.ones(1, np.int32))

    def _go_on(self, obs: PyTree, final: PyTree, reward: float, *, ended: tuple[bool, bool]) -> None:
        """Record what the last action led to; learn where that ended the stage. ended: terminated, truncated."""
        with np.errstate(over="ignore"):
            paid = np.array(np.nan if reward is None else reward, np.float32)
        if paid.ndim or not np.isfinite(paid):
            raise UserError(f"a reward must be a finite number, got {reward!r}")
        if not self._ledger.follow(obs, final, float(paid), ended=ended):
            return
        steps = self._ledger.end_stage()
        if steps is not None:
            self._adapted = self._learn(self._stage_keys[1], self._params, self._adapted, steps)
        self._stage_keys = self._keys(self._key, self._ledger.stage)

    def predict(
        self,
        observation: Any,
        state: PredictState | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,  # noqa: FBT001, FBT002 (Stable-Baselines3's signature)
        *,
        reward: np.ndarray | None = None,
    ) -> tuple[np.ndarray, PredictState]:
        """Stable-Baselines3's `predict`, for one environment or a batch of them.

        Every environment is one lifetime: `state` None begins them all; `episode_start` marks new episodes, which
        the memory outlives. Adaptation is by memory alone: what `act` has learned in this task is used, and not
        changed.

        Args:
            observation: of one environment, or [n, ...].
            state: as returned by the last call.
            episode_start: [n] bool.
            deterministic: act at its best instead of as in training (see `MetaAlgorithm.best`).
            reward: [n] what the last actions brought. Stable-Baselines3's tools do not pass it; an agent whose
                memory needs it then sees zeros.

        Returns:
            Actions, and the state for the next call.
        """
        if self._key is None:
            self.begin_task()
        obs, single = _as_batch(self.observation_space, observation)
        count = len(jax.tree.leaves(obs)[0])
        if state is None:
            tiled = jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], count, 0), self._unborn)
            none = np.repeat(np.asarray(no_action(self.action_space))[None], count, 0)
            state = PredictState(tiled, none, np.zeros(count, np.int32))
        first = np.zeros(count, bool) if episode_start is None else np.broadcast_to(episode_start, count)
        paid = np.zeros(count) if reward is None else np.broadcast_to(reward, count)
        begun = jnp.asarray(first | (state.calls == 0))
        obs = jax.tree.map(jnp.asarray, obs)
        result = select(jnp.asarray(state.calls == 0), jax.tree.map(jnp.zeros_like, obs), obs)
        inputs = Inputs(obs, begun, jnp.asarray(state.last_action), jnp.asarray(paid, jnp.float32), result)
        act_each = self._predict_best if deterministic else self._predict
        memory, action = act_each(self._key, self._params, self._adapted, state.memory, inputs, state.calls)
        after = PredictState(jax.tree.map(np.asarray, memory), np.asarray(action), state.calls + 1)
        actions = np.asarray(into_space(self.action_space, action))
        return (actions[0, ...] if single else actions), after


def _act_each(
    adapter: Adapter,
    key: Key,
    params: PyTree,
    adapted: PyTree,
    memory: PyTree,
    inputs: Inputs,
    calls: Array,
) -> tuple[PyTree, PyTree]:
    """Memory and action of every environment, [n, ...]."""

    def one(index: Array, memory: PyTree, inputs: Inputs, calls: Array) -> tuple[PyTree, PyTree]:
        own = jax.random.fold_in(jax.random.fold_in(key, index), calls)
        return adapter.act(own, params, adapted, memory, inputs)[:2]

    return jax.vmap(one)(jnp.arange(len(calls)), memory, inputs, calls)


def _as_batch(space: spaces.Space, observation: Any) -> tuple[PyTree, bool]:
    """[n, ...] arrays, and whether it was a single observation."""
    observation = observation if isinstance(observation, dict) else np.asarray(observation)
    leaf, of = observation, space
    while isinstance(of, spaces.Dict):
        name = next(iter(of.keys()))
        leaf, of = leaf[name], of[name]
    single = np.ndim(leaf) == len(of.shape or ())
    if single:
        return jax.tree.map(lambda x: np.asarray(x)[None], observed(space, observation)), True
    count = len(leaf)
    rows = [observed(space, jax.tree.map(lambda x, i=i: x[i], observation)) for i in range(count)]
    return jax.tree.map(lambda *x: np.stack(x), *rows), False
