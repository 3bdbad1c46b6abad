"""The noun that every method is: an agent on three clocks, and how its meta-parameters improve."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from rl_meta.errors import UserError
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Key, Lifetimes, PyTree, Step


class Adapter(NamedTuple):
    """How an agent lives through one lifetime: three functions on three clocks, each for one task and one copy.

    With `key=None`, `act` and `learn` are deterministic (the mode, the posterior mean).
    """

    begin: Callable[[Key, PyTree], tuple[PyTree, PyTree]]
    """(key, meta_params) -> adapted, memory; once per lifetime."""
    act: Callable[..., tuple[PyTree, PyTree, PyTree]]
    """(key, meta_params, adapted, memory, inputs) -> memory, action, extras; once per step."""
    learn: Callable[..., PyTree]
    """(key, meta_params, adapted, steps [C, T]) -> adapted; once per stage."""


class MetaAlgorithm(NamedTuple):
    """How meta-parameters improve."""

    adapter: Adapter
    init: Callable[[Key], PyTree]
    """(key) -> meta_state: any pytree of arrays with a field `params`; replay lives here too."""
    update: Callable[[Key, PyTree, Lifetimes], tuple[PyTree, Info]]
    """(key, meta_state, lifetimes) -> meta_state, info."""
    segments: bool = False
    """May `update` be given parts of lifetimes?"""
    best: Adapter | None = None
    """How the agent acts at its best: without the noise of training, but exploring where its method means it to. It
    begins and learns like `adapter`, on the same parameters. None: by acting without a key."""


@dataclass(frozen=True)
class Shape:
    """How long tasks are lived in."""

    stages: int
    """S of a whole lifetime."""
    copies: int
    """C"""
    steps: int
    """T of a stage."""
    segment: int | None = None
    """Stages per call of the collector; None: whole lifetimes."""
    restart: bool = True
    """Does the end of a stage truncate the episode? True where agents learn from whole episodes."""

    def __post_init__(self) -> None:
        for name in ("stages", "copies", "steps", "segment"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}")
        if self.stages % self.stages_per_call:
            raise UserError(
                f"a lifetime must be a whole number of segments, got {self.stages} stages in segments of "
                f"{self.stages_per_call}"
            )

    @property
    def stages_per_call(self) -> int:
        """S of one segment."""
        return self.segment or self.stages

    @property
    def steps_per_call(self) -> int:
        """Environment steps that one call of the collector takes in one task."""
        return self.stages_per_call * self.copies * self.steps


@runtime_checkable
class Method(Protocol):
    """A method's settings: a frozen dataclass; its fields appear on the command line as `--method.FIELD`."""

    @property
    def meta_batch_size(self) -> int | None:
        """Tasks lived in at the same time; None: `RunConfig` decides, by how long they are lived in."""

    def view(self, family: Family) -> Family:
        """The family as this method's agent sees it."""

    def shape(self, family: Family) -> Shape:
        """How long its agent lives in a task."""

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """The method for a family (as seen through `view`), to be trained for so many iterations.

        May be called inside a trace: settings that do not set shapes may be tracers.
        """


# ------------------------------------------------------------------------------------------------
# The order of keys is part of the contract: it makes a lifetime a pure function of (key, meta_params, task),
# wherever it is lived and however it is cut.


def birth_keys(key: Key) -> tuple[Key, Key]:
    """Keys of `begin` and of the C first resets."""
    key_begin, key_resets, _ = jax.random.split(key, 3)
    return key_begin, key_resets


def stage_keys(key: Key, stage: Array, copies: int, steps: int) -> tuple[Key, Key]:
    """Keys [C, T, 3] of (act, environment step, auto-reset), and the key of `learn`, of the stage numbered `stage`."""
    key_live, key_learn = jax.random.split(jax.random.fold_in(jax.random.split(key, 3)[2], stage))
    return jax.random.split(key_live, (copies, steps, 3)), key_learn


def relive(adapter: Adapter, params: PyTree, key: Key, steps: Step) -> PyTree:
    """Repeat the learning of one whole lifetime, with the keys it was lived with; differentiable in `params`.

    steps: [S, C, T, ...]. Returns `adapted` [S + 1, ...]: before each stage, and after the last.
    """
    stages, copies, length = steps.reward.shape

    def learn(adapted: PyTree, stage: tuple[Array, Step]) -> tuple[PyTree, PyTree]:
        index, stage_steps = stage
        _, key_learn = stage_keys(key, index, copies, length)
        return adapter.learn(key_learn, params, adapted, stage_steps), adapted

    adapted, _ = adapter.begin(birth_keys(key)[0], params)
    last, before = jax.lax.scan(learn, adapted, (jnp.arange(stages), steps))
    return jax.tree.map(lambda b, l: jnp.concatenate([b, l[None]]), before, last)


def keep_adapted(key: Key | None, params: PyTree, adapted: PyTree, steps: Step) -> PyTree:
    """The `learn` of agents that adapt by memory alone, or not at all."""
    return adapted


def deterministic(algorithm: MetaAlgorithm) -> Adapter:
    """The agent at its best: see `MetaAlgorithm.best`."""
    return algorithm.best or without_a_key(algorithm.adapter)


def without_a_key(adapter: Adapter) -> Adapter:
    """The same agent, always taking its best action."""
    return adapter._replace(act=lambda key, *rest: adapter.act(None, *rest))
