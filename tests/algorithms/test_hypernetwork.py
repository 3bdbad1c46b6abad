"""The recurrent hypernetwork reaches the known answers of its probes."""

import jax
import numpy as np
import pytest

from rl_meta.algorithms.hypernetwork import Hypernetwork
from rl_meta.errors import UserError
from rl_meta.evaluation.lifetimes import live_through
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.grid_navigation import GridNavigation
from rl_meta.tasks.probes import OneArmPays
from rl_meta.training.config import RunConfig
from rl_meta.training.run import build_trainer

KINDS = [("weights", "recurrent"), ("film", "splagger")]


def adapts(config, tasks=400):
    """Lifetimes in new tasks after the whole run."""
    train, key = build_trainer(config), jax.random.key(config.seed)
    go = lambda state, _: (train.iterate(key, state)[0], None)
    state = jax.jit(lambda: jax.lax.scan(go, train.init(key), length=config.iterations)[0])()
    drawn = draw_tasks(config.family, jax.random.key(99), tasks, "test")
    adapter = config.method.build(config.family, config.iterations).adapter
    return live_through(adapter, state.meta.params, config.family, config.shape, drawn, jax.random.key(7))


@pytest.mark.parametrize(("generates", "aggregator"), KINDS)
def test_it_pulls_the_arm_that_pays_from_the_second_pull_on(generates, aggregator):
    """The observation is always the same: only generated weights can tell the tasks apart."""
    family = OneArmPays(end=0.0, horizon=1)
    method = Hypernetwork(
        generates=generates, aggregator=aggregator, lifetime_episodes=6, memory=16, base=(8,), learning_rate=5e-3
    )
    lived = adapts(RunConfig(family, method, steps=120_000))
    np.testing.assert_allclose(lived.episodes.mean(0), [0.5, 1, 1, 1, 1, 1], atol=0.06)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generates": "weight"}, "unknown kind of generation 'weight'"),
        ({"aggregator": "max"}, "unknown aggregator 'max'"),
        ({"generates": "film", "base": ()}, r"film modulates the hidden layers of the base networks, got base \(\)"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    method = Hypernetwork()
    for name, value in settings.items():
        object.__setattr__(method, name, value)  # past the types that tests execute
    with pytest.raises(UserError, match=message):
        RunConfig(OneArmPays(), method)


@pytest.mark.learning
def test_it_searches_a_grid_and_goes_straight_to_the_goal_ever_after():
    method = Hypernetwork(meta_batch_size=128, discount=0.97, trace=0.9, encoder=())
    lived = adapts(RunConfig(GridNavigation(), method, steps=3_000_000), tasks=1_000)
    assert lived.lifetime.mean() >= 35
