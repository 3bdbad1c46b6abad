from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape
from rl_meta.algorithms.scratch import Scratch
from rl_meta.collection.device import device_collector
from rl_meta.errors import UserError
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.base import draw_tasks
from rl_meta.training.loop import improving, measured, returns, trainer, without_divergence
from rl_meta.types import Array, Inputs, Lifetimes, Live, PyTree, Step

ROUNDING = 1e-5
"""Sums of float32 in another order."""
N, S, C, T, STAGES = 3, 2, 2, 6, 4
"""The second half of lifetimes of four stages."""


def random_lifetimes(seed, *, done=0.3, begun=2):
    """Made-up steps; an episode may be running when the segment begins, and when it ends."""
    rng = np.random.default_rng(seed)
    shape = (N, S, C, T)
    terminated = rng.random(shape) < done / 2
    truncated = (rng.random(shape) < done / 2) & ~terminated
    in_order = np.moveaxis(terminated | truncated, 2, 1).reshape(N, C, S * T)
    started = rng.random((N, C, 1)) < 0.5
    first = np.concatenate([started, in_order[..., :-1]], -1)
    first = np.moveaxis(first.reshape(N, C, S, T), 2, 1)
    # only the arrays that are looked at
    inputs = Inputs((), jnp.array(first), (), (), ())
    steps = Step(
        inputs, (), (), jnp.array(rng.normal(size=shape), jnp.float32), (), jnp.array(terminated), jnp.array(truncated)
    )
    start = Live(jax.random.split(jax.random.key(0), N), (), jnp.full(N, begun), (), (), inputs, ())
    return Lifetimes(start, steps, start, jnp.ones(N, bool))


def whole_episodes(lifetimes):
    """(stage that it began in, rewards) of every episode that begins and ends in the segment, by plain loops."""
    steps, begun = jax.tree.map(np.asarray, lifetimes.steps), np.asarray(lifetimes.start.stage)
    for n in range(N):
        for c in range(C):
            rewards, stage = None, None
            for s in range(S):
                for t in range(T):
                    at = n, s, c, t
                    if steps.inputs.first[at]:
                        rewards, stage = [], begun[n] + s
                    if rewards is not None:
                        rewards.append(float(steps.reward[at]))
                    if rewards is not None and (steps.terminated[at] or steps.truncated[at]):
                        yield stage, rewards
                        rewards = None


SHAPE = Shape(STAGES, C, T, restart=False)
quick_returns = jax.jit(lambda lifetimes: returns(lifetimes, SHAPE))


@pytest.mark.parametrize("seed", range(5))
def test_the_return_is_the_mean_over_episodes_that_are_whole(seed):
    lifetimes = random_lifetimes(seed)
    expected = np.mean([sum(rewards) for _, rewards in whole_episodes(lifetimes)])
    assert abs(quick_returns(lifetimes)["return"] - expected) < ROUNDING


@pytest.mark.parametrize("seed", range(5))
def test_the_return_of_a_stage_is_that_of_the_episodes_that_began_in_it(seed):
    lifetimes = random_lifetimes(seed)
    found = list(whole_episodes(lifetimes))
    expected = [np.mean([sum(rewards) for began, rewards in found if began == s]) for s in (2, 3)]
    np.testing.assert_allclose(quick_returns(lifetimes)["return_by_stage"][2:], expected, atol=ROUNDING)


def test_where_stages_begin_anew_the_episodes_that_begin_with_them_count():
    lifetimes = random_lifetimes(0)
    ends = lifetimes.steps.truncated.at[..., -1].set(~lifetimes.steps.terminated[..., -1])
    first = lifetimes.steps.inputs.first.at[:, :, :, 0].set(True)
    inputs = lifetimes.steps.inputs._replace(first=first)
    lifetimes = lifetimes._replace(steps=lifetimes.steps._replace(truncated=ends, inputs=inputs))
    reward, done = np.asarray(lifetimes.steps.reward), np.asarray(lifetimes.steps.terminated | ends)
    of_stage = [reward[at][: np.argmax(done[at]) + 1].sum() for at in np.ndindex(N, S, C)]
    found = returns(lifetimes, Shape(STAGES, C, T, restart=True))
    assert abs(found["return"] - np.mean(of_stage)) < ROUNDING
    by_stage = np.reshape(of_stage, (N, S, C)).mean((0, 2))
    np.testing.assert_allclose(found["return_by_stage"][2:], by_stage, atol=ROUNDING)


def test_stages_that_were_not_lived_have_no_return():
    assert np.isnan(quick_returns(random_lifetimes(0))["return_by_stage"][:2]).all()


def test_where_no_episode_ends_there_is_no_return():
    assert np.isnan(quick_returns(random_lifetimes(0, done=0.0))["return"])


@pytest.mark.parametrize(
    ("how", "of"), [("sum", np.sum), ("mean", np.mean), ("max", np.max), ("last", lambda x: x[-1])]
)
def test_a_measure_is_summed_up_over_whole_episodes_as_the_family_says(how, of):
    lifetimes = random_lifetimes(0)
    steps = lifetimes.steps._replace(measured={"height": lifetimes.steps.reward})
    found = jax.jit(lambda lifetimes: measured(lifetimes, SHAPE, {"height": how}))(lifetimes._replace(steps=steps))
    expected = np.mean([of(np.array(rewards)) for _, rewards in whole_episodes(lifetimes)])
    assert abs(found["height"] - expected) < ROUNDING


def test_a_measure_that_no_step_tells_is_refused():
    with pytest.raises(UserError, match="says that it measures height, its steps do not tell"):
        measured(random_lifetimes(0), SHAPE, {"height": "max"})


def test_a_measure_that_is_called_like_a_metric_is_refused():
    lifetimes = random_lifetimes(0)
    lifetimes = lifetimes._replace(steps=lifetimes.steps._replace(measured={"return": lifetimes.steps.reward}))
    algorithm = MetaAlgorithm(Adapter(None, None, None), None, lambda key, meta, lifetimes: (meta, {}))
    with pytest.raises(UserError, match="the family measures return, which is a metric of training too"):
        improving(algorithm, Shape(STAGES, C, T), {"return": "max"})(jax.random.key(0), BEFORE, lifetimes)


def test_methods_are_not_told_what_is_measured():
    lifetimes = random_lifetimes(0)
    lifetimes = lifetimes._replace(steps=lifetimes.steps._replace(measured={"height": lifetimes.steps.reward}))
    told = []

    def update(key, meta, lifetimes):
        told.append(lifetimes.steps.measured)
        return meta, {}

    algorithm = MetaAlgorithm(Adapter(None, None, None), None, update)
    _, info = improving(algorithm, Shape(STAGES, C, T), {"height": "max"})(jax.random.key(0), BEFORE, lifetimes)
    assert told == [()]
    assert np.isfinite(info["height"])


class Meta(NamedTuple):
    """A meta-state."""

    params: PyTree
    updates: Array


BEFORE = Meta({"weight": jnp.array([1.0, 2.0]), "steps": jnp.array(3)}, jnp.array(10))


def after(weight):
    return Meta({"weight": jnp.array(weight), "steps": jnp.array(4)}, jnp.array(11))


def test_a_finite_update_is_kept():
    kept, info = without_divergence(BEFORE, after([1.5, 2.5]), {})
    assert (kept.params["weight"].tolist(), int(kept.updates)) == ([1.5, 2.5], 11)
    assert float(info["skipped_updates"]) == 0.0


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_an_update_with_one_number_that_is_not_finite_is_skipped_as_a_whole(bad):
    kept, info = without_divergence(BEFORE, after([1.5, bad]), {})
    assert (kept.params["weight"].tolist(), int(kept.params["steps"]), int(kept.updates)) == ([1.0, 2.0], 3, 10)
    assert float(info["skipped_updates"]) == 1.0


def test_a_method_without_parameters_skips_nothing():
    kept, info = without_divergence(Meta((), jnp.array(10)), Meta((), jnp.array(11)), {"loss": jnp.array(0.5)})
    assert (int(kept.updates), float(info["skipped_updates"]), float(info["loss"])) == (11, 0.0, 0.5)


def loop(shape):
    method, family = Scratch(improvements=shape.stages), Bandit(arms=2, pulls=4)
    algorithm = method.build(family, 1)
    collector = device_collector(algorithm.adapter, family, shape)
    return trainer(algorithm, collector, lambda key: draw_tasks(family, key, 4), shape)


def test_segments_are_refused_for_methods_that_learn_from_whole_lifetimes():
    with pytest.raises(UserError, match="learns from whole lifetimes of 4 stages, got segments of 2"):
        loop(Shape(4, 1, 4, segment=2))


def test_a_segment_as_long_as_the_lifetime_is_no_segment():
    loop(Shape(4, 1, 4, segment=4))
