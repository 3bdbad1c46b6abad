"""Highway-env's road with hidden traffic."""

import jax
import numpy as np
import pytest

from rl_meta.errors import UserError
from rl_meta.tasks.base import SPLITS, draw_tasks
from rl_meta.tasks.highway import MANNERS, Highway, Intersection, Merge, Parking, Racetrack, Roundabout

pytest.importorskip("highway_env")

FAMILY = Highway(horizon=4)
IDLE, FASTER = 1, 3
ROADS = (Merge, Roundabout, Intersection, Parking, Racetrack)


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


@pytest.mark.parametrize("road", ROADS)
def test_every_road_is_as_it_says(road):
    family = road(horizon=3)
    envs, obs = begun(family)
    env = envs._envs[0].env
    assert family.action_space == env.action_space
    assert obs.shape == (1, *family.observation_space.shape)
    action = family.action_space.sample() * 0
    for time in range(3):
        envs.send(np.asarray(action)[None], None, cut=False)
        outcome = envs.receive()
        assert outcome.lost is None
        assert outcome.measured.keys() == {name.partition("=")[0] for name in family.measures}
        if outcome.terminated[0]:
            break
        assert outcome.truncated[0] == (time == 2)
    assert {*family.road.hidden} == {*family.task_space.spaces}


@pytest.mark.parametrize(("road", "most"), [(Merge, 6), (Roundabout, 4)])
def test_cars_are_added_where_there_is_room(road, most):
    usual, crowded = (others(begun(road(), cars=cars)[0]) for cars in (0, 2))
    added = len(crowded) - len(usual)
    assert 0 < added <= most
    places = np.array([car.position for car in crowded])
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    assert apart[-added:][apart[-added:] > 0].min() > 10


@pytest.mark.parametrize("road", [Merge, Roundabout, Intersection, Racetrack])
def test_others_have_the_manners_of_the_task_on_every_road(road):
    envs, _ = begun(road(), aggressiveness=0.5)
    for _ in range(2):
        assert others(envs)
        for name, (calm, aggressive) in MANNERS.items():
            assert {getattr(driver, name) for driver in others(envs)} == {(calm + aggressive) / 2}
        envs._envs[0].env.step(1 if road is not Racetrack else np.zeros(1))


def test_the_wheels_turn_as_far_as_the_task_says():
    headings = []
    for degrees in (25.0, 65.0):
        envs, _ = begun(Racetrack(), steering=degrees, cars=0)
        before = envs._envs[0].env.unwrapped.vehicle.heading
        envs._envs[0].env.step(np.array([0.3]))
        headings.append(abs(envs._envs[0].env.unwrapped.vehicle.heading - before))
    assert headings[1] > 2 * headings[0]


def test_parking_shows_the_place_and_whether_it_was_reached():
    envs, obs = begun(Parking(), cars=2)
    env = envs._envs[0].env.unwrapped
    np.testing.assert_allclose(obs[0, 6:8] * 100, env.vehicle.goal.position, atol=1e-3)
    assert len(others(envs)) == 8
    env.vehicle.position = np.array(env.vehicle.goal.position)
    env.vehicle.heading, env.vehicle.speed = env.vehicle.goal.heading, 0.0
    envs.send(np.zeros((1, 2), np.float32), None, cut=False)
    outcome = envs.receive()
    assert outcome.terminated[0]
    assert outcome.measured["is_success"][0] == 1


def test_without_highway_env_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("rl_meta.tasks.highway.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'rl-meta\[driving\]'"):
        _ = FAMILY.observation_space
