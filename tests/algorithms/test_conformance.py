"""What holds for every method, from one list."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.base import keep_adapted
from rl_meta.collection.device import device_collector
from rl_meta.errors import UserError
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.tasks.probes import Lights, OneArmPays
from rl_meta.training.catalogue import METHODS, methods
from rl_meta.training.config import RunConfig
from rl_meta.training.loop import Trainer, trainer

FAMILIES = {
    "discrete": OneArmPays(),
    "continuous": Pendulum(horizon=8),
    "one-hot": Bandit(arms=3, pulls=8),
    "pictures": Lights(horizon=8),
}
SMALL = {
    "meta_batch_size": 4,
    "improvements": 3,
    "rollout_steps": 8,
    "copies": 2,
    "hidden": (8,),
    "memory": 8,
    "encoder": (8,),
    "width": 8,
    "blocks": 1,
    "attention_heads": 2,
    "decoder": (8, 8),
    "vae_updates": 2,
    "train_tasks": 5,
    "capacity_steps": 64,
    "batch_tasks": 2,
    "batch_steps": 8,
}
CLOSE = 1e-4
"""Batched products are rounded otherwise than single ones."""


def small(name):
    """The method's settings, small enough to compile fast."""
    cls = methods.load(name)
    known = {f.name for f in dataclasses.fields(cls)}
    return cls(**{k: v for k, v in SMALL.items() if k in known})


@cache
def made(name, family):
    """A run, traced and compiled once for all tests."""
    method = small(name)
    seen = method.view(FAMILIES[family])
    shape, algorithm = method.shape(seen), method.build(seen, 10)
    collector = device_collector(algorithm.adapter, seen, shape)
    sample = lambda key: draw_tasks(seen, key, method.meta_batch_size)
    return Trainer(*map(jax.jit, trainer(algorithm, collector, sample, shape)))


@cache
def new(name, family):
    """The run at its start."""
    return made(name, family).init(jax.random.key(0))


def is_finite(tree):
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return all(bool(jnp.isfinite(x).all()) for x in floats)


def closely(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=CLOSE, atol=CLOSE)


def shapes(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", METHODS)
def test_an_iteration_changes_no_shape(name, family):
    train = made(name, family)
    state = jax.eval_shape(train.init, jax.random.key(0))
    after, _ = jax.eval_shape(train.iterate, jax.random.key(0), state)
    assert shapes(state) == shapes(after)


@pytest.mark.parametrize("family", ["discrete", pytest.param("continuous", marks=pytest.mark.learning)])
@pytest.mark.parametrize("name", METHODS)
def test_an_iteration_is_finite(name, family):
    after, info = made(name, family).iterate(jax.random.key(0), new(name, family))
    assert is_finite(after.meta)
    assert float(info["skipped_updates"]) == 0.0


@pytest.mark.parametrize("name", METHODS)
def test_seeds_at_once_equal_seeds_one_by_one(name):
    train = made(name, "discrete")
    keys = jax.random.split(jax.random.key(0), 2)
    starts = [train.init(key) for key in keys]
    alone = [train.iterate(key, start)[0].meta for key, start in zip(keys, starts, strict=True)]
    stack = lambda *x: jnp.stack(x)
    together = jax.jit(jax.vmap(train.iterate))(keys, jax.tree.map(stack, *starts))[0].meta
    closely(together, jax.tree.map(stack, *alone))


def newborn(name, family):
    """`act` of a new agent that has just begun a task, as a function of its key."""
    method = small(name)
    adapter = method.build(method.view(FAMILIES[family]), 10).adapter
    state = new(name, family)
    adapted = jax.tree.map(lambda x: x[0], state.live.adapted)
    memory, inputs = jax.tree.map(lambda x: x[0, 0], (state.live.memory, state.live.inputs))
    return lambda key: adapter.act(key, state.meta.params, adapted, memory, inputs)


@pytest.mark.parametrize("name", METHODS)
def test_acting_is_the_same_compiled_and_not(name):
    act = newborn(name, "discrete")
    closely(jax.jit(act)(jax.random.key(3)), act(jax.random.key(3)))


@pytest.mark.parametrize("name", METHODS)
def test_without_a_key_acting_does_not_depend_on_chance(name):
    act = newborn(name, "continuous")
    np.testing.assert_array_equal(act(None)[1], act(None)[1])


@pytest.mark.parametrize("name", METHODS)
def test_a_later_reward_never_changes_an_earlier_action(name):
    method = small(name)
    seen = method.view(FAMILIES["discrete"])
    adapter = method.build(seen, 10).adapter
    state = new(name, "discrete")

    @jax.jit
    def actions(payment):
        collector = device_collector(adapter, _PaidLate(seen, payment), method.shape(seen))
        _, lifetimes = collector.collect(jax.random.key(3), state.meta.params, state.live, state.live.task)
        return lifetimes.steps.action

    before, after = actions(1.0), actions(-5.0)
    np.testing.assert_array_equal(before[:, 0, :, :4], after[:, 0, :, :4])


@dataclasses.dataclass(frozen=True)
class _PaidLate:
    """The family with another reward from the fourth step of an episode on."""

    family: object
    payment: float

    def __getattr__(self, name):
        return getattr(self.family, name)

    def step(self, key, state, action, task):
        transition = self.family.step(key, state, action, task)
        late = transition.state.time >= 4
        return transition._replace(reward=jnp.where(late, self.payment, transition.reward))


@pytest.mark.parametrize("name", METHODS)
def test_settings_out_of_range_are_refused(name):
    with pytest.raises(UserError, match="meta_batch_size must be at least 1"):
        RunConfig(FAMILIES["discrete"], dataclasses.replace(small(name), meta_batch_size=0))


@pytest.mark.parametrize("name", METHODS)
def test_what_learns_from_what_it_tries_never_stops_trying(name):
    method = small(name)
    seen = method.view(FAMILIES["discrete"])
    algorithm = method.build(seen, 10)
    learns = algorithm.adapter.learn is not keep_adapted
    assert (algorithm.best is not None) == learns
