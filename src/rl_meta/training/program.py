"""A run as the functions that `train_run` calls, where lifetimes are lived outside of the learner's program.

That is on the host, or by collectors: compiled pieces, and a Python loop.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.algorithms.base import Adapter, Shape
from rl_meta.collection.base import Collector, Lives
from rl_meta.collection.cluster import Cluster, ClusterLives, collecting, crew_of
from rl_meta.collection.device import device_collector
from rl_meta.collection.host import HostLives
from rl_meta.errors import UserError
from rl_meta.policies.spaces import blank
from rl_meta.tasks.base import DeviceFamily, Family, Transition, draw_tasks
from rl_meta.tasks.envs import HostFamily, on_device, on_host
from rl_meta.tasks.measures import measures_of
from rl_meta.tasks.wrappers import Wrapped
from rl_meta.training.config import RunConfig
from rl_meta.training.initial import InitialNetwork, beginning_with
from rl_meta.training.loop import TrainState, improving, trainer
from rl_meta.training.sharding import devices_to_learn_on, spread_over
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


LivesOf = Callable[[Adapter, Any, Shape, Collector], Lives]
"""(adapter, family, shape, a collector in JAX with the same trees) -> where lifetimes are lived."""


def on_this_host(adapter: Adapter, family: HostFamily, shape: Shape, imagined: Collector) -> Lives:  # noqa: ARG001
    """By this process."""
    return HostLives(adapter, family, shape)


class HostProgram:
    """A run as compiled pieces and a Python loop. Seeds take turns, each with lives of its own."""

    def __init__(
        self,
        config: RunConfig,
        family: Family,
        lives_of: LivesOf = on_this_host,
        *,
        initial: InitialNetwork | None = None,
        learner_devices: int = 1,
    ) -> None:
        """family: as the method sees it. initial: weights to begin with.

        learner_devices: over which updates are spread.
        """
        method, self.shape = config.method, config.shape
        algorithm = beginning_with(method.build(family, config.iterations), initial, family)
        algorithm = algorithm._replace(init=jax.jit(algorithm.init))
        sample = jax.jit(lambda key: draw_tasks(family, key, config.tasks))
        improve = improving(algorithm, self.shape, measures_of(family))
        compiled = spread_over(learner_devices, jax.jit(improve))
        imagined = device_collector(algorithm.adapter, blank_of(family), self.shape)
        self.imagined = trainer(algorithm, imagined, sample, self.shape, improve=improve)
        self.lives = [lives_of(algorithm.adapter, family, self.shape, imagined) for _ in range(config.seeds)]
        self.trainers = [
            trainer(algorithm, Collector(lives.begin, lives.collect), sample, self.shape, improve=compiled)
            for lives in self.lives
        ]

    def init(self, keys: Key) -> TrainState:
        """See `Program`."""
        return _stack([train.init(key) for train, key in zip(self.trainers, keys, strict=True)])

    def go_on(self, keys: Key, state: TrainState, iterations: int) -> tuple[TrainState, Info]:
        """See `Program`. Told is also what the lives counted per iteration, as environments that died."""
        states, told = [], []
        for seed, (train, lives) in enumerate(zip(self.trainers, self.lives, strict=True)):
            own, infos, before = jax.tree.map(lambda x, s=seed: x[s], state), [], lives.counts()
            for _ in range(iterations):
                own, info = train.iterate(keys[seed], own)
                infos.append(jax.tree.map(np.asarray, info))
            states.append(own)
            counted = {name: np.float32((n - before[name]) / iterations) for name, n in lives.counts().items()}
            told.append(_mean(infos) | counted)
        return _stack(states), _stack(told)

    def shapes(self, keys: Key) -> PyTree:
        """See `Program`. No environment is stepped for it."""
        state = jax.eval_shape(jax.vmap(self.imagined.init), keys)
        jax.eval_shape(jax.vmap(self.imagined.iterate), keys, state)
        return state

    def resumed(self, keys: Key, state: TrainState) -> TrainState:
        """See `Program`. Lifetimes that were cut begin anew where their environments are gone."""
        if all(lives.portable for lives in self.lives):
            return state
        if not state.iteration.any():
            return self.init(keys)
        if self.shape.stages_per_call == self.shape.stages:
            return state  # all lifetimes are over
        own = [jax.tree.map(lambda x, s=seed: x[s], state) for seed in range(len(self.trainers))]
        return _stack([train.revive(key, one) for train, key, one in zip(self.trainers, keys, own, strict=True)])

    def close(self) -> None:
        """See `Program`."""
        for lives in self.lives:
            lives.close()


def cluster_program(config: RunConfig, cluster: Cluster, initial: InitialNetwork | None = None) -> HostProgram:
    """The run whose lifetimes are lived by collectors. initial: weights to begin with.

    Raises:
        UserError: settings that do not go together, no such cluster, or Ray is not installed.
    """
    family, shape, method = config.method.view(config.family), config.shape, config.method
    if cluster.collectors > config.tasks:
        raise UserError(
            f"{cluster.collectors} collectors have {config.tasks} tasks to share: "
            "give fewer collectors or a larger --method.meta-batch-size"
        )
    if on_host(family) and shape.stages_per_call < shape.stages:
        raise UserError(
            "lifetimes in segments keep their environments between updates, which collectors on other machines cannot: "
            "train without segment_episodes, or without collectors"
        )
    if config.tasks % cluster.learner_devices:
        raise UserError(
            f"{config.tasks} tasks cannot be spread evenly over {cluster.learner_devices} devices: choose "
            "--learner-devices or --method.meta-batch-size so that it can"
        )
    devices_to_learn_on(cluster.learner_devices)
    crew = crew_of(cluster, partial(collecting, method, family, config.iterations))
    try:
        lives_of = lambda _, __, shape, imagined: ClusterLives(crew, imagined, shape)
        return HostProgram(config, family, lives_of, initial=initial, learner_devices=cluster.learner_devices)
    except BaseException:
        crew.close()
        raise


@dataclass(frozen=True)
class _Blank(Wrapped):
    """The family in JAX, with nothing happening in it: what takes the shapes of a run."""

    def reset(self, key: Key, task: PyTree) -> tuple[PyTree, PyTree]:  # noqa: ARG002
        """Zeros."""
        return (), blank(self.observation_space)

    def step(self, key: Key, state: PyTree, action: PyTree, task: PyTree) -> Transition:  # noqa: ARG002
        """Zeros."""
        no = jnp.zeros((), bool)
        measured = {name: jnp.zeros(()) for name in measures_of(self)}
        return Transition((), blank(self.observation_space), jnp.zeros(()), no, no, measured or ())


def blank_of(family: Family) -> DeviceFamily:
    """A family in JAX whose lifetimes look like those of `family`: itself, if it is one."""
    return _Blank(family) if on_host(family) else on_device(family)


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
