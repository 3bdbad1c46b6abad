"""Games of the Atari 2600 with hidden variants."""

import sys

import jax
import numpy as np
import pytest

from rl_meta.errors import UserError
from rl_meta.tasks.atari import Atari, _shrunk, variants
from rl_meta.tasks.base import draw_tasks

pytest.importorskip("ale_py")

FAMILY = Atari("breakout", horizon=6, sticky=0.0)
FIRE = 1


def begun(family, *pairs, seed=0):
    """Environments in these variants, and their first observations."""
    mode, difficulty = np.array(pairs, np.int32).T
    tasks = family.sample(jax.random.key(0))._replace(mode=mode, difficulty=difficulty)
    envs = family.make_envs(len(pairs))
    return envs, envs.begin(np.ones(len(pairs), bool), tasks, np.full(len(pairs), seed, np.uint32), None)


def lived(family, *pairs, steps=6):
    envs, obs = begun(family, *pairs)
    seen, outcomes = [obs], []
    for _ in range(steps):
        envs.send(np.full(len(pairs), FIRE, np.int32), None, cut=False)
        outcomes.append(envs.receive())
        seen.append(outcomes[-1].next_obs)
    return np.stack(seen, 1), outcomes


def test_variants_differ_and_the_same_one_is_the_same():
    seen, outcomes = lived(FAMILY, (0, 0), (0, 0), (3, 0), (0, 1))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert (seen[0] != seen[2]).any()
    assert (seen[0] != seen[3]).any()
    assert all(outcome.lost is None for outcome in outcomes)
    assert outcomes[-1].truncated.all()
    assert not outcomes[-2].truncated.any()


def test_a_variant_stays_when_an_episode_is_over():
    envs, _ = begun(FAMILY, (3, 1))
    before = [envs._envs[0].reset(seed) for seed in (4, None)]
    after = [envs._envs[0].reset(seed) for seed in (4, None)]
    np.testing.assert_array_equal(before, after)
    assert (before[0] != begun(FAMILY, (0, 0))[0]._envs[0].reset(4)).any()


@pytest.mark.parametrize("shows", ["ram", "picture"])
def test_observations_are_as_the_space_says(shows):
    family = Atari("breakout", shows=shows, side=21)
    _, obs = begun(family, (0, 0))
    assert family.observation_space.contains(obs[0])
    assert obs.max() > 0


def test_a_picture_is_shrunk_to_means():
    picture = np.arange(35, dtype=np.uint8).reshape(7, 5)
    np.testing.assert_array_equal(_shrunk(np.full((210, 160), 200, np.uint8), 42), np.full((42, 42), 200))
    assert _shrunk(picture, 2)[0, 0] == picture[:3, :2].mean() // 1


def test_points_are_measured_where_their_sign_is_the_reward():
    envs, _ = begun(Atari("breakout"), (0, 0))
    env = envs._envs[0].env
    env.env.step = lambda action: (np.zeros(128, np.uint8), 7.0, False, False, {})
    _, reward, *_, info = env.step(FIRE)
    assert (reward, info["points"]) == (1.0, 7.0)


def test_variants_that_are_tested_are_not_trained_on():
    drawn = [draw_tasks(FAMILY, jax.random.key(0), 200, split) for split in FAMILY.splits]
    found = [set(zip(x.mode.tolist(), x.difficulty.tolist(), strict=True)) for x in drawn]
    assert FAMILY.splits == ("train", "validation", "test")
    assert len(set.union(*found)) == sum(map(len, found)) == 24 == len(variants("breakout").modes) * 2


def test_unusable_games_are_refused():
    with pytest.raises(UserError, match="did you mean 'breakout'"):
        _ = Atari("breakot").observation_space
    with pytest.raises(UserError, match="one mode and one difficulty"):
        variants("pitfall")


def test_without_ale_py_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    variants.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'rl-meta\[atari\]'"):
        _ = FAMILY.observation_space
