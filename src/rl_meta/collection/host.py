"""Environments outside JAX: the same agents, the same lifetimes, the same order of keys as on the device.

One compiled `act` for all environments per step. Where environments are stepped in other processes they come in two
halves, so that one half acts while the other is stepped. A lifetime lived here agrees with one lived on the device
exactly in integers and booleans, and to rounding in floats, which products of other batch sizes round differently.
"""

from collections.abc import Callable, Generator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.algorithms.base import Adapter, Shape, birth_keys, keep_adapted, stage_keys
from rl_meta.axes import select, tile
from rl_meta.collection.base import Collector, keys_of_each
from rl_meta.policies.spaces import into_space, no_action
from rl_meta.tasks.envs import HostFamily, seeds_of
from rl_meta.types import Array, Inputs, Key, Lifetimes, Live, PyTree, Step


def host_collector(adapter: Adapter, family: HostFamily, shape: Shape) -> Collector:
    """Lifetimes of `adapter` in tasks of `family`, as long as `shape` says."""
    lives = HostLives(adapter, family, shape)
    return Collector(lives.begin, lives.collect)


class HostLives:
    """The host collector, with the environments that it owns. `begin` and `collect` are those of `Collector`.

    `collect` goes on where the last call left the environments: `live` must be what that returned, or lifetimes
    that are all over.
    """

    portable = False

    def __init__(self, adapter: Adapter, family: HostFamily, shape: Shape) -> None:
        self._agent, self._family, self._shape = _compiled(adapter, family, shape), family, shape
        self._parts: list[_Part] = []
        self.lost = 0
        """Lifetimes lost so far, with environments that died."""

    def begin(self, key: Key, params: PyTree, tasks: PyTree) -> Live:
        """See `Collector`."""
        return self._be_born(keys_of_each(key, tasks), params, tasks)

    def collect(self, key: Key, params: PyTree, live: Live, tasks: PyTree) -> tuple[Live, Lifetimes]:
        """See `Collector`. A lifetime whose environment died is replaced by a copy of another one."""
        over, keys = np.asarray(live.stage >= self._shape.stages), keys_of_each(key, tasks)
        start = self._be_born(keys, params, tasks, live, over) if over.any() else live
        end, steps, lost = self._live_on(params, start)
        if lost.all():
            others = jax.vmap(jax.random.fold_in, (0, None))(keys, 0)
            return self.collect(others, params, _all_over(end, self._shape), tasks)
        lifetimes = Lifetimes(start, steps, end, end.stage >= self._shape.stages)
        if lost.any():
            whole = np.flatnonzero(~lost)
            instead = np.where(lost, whole[np.arange(len(lost)) % len(whole)], np.arange(len(lost)))
            lifetimes = jax.tree.map(lambda x: x[instead], lifetimes)
            end = end._replace(stage=jnp.where(lost, self._shape.stages, end.stage))
        return end, lifetimes

    def live_whole(self, keys: Key, params: PyTree, tasks: PyTree) -> Step:
        """The steps [N, S, C, T, ...] of lifetimes that have these keys [N], from birth to their end."""
        while True:
            _, steps, lost = self._live_on(params, self._be_born(keys, params, tasks))
            if not lost.any():
                return steps

    def counts(self) -> dict[str, int]:
        """Lifetimes that were left out because their environment died."""
        return {"lost_lifetimes": self.lost}

    def close(self) -> None:
        """Close the environments."""
        for part in self._parts:
            part.envs.close()
        self._parts = []

    def _be_born(
        self, keys: Key, params: PyTree, tasks: PyTree, live: Live | None = None, born: np.ndarray | None = None
    ) -> Live:
        """Begin lifetimes anew where `born` [N], or all of them; the others go on as in `live`."""
        parts = self._parts_for(len(keys))
        born = np.ones(len(keys), bool) if born is None or live is None else born
        several = zip(parts, *(self._cut(x) for x in (keys, tasks, live, born)), strict=True)
        return _joined([part.be_born(k, params, t, l, b) for part, k, t, l, b in several])

    def _live_on(self, params: PyTree, live: Live) -> tuple[Live, Step, np.ndarray]:
        """A segment: end, steps [N, S, C, T, ...], and which lifetimes [N] were lost in it."""
        lives = [part.live_on(params, one) for part, one in zip(self._parts, self._cut(live), strict=True)]
        ends, steps, lost = zip(*_in_turn(lives), strict=True)
        self.lost += int(np.concatenate(lost).sum())
        return _joined(ends), _joined(steps), np.concatenate(lost)

    def _parts_for(self, tasks: int) -> list["_Part"]:
        """Environments for so many tasks, made where there are none."""
        if sum(part.tasks for part in self._parts) != tasks:
            self.close()
            sizes = [tasks - tasks // 2, tasks // 2] if self._family.overlaps and tasks > 1 else [tasks]
            self._parts = [_Part(self._agent, self._family, self._shape, size) for size in sizes]
        return self._parts

    def _cut(self, tree: PyTree) -> list[PyTree]:
        """[N, ...] for each of the parts."""
        ends = np.cumsum([part.tasks for part in self._parts])
        if len(ends) == 1:
            return [tree]
        return [
            jax.tree.map(lambda x, e=end, n=part.tasks: x[e - n : e], tree)
            for end, part in zip(ends, self._parts, strict=True)
        ]


class _Agent(NamedTuple):
    """The agent's side of N lifetimes, compiled; see `_compile`."""

    birth: Callable
    act: Callable
    learn: Callable | None
    keys: Callable
    none: Array


def _compiled(adapter: Adapter, family: HostFamily, shape: Shape) -> _Agent:
    """`_compile`, once for all collectors of an agent."""
    try:
        return _compiled_before(adapter, family, shape)  # type: ignore[arg-type]
    except TypeError:  # a family of the user's own that has no hash
        return _compile(adapter, family, shape)


def _compile(adapter: Adapter, family: HostFamily, shape: Shape) -> _Agent:
    space = family.action_space

    def birth(key: Key, params: PyTree) -> tuple:
        key_begin, key_resets = birth_keys(key)
        adapted, memory = adapter.begin(key_begin, params)
        keys = jax.random.split(key_resets, shape.copies)
        return adapted, tile(memory, shape.copies), keys, jax.vmap(jax.random.bits)(keys)

    def act(keys: Key, time: Array, params: PyTree, adapted: PyTree, memory: PyTree, inputs: Inputs) -> tuple:
        each = jax.vmap(jax.vmap(adapter.act, (0, None, None, 0, 0)), (0, None, 0, 0, 0))
        memory, action, extras = each(keys[:, :, time, 0], params, adapted, memory, inputs)
        done_to = jax.vmap(jax.vmap(partial(into_space, space)))(action)
        return memory, action, extras, done_to.reshape(-1, *done_to.shape[2:])

    learns = adapter.learn is not keep_adapted
    return _Agent(
        birth=jax.jit(jax.vmap(birth, (0, None))),
        act=jax.jit(act),
        learn=jax.jit(jax.vmap(adapter.learn, (0, None, 0, 0))) if learns else None,
        keys=jax.jit(jax.vmap(lambda key, stage: stage_keys(key, stage, shape.copies, shape.steps))),
        none=no_action(space),
    )


_compiled_before = lru_cache(maxsize=8)(_compile)


class _Part:
    """Some of the lifetimes, and their environments."""

    def __init__(self, agent: _Agent, family: HostFamily, shape: Shape, tasks: int) -> None:
        self.agent, self.shape, self.tasks = agent, shape, tasks
        self.envs = family.make_envs(tasks * shape.copies)

    def be_born(self, keys: Key, params: PyTree, tasks: PyTree, live: Live | None, born: np.ndarray) -> Live:
        """See `HostLives._be_born`."""
        adapted, memory, reset_keys, bits = self.agent.birth(keys, params)
        tasks_of_all = jax.tree.map(lambda x: np.repeat(np.asarray(x), self.shape.copies, 0), tasks)
        given = reset_keys.reshape(-1) if self.envs.wants_keys else None
        obs = self.envs.begin(np.repeat(born, self.shape.copies), tasks_of_all, seeds_of(bits).reshape(-1), given)
        rows, obs = (len(keys), self.shape.copies), self._by_task(obs)
        obs, none = jax.tree.map(jnp.asarray, obs), jnp.broadcast_to(self.agent.none, (*rows, *self.agent.none.shape))
        inputs = Inputs(obs, jnp.ones(rows, bool), none, jnp.zeros(rows), jax.tree.map(jnp.zeros_like, obs))
        tasks = jax.tree.map(jnp.asarray, tasks)
        fresh = Live(keys, tasks, jnp.zeros(len(keys), int), adapted, memory, inputs, ())
        return fresh if live is None or born.all() else select(jnp.asarray(born), fresh, live)

    def live_on(self, params: PyTree, live: Live) -> Generator[None, None, Any]:
        """A segment. Pauses while its environments are stepped; returns what `HostLives._live_on` does."""
        adapted, memory, inputs = live.adapted, live.memory, live.inputs
        stages, lost = [], np.zeros((self.tasks, self.shape.copies), bool)
        for number in range(self.shape.stages_per_call):
            keys, key_learn = self.agent.keys(live.key, live.stage + number)
            over = np.repeat(np.asarray(live.stage) + number + 1 >= self.shape.stages, self.shape.copies)
            steps = []
            for time in range(self.shape.steps):
                memory, action, extras, done_to = self.agent.act(keys, np.int32(time), params, adapted, memory, inputs)
                given = keys[:, :, time, 1:].reshape(-1, 2) if self.envs.wants_keys else None
                last = time == self.shape.steps - 1
                cut, final = last and self.shape.restart, over if last else None
                self.envs.send(np.asarray(done_to), given, cut=cut, final=final)
                yield
                outcome = self._by_task(self.envs.receive())
                lost |= False if outcome.lost is None else outcome.lost
                ends = outcome.terminated, outcome.truncated
                steps.append(Step(inputs, action, extras, outcome.reward, outcome.next_obs, *ends, outcome.measured))
                inputs = Inputs(outcome.obs, ends[0] | ends[1], action, outcome.reward, outcome.next_obs)
            stages.append(jax.tree.map(lambda *x: np.stack(x, 2), *steps))
            if self.agent.learn:
                adapted = self.agent.learn(key_learn, params, adapted, stages[-1]._replace(measured=()))
        end = Live(live.key, live.task, live.stage + len(stages), adapted, memory, inputs, ())
        segment = jax.tree.map(lambda *x: jnp.asarray(np.stack(x, 1)), *stages)
        return jax.tree.map(jnp.asarray, end), segment, lost.any(1)

    def _by_task(self, tree: PyTree) -> PyTree:
        """[N C, ...] -> [N, C, ...]."""
        return jax.tree.map(lambda x: x.reshape(self.tasks, self.shape.copies, *x.shape[1:]), tree)


def _in_turn(lives: Sequence[Generator[None, None, Any]]) -> list[Any]:
    """What generators return that are advanced in turn."""
    returned: dict[int, Any] = {}
    while len(returned) < len(lives):
        for index, life in enumerate(lives):
            if index not in returned:
                try:
                    next(life)
                except StopIteration as stop:
                    returned[index] = stop.value
    return [returned[index] for index in range(len(lives))]


def _joined(trees: Sequence[PyTree]) -> PyTree:
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *x: jnp.concatenate(x), *trees)


def _all_over(live: Live, shape: Shape) -> Live:
    return live._replace(stage=jnp.full_like(live.stage, shape.stages))
