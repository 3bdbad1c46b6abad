"""The recurrent hypernetwork reaches the known answers of its probes."""

import numpy as np
import pytest

from algorithms.whole_runs import adapts
from rl_meta.algorithms.hypernetwork import Hypernetwork
from rl_meta.errors import UserError
from rl_meta.tasks.grid_navigation import GridNavigation
from rl_meta.tasks.probes import OneArmPays
from rl_meta.training.config import RunConfig

KINDS = [("weights", "recurrent"), pytest.param("film", "splagger", marks=pytest.mark.learning)]


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
