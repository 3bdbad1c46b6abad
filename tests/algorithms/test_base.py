from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.base import (
    Adapter,
    MetaAlgorithm,
    Shape,
    birth_keys,
    deterministic,
    keep_adapted,
    relive,
    stage_keys,
)
from rl_meta.collection.device import device_collector
from rl_meta.errors import UserError
from rl_meta.tasks.probes import Countdown
from tasks.playing import draw

ROUNDING = 1e-5
"""Relative, of means of a dozen rewards in another order."""
SHAPE = Shape(stages=3, copies=2, steps=6)
TASKS = 4
PARAMS = jnp.float32(0.7)
KEY = jax.random.key(5)

FAMILY = Countdown()
LEARNER = Adapter(
    begin=lambda key, params: (params + jax.random.normal(key), ()),
    act=lambda key, params, adapted, memory, inputs: (memory, jnp.array(1), ()),
    learn=lambda key, params, adapted, steps: adapted + params * steps.reward.mean() + jax.random.normal(key),
)


@cache
def lived():
    """Whole lifetimes of `LEARNER`, and what it had adapted to before each stage and after the last."""
    collector = device_collector(LEARNER, FAMILY, Shape(3, 2, 6, segment=1))
    tasks = draw(FAMILY, TASKS)
    live = jax.jit(collector.begin)(jax.random.key(1), PARAMS, tasks)
    collect, keys, adapted, steps = jax.jit(collector.collect), live.key, [live.adapted], []
    for _ in range(SHAPE.stages):
        live, part = collect(jax.random.key(2), PARAMS, live, tasks)
        adapted.append(live.adapted)
        steps.append(part.steps)
    return keys, jax.tree.map(lambda *x: jnp.concatenate(x, 1), *steps), jnp.stack(adapted, 1)


def relive_all(params):
    keys, steps, _ = lived()
    return jax.vmap(lambda key, steps: relive(LEARNER, params, key, steps))(keys, steps)


relived = jax.jit(relive_all)


def numbers(*keys):
    """Every key as one row."""
    return np.concatenate([np.asarray(jax.random.key_data(key)).reshape(-1, 2) for key in keys])


def are_all_different(*keys):
    rows = numbers(*keys)
    return len(np.unique(rows, axis=0)) == len(rows)


def test_every_copy_step_and_purpose_has_a_key_of_its_own():
    keys, learn = stage_keys(KEY, jnp.array(0), 3, 5)
    assert are_all_different(keys, learn)


def test_every_stage_has_keys_of_its_own():
    assert are_all_different(*(part for stage in range(4) for part in stage_keys(KEY, jnp.array(stage), 2, 3)))


def test_a_birth_has_keys_of_its_own():
    assert are_all_different(KEY, *birth_keys(KEY), *stage_keys(KEY, jnp.array(0), 2, 3))


def test_every_lifetime_has_keys_of_its_own():
    lives = jax.random.split(KEY, 3)
    assert are_all_different(*(part for key in lives for part in stage_keys(key, jnp.array(0), 2, 3)))


def test_keys_of_a_stage_are_laid_out_by_copy_step_and_purpose():
    keys, learn = stage_keys(KEY, jnp.array(0), 3, 5)
    assert (keys.shape, learn.shape) == ((3, 5, 3), ())


def test_keys_of_a_stage_are_the_same_whenever_they_are_asked_for():
    ask = lambda: numbers(*stage_keys(KEY, jnp.array(2), 2, 3))
    np.testing.assert_array_equal(ask(), ask())


@pytest.mark.parametrize("moment", range(SHAPE.stages + 1))
def test_reliving_repeats_what_was_learned(moment):
    _, _, adapted = lived()
    np.testing.assert_allclose(relived(PARAMS)[:, moment], adapted[:, moment], rtol=ROUNDING, atol=ROUNDING)


def test_reliving_can_be_differentiated_in_the_parameters():
    _, steps, _ = lived()
    slope = jax.jit(jax.jacobian(relive_all))(PARAMS)[:, -1]
    expected = 1 + np.asarray(steps.reward, float).mean((2, 3)).sum(1)
    np.testing.assert_allclose(slope, expected, rtol=ROUNDING)


def test_reliving_with_other_parameters_learns_something_else():
    assert not np.allclose(relived(PARAMS + 1)[:, -1], relived(PARAMS)[:, -1], atol=0.5)


def test_agents_that_do_not_learn_keep_what_they_have():
    _, steps, adapted = lived()
    assert keep_adapted(KEY, PARAMS, adapted, steps) is adapted


def algorithm_of(adapter, **more):
    return MetaAlgorithm(adapter, lambda key: (), lambda key, state, lifetimes: (state, {}), **more)


def test_an_agent_at_its_best_acts_without_a_key():
    shows_key = LEARNER._replace(act=lambda key, *rest: (key, *rest))
    assert deterministic(algorithm_of(shows_key)).act(KEY, 1, 2, 3, 4) == (None, 1, 2, 3, 4)


def test_an_agent_at_its_best_begins_and_learns_as_before():
    assert deterministic(algorithm_of(LEARNER))[::2] == LEARNER[::2]


def test_a_method_may_say_how_its_agent_acts_at_its_best():
    own = LEARNER._replace(act=lambda key, *rest: "own")
    assert deterministic(algorithm_of(LEARNER, best=own)) is own


@pytest.mark.parametrize(("segment", "expected"), [(None, 6), (2, 2), (6, 6)])
def test_a_segment_is_the_whole_lifetime_unless_said_otherwise(segment, expected):
    assert Shape(6, 4, 10, segment).stages_per_call == expected


def test_steps_of_a_call_are_counted_over_stages_and_copies():
    assert Shape(6, 4, 10, segment=2).steps_per_call == 2 * 4 * 10


@pytest.mark.parametrize(("stages", "segment"), [(6, 4), (2, 3)])
def test_a_lifetime_that_is_no_whole_number_of_segments_is_refused(stages, segment):
    with pytest.raises(UserError, match=f"got {stages} stages in segments of {segment}"):
        Shape(stages, 1, 10, segment)
