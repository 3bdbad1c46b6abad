"""The lifetimes of many clients side by side on the device: those who wait together are acted for in one compiled call.

Every life has a slot in arrays [capacity, ...]. A call gathers the lives that it acts for and puts their memories back,
and is compiled once for every power of two: fewer requests are filled up with a slot that does not exist.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.algorithms.base import Adapter, Shape, birth_keys, keep_adapted, stage_keys
from rl_meta.policies.spaces import blank, into_space, no_action
from rl_meta.types import Array, Inputs, Key, PyTree, Step


class StageKeys(NamedTuple):
    """What decides all that is drawn in a stage."""

    act: np.ndarray
    """[C, T, 2] uint32, of `act`."""
    learn: Key


class Acted(NamedTuple):
    """What an agent did in one step."""

    action: np.ndarray
    """In the action space."""
    drawn: np.ndarray
    """As the agent remembers it."""
    extras: PyTree
    """`()` where the agent does not learn."""


class Moment(NamedTuple):
    """One life to be acted for."""

    slot: int
    copy: int
    key: np.ndarray
    """[2] uint32"""
    inputs: Inputs


class Lives:
    """Slots for `capacity` lifetimes of one agent. `learn` may be called from another thread, the rest may not."""

    def __init__(
        self,
        adapter: Adapter,
        params: PyTree,
        shape: Shape,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        *,
        capacity: int,
        batch: int,
    ) -> None:
        """params: meta-parameters of one seed. batch: the most lives that are acted for in one call."""
        self.observation_space, self.action_space, self.shape = observation_space, action_space, shape
        self.capacity, self.batch = capacity, batch
        self.learns = adapter.learn is not keep_adapted
        self._adapter, self._params = adapter, jax.tree.map(jnp.asarray, params)
        self._begin = jax.jit(self._begun, donate_argnums=(1, 2))
        self._act = jax.jit(self._acted, donate_argnums=2)
        self._keys = jax.jit(self._keys_of)
        self._learn = jax.jit(adapter.learn)
        self._read = jax.jit(lambda all_lives, slot: jax.tree.map(lambda x: x[slot], all_lives))
        self._write = jax.jit(_written, donate_argnums=0)
        adapted, memory = jax.eval_shape(adapter.begin, jax.random.key(0), self._params)
        zeros = lambda count: lambda x: jnp.zeros((count, *x.shape), x.dtype)
        self._adapted = jax.tree.map(zeros(capacity), adapted)
        self._memory = jax.tree.map(zeros(capacity * shape.copies), memory)

    def compile(self, say: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Compile all that serving needs, so that no client waits for it. `say(done, total)` is told in between."""
        sizes = [2**i for i in range(self.batch.bit_length())]
        self.begin(0, 0)
        nothing = jax.tree.map(np.asarray, blank(self.observation_space))
        inputs = Inputs(nothing, np.bool_(1), np.asarray(no_action(self.action_space)), np.float32(0), nothing)  # type: ignore[arg-type]
        moment = Moment(self.capacity, 0, np.zeros(2, np.uint32), inputs)
        for done, size in enumerate(sizes):
            say(done, len(sizes))
            [acted, *_] = self.act([moment] * size)
        if self.learns:
            told = np.float32(0), nothing, np.bool_(0), np.bool_(0)
            step = Step(inputs, acted.drawn, acted.extras, *told)  # type: ignore[arg-type]
            tiled = lambda x: np.zeros((self.shape.copies, self.shape.steps, *np.shape(x)), np.asarray(x).dtype)
            keys = self.stage_keys(jax.random.key(0), 0)
            self.write(0, self.learn(keys.learn, self.read(0), jax.tree.map(tiled, step)))
        say(len(sizes), len(sizes))

    def begin(self, slot: int, seed: int) -> tuple[Key, StageKeys]:
        """A new lifetime, decided by `seed`: its key, and those of its first stage."""
        key = jax.random.key(seed)
        self._adapted, self._memory = self._begin(self._params, self._adapted, self._memory, slot, key)
        return key, self.stage_keys(key, 0)

    def stage_keys(self, key: Key, stage: int) -> StageKeys:
        """Those of the stage numbered `stage` of the lifetime with this key."""
        act, learn = self._keys(key, stage)
        return StageKeys(np.asarray(act), learn)

    def act(self, moments: Sequence[Moment]) -> list[Acted]:
        """The next action in each of up to `batch` different lives."""
        size = 1 << (len(moments) - 1).bit_length()
        padding = [moments[0]._replace(slot=self.capacity)] * (size - len(moments))
        slots, copies, keys, inputs = jax.tree.map(lambda *x: np.stack(x), *moments, *padding)
        self._memory, *made = self._act(self._params, self._adapted, self._memory, slots, copies, keys, inputs)
        made = jax.tree.map(np.asarray, made)
        return [Acted(*jax.tree.map(lambda x, i=i: x[i], made)) for i in range(len(moments))]

    def read(self, slot: int) -> PyTree:
        """What the agent has made of its meta-parameters in this life."""
        return self._read(self._adapted, slot)

    def learn(self, key: Key, adapted: PyTree, steps: Step) -> PyTree:
        """The same after a stage [C, T, ...]."""
        return jax.block_until_ready(self._learn(key, self._params, adapted, steps))

    def write(self, slot: int, adapted: PyTree) -> None:
        """The inverse of `read`."""
        self._adapted = self._write(self._adapted, slot, adapted)

    def _begun(self, params: PyTree, adapted: PyTree, memory: PyTree, slot: Array, key: Key) -> tuple[PyTree, PyTree]:
        born = self._adapter.begin(birth_keys(key)[0], params)
        rows = slot * self.shape.copies + jnp.arange(self.shape.copies)
        memory = jax.tree.map(lambda old, new: old.at[rows].set(new), memory, born[1])
        return _written(adapted, slot, born[0]), memory

    def _acted(
        self, params: PyTree, adapted: PyTree, memory: PyTree, slots: Array, copies: Array, keys: Array, inputs: Inputs
    ) -> tuple[PyTree, Array, Array, PyTree]:
        rows = slots * self.shape.copies + copies
        take = lambda tree, index: jax.tree.map(lambda x: x.at[index].get(mode="clip"), tree)
        act = lambda key, *own: self._adapter.act(key, params, *own)
        own = take(adapted, slots), take(memory, rows)
        moved, drawn, extras = jax.vmap(act)(jax.random.wrap_key_data(keys), *own, inputs)
        memory = jax.tree.map(lambda old, new: old.at[rows].set(new, mode="drop"), memory, moved)
        return memory, into_space(self.action_space, drawn), drawn, extras if self.learns else ()

    def _keys_of(self, key: Key, stage: Array) -> tuple[Array, Key]:
        act, learn = stage_keys(key, stage, self.shape.copies, self.shape.steps)
        return jax.random.key_data(act[:, :, 0]), learn


def _written(all_lives: Any, slot: Array, one: Any) -> PyTree:
    return jax.tree.map(lambda old, new: old.at[slot].set(new), all_lives, one)
