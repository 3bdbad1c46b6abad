"""The loop: live, improve, repeat. It owns nothing and asks no method's name.

`iterate` is pure where the collector is: it may be jitted, scanned, and mapped over seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_meta.algorithms.base import MetaAlgorithm, Shape
from rl_meta.axes import as_sequences, strongly_typed
from rl_meta.collection.base import Collector
from rl_meta.errors import UserError
from rl_meta.numerics.returns import episode_returns, summed_to_end
from rl_meta.types import Array, Info, Key, Lifetimes, Live, PyTree


class TrainState(NamedTuple):
    """All that a run is, beside its root key: save both, and it resumes bit for bit."""

    iteration: Array
    meta: PyTree
    live: Live


class Trainer(NamedTuple):
    """A run as pure functions; the root key is the same in every iteration."""

    init: Callable[[Key], TrainState]
    iterate: Callable[[Key, TrainState], tuple[TrainState, Info]]
    """(root key, state) -> state, info."""
    revive: Callable[[Key, TrainState], TrainState]
    """(root key, state) -> state, with new lifetimes in place of those whose environments are gone."""


Improve = Callable[[Key, PyTree, Lifetimes], tuple[PyTree, Info]]
"""(key, meta-state, lifetimes) -> the meta-state after an update that did not diverge, what a person wants to see."""


def improving(algorithm: MetaAlgorithm, shape: Shape, measures: Mapping[str, str] | None = None) -> Improve:
    """How a method improves. measures: of the family, see `tasks.measures.measures_of`."""

    def improve(key: Key, meta: PyTree, lifetimes: Lifetimes) -> tuple[PyTree, Info]:
        unseen = lifetimes._replace(steps=lifetimes.steps._replace(measured=()))
        after, info = algorithm.update(key, meta, unseen)
        after, info = without_divergence(meta, after, info)
        info |= returns(lifetimes, shape)
        found = measured(lifetimes, shape, measures or {})
        if taken := info.keys() & found.keys():
            names = ", ".join(sorted(taken))
            raise UserError(f"the family measures {names}, which is a metric of training too; give it another name")
        return after, info | found

    return improve


def trainer(
    algorithm: MetaAlgorithm,
    collector: Collector,
    sample_tasks: Callable[[Key], PyTree],
    shape: Shape,
    *,
    improve: Improve | None = None,
) -> Trainer:
    """The loop of one run.

    Args:
        algorithm: what is trained.
        collector: where it lives.
        sample_tasks: (key) -> tasks [N].
        shape: how long.
        improve: what `improving` makes, compiled where the loop as a whole cannot be; None: as it makes it of a family
            that measures nothing.
    """
    improve = improve or improving(algorithm, shape)
    if shape.stages_per_call < shape.stages and not algorithm.segments:
        raise UserError(
            f"this method learns from whole lifetimes of {shape.stages} stages, got segments of {shape.segment}"
        )

    def init(key: Key) -> TrainState:
        key_meta, *keys = jax.random.split(key, 4)
        meta = algorithm.init(key_meta)
        return strongly_typed(TrainState(jnp.array(0), meta, first_generation(keys, meta.params)))

    def first_generation(keys: Sequence[Key], params: PyTree) -> Live:
        """It ends at different ages, so that later ones are spread over all ages."""
        key_tasks, key_begin, key_phase = keys
        live = collector.begin(key_begin, params, sample_tasks(key_tasks))
        phases = shape.stages // shape.stages_per_call
        stage = jax.random.randint(key_phase, live.stage.shape, 0, phases) * shape.stages_per_call
        return live._replace(stage=stage)

    def iterate(key: Key, state: TrainState) -> tuple[TrainState, Info]:
        key_tasks, key_begin, key_update = jax.random.split(jax.random.fold_in(key, state.iteration), 3)
        live, lifetimes = collector.collect(key_begin, state.meta.params, state.live, sample_tasks(key_tasks))
        meta, info = improve(key_update, state.meta, lifetimes)
        return strongly_typed(TrainState(state.iteration + 1, meta, live)), info

    def revive(key: Key, state: TrainState) -> TrainState:
        _, _, _, *keys = jax.random.split(jax.random.fold_in(key, state.iteration), 6)  # three are those of `iterate`
        return strongly_typed(state._replace(live=first_generation(keys, state.meta.params)))

    return Trainer(init, iterate, revive)


def without_divergence(before: PyTree, after: PyTree, info: Info) -> tuple[PyTree, Info]:
    """The state `before` wherever the update made a parameter that is not finite; counted in `info`."""
    floats = [x for x in jax.tree.leaves(after.params) if jnp.issubdtype(x.dtype, jnp.floating)]
    sound = _all_of([jnp.isfinite(x).all() for x in floats])
    kept = jax.tree.map(lambda a, b: jnp.where(sound, a, b), after, before)
    return kept, info | {"skipped_updates": 1.0 - sound}


def _all_of(flags: list[Array]) -> Array:
    """Whether all are true, one after the other.

    XLA repeats a plain reduction of a few scalars within every operation that reads it, here once for each array of
    the state: that was a tenth to a half of the compiled program.
    """
    true = jnp.array(True)  # noqa: FBT003
    return jax.lax.scan(lambda so_far, flag: (so_far & flag, None), true, jnp.stack([true, *flags]))[0]


def beginnings(lifetimes: Lifetimes, shape: Shape) -> Array:
    """[N C, S T] bool: at which steps an episode begins that counts.

    Where every stage begins anew, these are the episodes that begin with it: later ones may be cut by its end, and
    would seem to end early.
    """
    first = as_sequences(lifetimes.steps).inputs.first
    return first & (jnp.arange(first.shape[1]) % shape.steps == 0) if shape.restart else first


def measured(lifetimes: Lifetimes, shape: Shape, hows: Mapping[str, str]) -> Info:
    """By name, the mean of a measure of the family over the episodes of which `return` is the mean."""
    steps = as_sequences(lifetimes.steps)
    if missing := hows.keys() - dict(steps.measured).keys():
        raise UserError(f"the family says that it measures {', '.join(sorted(missing))}, its steps do not tell")
    done, found = steps.terminated | steps.truncated, {}
    for name, how in hows.items():
        told = steps.measured[name].astype(jnp.float32)
        to_end, ends = jax.vmap(lambda x, done, how=how: summed_to_end(how, x, done))(told, done)
        whole = beginnings(lifetimes, shape) & ends
        found[name] = (to_end * whole).sum() / whole.sum()
    return found


def returns(lifetimes: Lifetimes, shape: Shape) -> Info:
    """`return`: mean return of the episodes that ended in the segment they began in; NaN where none did.

    `return_by_stage` [stages]: of those that began in each stage. See `beginnings`.
    """
    steps = as_sequences(lifetimes.steps)
    rewards_to_end, ends = jax.vmap(episode_returns)(steps.reward, steps.terminated | steps.truncated)
    whole = beginnings(lifetimes, shape) & ends
    stage = lifetimes.start.stage[:, None] + jnp.arange(lifetimes.steps.reward.shape[1])
    stage = jnp.repeat(jnp.repeat(stage, shape.steps, 1), lifetimes.steps.reward.shape[2], 0)
    began = jax.nn.one_hot(stage, shape.stages) * whole[..., None]
    by_stage = (began * rewards_to_end[..., None]).sum((0, 1)) / began.sum((0, 1))
    return {"return": (rewards_to_end * whole).sum() / whole.sum(), "return_by_stage": by_stage}
