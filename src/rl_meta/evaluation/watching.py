"""A lifetime with every state of the environment: what films are made of."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from rl_meta.algorithms.base import Adapter, Shape
from rl_meta.collection.device import device_collector
from rl_meta.tasks.base import Family, Transition
from rl_meta.tasks.envs import on_device
from rl_meta.tasks.wrappers import Wrapped
from rl_meta.types import Array, Inputs, Key, PyTree, Step


class Watched(NamedTuple):
    """An episode. All arrays are NumPy's."""

    states: PyTree
    """[T + 1, ...] From the first state to the last one."""
    rewards: np.ndarray
    """[T]"""
    number: int
    """Which episode of the lifetime it is, from 1."""


@dataclass(frozen=True)
class ShowState(Wrapped):
    """The same family, observed as a dictionary of its `observation` and its whole `state`."""

    def reset(self, key: Key, task: PyTree) -> tuple[PyTree, dict[str, PyTree]]:
        """The family's, with the state beside it."""
        state, obs = on_device(self.family).reset(key, task)
        return state, {"observation": obs, "state": state}

    def step(self, key: Key, state: PyTree, action: PyTree, task: PyTree) -> Transition:
        """The family's, with the state beside it."""
        transition = on_device(self.family).step(key, state, action, task)
        return transition._replace(obs={"observation": transition.obs, "state": transition.state})


def blindfolded(adapter: Adapter) -> Adapter:
    """An agent of the family itself, in `ShowState`: it sees the observation alone."""

    def seen(inputs: Inputs) -> Inputs:
        return inputs._replace(obs=inputs.obs["observation"], last_result=inputs.last_result["observation"])

    def act(key: Key | None, params: PyTree, adapted: PyTree, memory: PyTree, inputs: Inputs) -> tuple:
        return adapter.act(key, params, adapted, memory, seen(inputs))

    def learn(key: Key, params: PyTree, adapted: PyTree, steps: Step) -> PyTree:
        own = steps._replace(inputs=seen(steps.inputs), next_obs=steps.next_obs["observation"])
        return adapter.learn(key, params, adapted, own)

    return adapter._replace(act=act, learn=learn)


def watch(adapter: Adapter, params: PyTree, family: Family, shape: Shape, task: PyTree, key: Key) -> list[Watched]:
    """One lifetime of an agent: the episodes of its first copy that came to their end, in order."""
    collector = device_collector(blindfolded(adapter), ShowState(family), shape)

    def live(params: PyTree, task: PyTree) -> tuple[PyTree, PyTree, Array, Array]:
        alone = jax.tree.map(lambda x: jax.numpy.asarray(x)[None], task)
        steps = collector.collect(key, params, collector.begin(key, params, alone), alone)[1].steps
        flat = lambda x: x[0, :, 0].reshape(-1, *x.shape[4:])
        done = steps.terminated | steps.truncated
        return jax.tree.map(flat, (steps.inputs.obs["state"], steps.next_obs["state"], steps.reward, done))

    before, after, reward, done = jax.tree.map(np.asarray, jax.jit(live)(params, task))
    episodes: list[Watched] = []
    start = 0
    for end in np.flatnonzero(done).tolist():
        own = slice(start, end + 1)
        states = jax.tree.map(lambda x, y, o=own, e=end: np.concatenate([x[o], y[e : e + 1]]), before, after)
        episodes.append(Watched(states, reward[own], len(episodes) + 1))
        start = end + 1
    return episodes
