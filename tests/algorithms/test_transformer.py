"""In-context agents reach the known answers of their probes, with either layer."""

import numpy as np
import pytest

from algorithms.whole_runs import adapts
from rl_meta.algorithms.transformer import Transformer
from rl_meta.errors import UserError
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.grid_navigation import GridNavigation
from rl_meta.tasks.probes import LookOrPull, OneArmPays
from rl_meta.training.config import RunConfig

SMALL = {"width": 16, "attention_heads": 2, "encoder": (16,), "learning_rate": 5e-3}


@pytest.mark.parametrize("layer", ["attention", pytest.param("linear-recurrence", marks=pytest.mark.learning)])
def test_it_pulls_the_arm_that_pays_from_the_second_pull_on(layer):
    family = OneArmPays(end=0.0, horizon=1)
    method = Transformer(layer=layer, blocks=1, lifetime_episodes=6, **SMALL)
    lived = adapts(RunConfig(family, method, steps=120_000))
    np.testing.assert_allclose(lived.episodes.mean(0), [0.5, 1, 1, 1, 1, 1], atol=0.06)


@pytest.mark.learning
def test_it_uses_the_last_observation_of_an_episode():
    explores = {"entropy_weight": 0.05}  # looking pays only once it is known how to use what was seen
    method = Transformer(layer="linear-recurrence", blocks=1, lifetime_episodes=3, **SMALL, **explores)
    lived = adapts(RunConfig(LookOrPull(), method, steps=250_000))
    np.testing.assert_allclose(lived.episodes.mean(0), [0, 1, 1], atol=0.12)


@pytest.mark.learning
def test_attention_learns_through_a_window():
    """What it found out before the window it has to show itself again by what it does."""
    family = OneArmPays(end=0.0, horizon=2)
    method = Transformer(blocks=1, lifetime_episodes=6, context=4, **SMALL)
    lived = adapts(RunConfig(family, method, steps=250_000))
    np.testing.assert_allclose(lived.episodes.mean(0), [1.5, 2, 2, 2, 2, 2], atol=0.12)


@pytest.mark.learning
def test_a_linear_recurrence_learns_from_parts_of_lifetimes():
    family = OneArmPays(end=0.0, horizon=2)
    explores = {"entropy_weight": 0.02}  # else one pull in the middle may stay a guess: no gradient crosses to its past
    method = Transformer(
        layer="linear-recurrence", blocks=1, lifetime_episodes=6, segment_episodes=2, **SMALL, **explores
    )
    lived = adapts(RunConfig(family, method, steps=250_000))
    np.testing.assert_allclose(lived.episodes.mean(0), [1.5, 2, 2, 2, 2, 2], atol=0.12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "atention"}, "unknown layer 'atention': did you mean 'attention'"),
        ({"chunk_steps": 5}, "attention learns from whole lifetimes, got chunk_steps 5"),
        ({"segment_episodes": 1}, "attention learns from whole lifetimes, got segment_episodes 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    method = Transformer()
    for name, value in settings.items():
        object.__setattr__(method, name, value)  # past the types that tests execute
    with pytest.raises(UserError, match=message):
        RunConfig(Bandit(pulls=10), method)


@pytest.mark.learning
def test_it_searches_a_grid_and_goes_straight_to_the_goal_ever_after():
    method = Transformer(blocks=1, meta_batch_size=128, discount=0.97, trace=0.9)
    lived = adapts(RunConfig(GridNavigation(), method, steps=3_000_000), tasks=1_000)
    assert lived.lifetime.mean() >= 34
