"""A run as the functions that `train_run` calls, where environments are on the host: compiled pieces, a Python loop."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.collection.base import Collector
from rl_meta.collection.device import device_collector
from rl_meta.collection.host import HostLives
from rl_meta.policies.spaces import blank
from rl_meta.tasks.base import Transition, draw_tasks
from rl_meta.tasks.envs import HostFamily
from rl_meta.tasks.wrappers import Wrapped
from rl_meta.training.config import RunConfig
from rl_meta.training.initial import InitialNetwork, beginning_with
from rl_meta.training.loop import TrainState, improve, trainer
from rl_meta.types import Info, Key, PyTree


@runtime_checkable
class Program(Protocol):
    """All seeds of a run, wherever they live. The first axis of keys and states is that of the seeds."""

    def init(self, keys: Key) -> TrainState:
        """The state before the first iteration."""

    def go_on(self, keys: Key, state: TrainState, iterations: int) -> tuple[TrainState, Info]:
        """So many iterations: the state after them, and the mean of what they tell. `state` is used up."""

    def shapes(self, keys: Key) -> PyTree:
        """A state, or its shapes. Raises what makes the run impossible, before anything is written."""

    def resumed(self, keys: Key, state: TrainState) -> TrainState:
        """The state that a saved one goes on as."""

    def close(self) -> None:
        """Let go of the environments."""


class HostProgram:
    """The run of a family on the host. Seeds take turns, each with environments of its own."""

    def __init__(self, config: RunConfig, family: HostFamily, initial: InitialNetwork | None = None) -> None:
        """family: as the method sees it. initial: weights to begin with."""
        method, self.shape = config.method, config.shape
        algorithm = beginning_with(method.build(family, config.iterations), initial, family)
        algorithm = algorithm._replace(init=jax.jit(algorithm.init))
        sample = jax.jit(lambda key: draw_tasks(family, key, method.meta_batch_size))
        compiled = jax.jit(improve, static_argnums=(0, 1))
        self.lives = [HostLives(algorithm.adapter, family, self.shape) for _ in range(config.seeds)]
        self.trainers = [
            trainer(algorithm, Collector(lives.begin, lives.collect), sample, self.shape, improve=compiled)
            for lives in self.lives
        ]
        blanks = device_collector(algorithm.adapter, _Blank(family), self.shape)
        self.imagined = trainer(algorithm, blanks, sample, self.shape)

    def init(self, keys: Key) -> TrainState:
        """See `Program`."""
        return _stack([train.init(key) for train, key in zip(self.trainers, keys, strict=True)])

    def go_on(self, keys: Key, state: TrainState, iterations: int) -> tuple[TrainState, Info]:
        """See `Program`. `lost_lifetimes` are those left out per iteration because their environment died."""
        states, told = [], []
        for seed, (train, lives) in enumerate(zip(self.trainers, self.lives, strict=True)):
            own, infos, lost = jax.tree.map(lambda x, s=seed: x[s], state), [], lives.lost
            for _ in range(iterations):
                own, info = train.iterate(keys[seed], own)
                infos.append(jax.tree.map(np.asarray, info))
            states.append(own)
            told.append(_mean(infos) | {"lost_lifetimes": np.float32((lives.lost - lost) / iterations)})
        return _stack(states), _stack(told)

    def shapes(self, keys: Key) -> PyTree:
        """See `Program`. No environment is stepped for it."""
        state = jax.eval_shape(jax.vmap(self.imagined.init), keys)
        jax.eval_shape(jax.vmap(self.imagined.iterate), keys, state)
        return state

    def resumed(self, keys: Key, state: TrainState) -> TrainState:
        """See `Program`. The environments of lifetimes that were cut are gone: they begin anew."""
        if not state.iteration.any():
            return self.init(keys)
        return state._replace(live=state.live._replace(stage=jnp.full_like(state.live.stage, self.shape.stages)))

    def close(self) -> None:
        """See `Program`."""
        for lives in self.lives:
            lives.close()


@dataclass(frozen=True)
class _Blank(Wrapped):
    """The family in JAX, with nothing happening in it: what takes the shapes of a run."""

    def reset(self, key: Key, task: PyTree) -> tuple[PyTree, PyTree]:  # noqa: ARG002
        """Zeros."""
        return (), blank(self.observation_space)

    def step(self, key: Key, state: PyTree, action: PyTree, task: PyTree) -> Transition:  # noqa: ARG002
        """Zeros."""
        no = jnp.zeros((), bool)
        return Transition((), blank(self.observation_space), jnp.zeros(()), no, no)


def _stack(trees: list[PyTree]) -> PyTree:
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def _mean(infos: list[PyTree]) -> PyTree:
    """Over iterations, without what is NaN; NaN where nothing else is."""

    def mean(*values: Any) -> Any:
        stacked = np.stack(values)
        known = ~np.isnan(stacked)
        with np.errstate(invalid="ignore"):
            return np.where(known, stacked, 0.0).sum(0) / known.sum(0)

    return jax.tree.map(mean, *infos)
