import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.base import Adapter, Shape
from rl_meta.axes import as_sequences, per_copy
from rl_meta.collection.device import device_collector
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.probes import Countdown

FAMILY = Countdown()
TASKS = draw_tasks(FAMILY, jax.random.key(0), 5)
IDLE = Adapter(lambda k, p: ((), ()), lambda k, p, a, m, i: (m, jnp.array(1), ()), lambda k, p, a, s: a)
BUSY = Adapter(
    lambda k, p: (jax.random.normal(k), jnp.zeros(2)),
    lambda k, p, a, m, i: (
        0.9 * m + i.obs + a,
        (jax.random.uniform(k) < jax.nn.sigmoid(m.sum())).astype(int),
        m.sum(),
    ),
    lambda k, p, a, s: a + jax.random.normal(k) + s.reward.mean(),
)


def same(a, b):
    raw = lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(bool((raw(x) == raw(y)).all()) for x, y in leaves)


def collect(adapter, shape, calls=1):
    collector = device_collector(adapter, FAMILY, shape)
    live = jax.jit(collector.begin)(jax.random.key(1), (), TASKS)
    parts = []
    for call in range(calls):
        live, lifetimes = jax.jit(collector.collect)(jax.random.key(9 + call), (), live, TASKS)
        parts.append(lifetimes)
    return live, parts


def episodes_of(restart):
    """Every step of every sequence with its successor's inputs: (steps, next inputs, index in the stage)."""
    end, (life,) = collect(IDLE, Shape(stages=3, copies=4, steps=50, restart=restart))
    steps = jax.tree.map(np.asarray, as_sequences(life.steps))
    after = jax.tree.map(
        lambda x, y: np.concatenate([x[:, 1:], np.asarray(y)[:, None]], 1), steps.inputs, per_copy(end.inputs)
    )
    return steps, after


@pytest.mark.parametrize("restart", [True, False])
def test_every_recorded_step_is_real(restart):
    steps, _ = episodes_of(restart)
    time = steps.inputs.obs[..., 0]
    expected = np.zeros_like(time)
    for t in range(1, time.shape[1]):
        done = steps.terminated[:, t - 1] | steps.truncated[:, t - 1]
        expected[:, t] = np.where(done, 0, expected[:, t - 1] + 1)
    np.testing.assert_array_equal(time, expected)


def test_the_first_flag_tells_of_resets_and_only_of_them():
    steps, after = episodes_of(restart=False)
    np.testing.assert_array_equal(after.first, steps.terminated | steps.truncated)
    assert steps.inputs.first[:, 0].all()


def test_the_last_observation_before_a_reset_is_kept():
    steps, after = episodes_of(restart=False)
    np.testing.assert_array_equal(steps.next_obs[..., 0], steps.inputs.obs[..., 0] + 1)
    np.testing.assert_array_equal(after.last_result, steps.next_obs)


def test_observation_and_last_result_differ_only_after_a_reset():
    _, after = episodes_of(restart=False)
    np.testing.assert_array_equal((after.obs != after.last_result).any(-1), after.first)


def test_the_end_of_a_stage_truncates_where_episodes_restart():
    steps, _ = episodes_of(restart=True)
    ends = np.arange(steps.reward.shape[1]) % 50 == 49
    assert (steps.terminated | steps.truncated)[:, ends].all()


def test_an_episode_never_ends_both_ways():
    steps, _ = episodes_of(restart=True)
    assert not (steps.terminated & steps.truncated).any()


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("segment", [3, 2, 1])
def test_cutting_a_lifetime_changes_no_number(segment, restart):
    whole_end, (whole,) = collect(BUSY, Shape(6, 4, 7, None, restart))
    end, parts = collect(BUSY, Shape(6, 4, 7, segment, restart), calls=6 // segment)
    steps = jax.tree.map(lambda *x: jnp.concatenate(x, 1), *[part.steps for part in parts])
    assert same((whole_end, whole.steps), (end, steps))
    assert bool(parts[-1].over.all())
    assert not bool(parts[0].over.any())


def test_lifetimes_that_are_over_are_begun_anew():
    _, (first, second) = collect(BUSY, Shape(2, 1, 7), calls=2)
    assert bool((second.start.stage == 0).all())
    assert not same(first.steps.reward, second.steps.reward)
