"""Highway-env's road with hidden traffic."""

import jax
import numpy as np
import pytest

from rl_meta.errors import UserError
from rl_meta.tasks.base import SPLITS, draw_tasks
from rl_meta.tasks.highway import MANNERS, Highway

pytest.importorskip("highway_env")

FAMILY = Highway(horizon=4)
IDLE, FASTER = 1, 3


def begun(family, **hidden):
    """One environment with this traffic, and its first observation."""
    task = jax.tree.map(np.asarray, family.sample(jax.random.key(0)))
    task = task._replace(**{name: np.asarray(value, getattr(task, name).dtype) for name, value in hidden.items()})
    envs = family.make_envs(1)
    tasks = jax.tree.map(lambda x: x[None], task)
    return envs, envs.begin(np.ones(1, bool), tasks, np.zeros(1, np.uint32), None)


def step(envs, action):
    envs.send(np.array([action], np.int32), None, cut=False)
    return envs.receive()


def others(envs):
    env = envs._envs[0].env.unwrapped
    return [driver for driver in env.road.vehicles if driver not in env.controlled_vehicles]


def test_the_road_has_the_traffic_of_its_task_after_every_reset():
    envs, obs = begun(FAMILY, aggressiveness=0.25, density=1.0, lanes=2, vehicles=0)
    assert obs.shape == (1, 5, 5)
    for _ in range(2):
        env = envs._envs[0].env.unwrapped
        assert len(others(envs)) == 12
        assert len(env.road.network.all_side_lanes(env.vehicle.lane_index)) == 4
        for name, (calm, aggressive) in MANNERS.items():
            values = {getattr(driver, name) for driver in others(envs)}
            assert values == {calm + 0.25 * (aggressive - calm)}
        envs._envs[0].reset()


def test_an_episode_ends_at_its_horizon_and_measures_crashes_and_speed():
    envs, _ = begun(FAMILY, density=0.7)
    outcomes = [step(envs, IDLE) for _ in range(4)]
    assert [bool(outcome.truncated[0] | outcome.terminated[0]) for outcome in outcomes][-1]
    assert not outcomes[0].truncated[0]
    assert 15 < outcomes[0].measured["speed"][0] < 35
    assert outcomes[0].measured["crashed"][0] in (0, 1)


def test_manners_change_how_the_others_drive_and_make_sense_beyond_their_range():
    places = []
    for aggressiveness in (0.0, 1.0):
        envs, _ = begun(FAMILY, aggressiveness=aggressiveness, density=1.5)
        for _ in range(3):
            step(envs, IDLE)
        places.append([driver.position.tolist() for driver in others(envs)])
    assert places[0] != places[1]
    for calm, aggressive in MANNERS.values():
        assert min(calm + power * (aggressive - calm) for power in (-0.25, 1.25)) > -1e-9


def test_denser_traffic_is_closer():
    gaps = []
    for density in (0.7, 1.7):
        envs, _ = begun(FAMILY, density=density)
        gaps.append(np.ptp([driver.position[0] for driver in others(envs)]))
    assert gaps[0] > 1.5 * gaps[1]


def test_tasks_are_split_by_region_and_drawn_from_the_key():
    drawn = {split: draw_tasks(FAMILY, jax.random.key(0), 100, split) for split in SPLITS}
    assert np.asarray(drawn["train"].density).min() >= 0.7
    outside = (np.asarray(drawn["extrapolation"].density) > 1.7) | (np.asarray(drawn["extrapolation"].density) < 0.7)
    assert outside.any()
    assert set(np.asarray(drawn["test"].lanes).tolist()) == {0, 1, 2}
    task = jax.tree.map(lambda x: np.asarray(x[0]), drawn["test"])
    assert FAMILY.task_space.contains(task._asdict())


def test_without_highway_env_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("rl_meta.tasks.highway.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'rl-meta\[driving\]'"):
        _ = FAMILY.observation_space
