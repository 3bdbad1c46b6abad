"""Highway-env's road in EnvPool, beside highway-env itself."""

import jax
import numpy as np
import pytest

from rl_meta.errors import UserError
from rl_meta.tasks.base import SPLITS, draw_tasks
from rl_meta.tasks.highway import Highway
from rl_meta.tasks.highway_fast import HighwayFast

on_envpool = pytest.mark.frameworks

IDLE, FASTER = 1, 3
ROUNDING = 1e-6
"""Of float32 observations in [-1, 1]."""
EVEN = {"density": 1.0, "lanes": 0, "vehicles": 0}  # 2 lanes, 12 cars


@pytest.fixture
def envpool():
    return pytest.importorskip("envpool")


@pytest.fixture
def drivers():
    """Of highway-env."""
    return pytest.importorskip("highway_env.vehicle.behavior").IDMVehicle


def tasks_like(family, count, **hidden):
    """So many tasks of the family [count], with these parameters."""
    tasks = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), count))
    given = {name: np.full(count, value, getattr(tasks, name).dtype) for name, value in hidden.items()}
    return tasks._replace(**given)


def begun(family, seeds=(0,), **hidden):
    """An environment for each seed, and their first observations."""
    envs, count = family.make_envs(len(seeds)), len(seeds)
    tasks = tasks_like(family, count, **hidden)
    return envs, envs.begin(np.ones(count, bool), tasks, np.array(seeds, np.uint32), None)


def step(envs, *actions, cut=False):
    envs.send(np.array(actions, np.int32), None, cut=cut)
    return envs.receive()


def road_in(envs):
    """What EnvPool's road looks like from inside."""
    return envs._envs[0].env._pool.debug_states([0])[0]


def put_in_place(env, state):
    """Highway-env's cars where EnvPool's are, in the same state of mind."""
    road = env.unwrapped.road
    for car, like in zip(road.vehicles, state.vehicles, strict=True):
        car.position, car.heading, car.speed = np.array([like.x, like.y]), like.heading, like.speed
        car.lane_index, car.target_lane_index = ("0", "1", like.lane_index), ("0", "1", like.target_lane_index)
        car.lane, car.target_speed = road.network.get_lane(car.lane_index), like.target_speed
        if car in env.unwrapped.controlled_vehicles:
            car.speed_index = like.speed_index
        else:
            car.timer, car.DELTA = like.timer, like.idm_delta
    return env.unwrapped.observation_type.observe()


def live_side_by_side(seed, **hidden):
    """An episode of random actions in both simulators, from the same state on."""
    (fast, obs), (slow, _) = (
        begun(HighwayFast(horizon=8, simulator=name), (seed,), **hidden) for name in ("envpool", "highway-env")
    )
    env = slow._envs[0].env
    np.testing.assert_allclose(obs[0], put_in_place(env, road_in(fast)), atol=ROUNDING)
    for action in np.random.default_rng(seed).integers(0, 5, 8):
        obs, reward, terminated, truncated, info = env.step(int(action))
        outcome = step(fast, action)
        np.testing.assert_allclose(outcome.next_obs[0], obs, atol=ROUNDING)
        assert outcome.reward[0] == pytest.approx(reward, abs=ROUNDING)
        assert outcome.measured["speed"][0] == pytest.approx(info["speed"], rel=ROUNDING)
        assert outcome.measured["crashed"][0] == info["crashed"]
        assert outcome.terminated[0] == terminated
        assert outcome.truncated[0] == (truncated and not terminated)
        if terminated:
            return


@on_envpool
@pytest.mark.parametrize("seed", range(6))
def test_on_two_lanes_both_simulators_agree_number_by_number(seed, envpool, drivers):
    live_side_by_side(seed, lanes=0)


@on_envpool
@pytest.mark.parametrize(("lanes", "seed"), [(1, 5), (1, 8), (1, 13), (2, 12), (2, 26), (2, 28)])
def test_on_more_lanes_they_agree_but_for_the_side_that_drivers_prefer(lanes, seed, envpool, drivers, monkeypatch):
    """Where both lanes beside it are better, EnvPool's driver takes the left one, highway-env's the right one."""
    mobil, change = drivers.mobil, drivers.change_lane_policy

    def change_to_the_first(self):
        found = []

        def better(lane):
            if not found and mobil(self, lane):
                found.append(lane)
                return True
            return False

        monkeypatch.setattr(self, "mobil", better, raising=False)
        change(self)

    with pytest.raises(AssertionError):
        live_side_by_side(seed, lanes=lanes)
    monkeypatch.setattr(drivers, "change_lane_policy", change_to_the_first)
    live_side_by_side(seed, lanes=lanes)


@on_envpool
def test_the_road_is_that_of_its_task_after_every_reset(envpool):
    envs, obs = begun(HighwayFast(horizon=4, simulator="envpool"), density=1.7, lanes=2, vehicles=1)
    assert obs.shape == (1, 5, 5)
    assert obs.dtype == np.float32
    for _ in range(2):
        road = road_in(envs)
        assert road.lanes_count == 4
        assert len(road.vehicles) == 1 + 16
        step(envs, IDLE, cut=True)
    assert np.ptp([car.x for car in road.vehicles[1:]]) < 16 * 16


@on_envpool
def test_denser_traffic_is_closer(envpool):
    family = HighwayFast(simulator="envpool")
    gaps = [
        np.ptp([car.x for car in road_in(begun(family, **{**EVEN, "density": density})[0]).vehicles[1:]])
        for density in (0.7, 1.7)
    ]
    assert gaps[0] > 1.5 * gaps[1]


@on_envpool
def test_a_lifetime_can_be_lived_again_and_no_two_episodes_are_equal(envpool):
    def lived(seeds):
        envs, obs = begun(HighwayFast(horizon=2, simulator="envpool"), seeds, **EVEN)
        return np.stack([obs, *(step(envs, *[IDLE] * len(seeds)).obs for _ in range(4))])

    first, again = lived((3, 4)), lived((3, 4))
    np.testing.assert_array_equal(first, again)
    beginnings = [first[time, copy].tobytes() for time in (0, 2, 4) for copy in (0, 1)]
    assert len(set(beginnings)) == 6


@on_envpool
def test_only_the_newborn_are_put_into_another_task(envpool):
    family = HighwayFast(simulator="envpool")
    envs, before = begun(family, (0, 1), **EVEN)
    both, seeds = tasks_like(family, 2, **{**EVEN, "lanes": 2}), np.array([5, 6], np.uint32)
    after = envs.begin(np.array([True, False]), both, seeds, None)
    assert not np.array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1])
    assert [one.env._pool.debug_states([0])[0].lanes_count for one in envs._envs] == [4, 2]


@on_envpool
def test_an_episode_ends_at_its_horizon_and_measures_crashes_and_speed(envpool):
    envs, _ = begun(HighwayFast(horizon=3, simulator="envpool"), **{**EVEN, "density": 0.7})
    outcomes = [step(envs, IDLE) for _ in range(3)]
    assert [bool(outcome.truncated[0]) for outcome in outcomes] == [False, False, True]
    assert not np.array_equal(outcomes[-1].obs, outcomes[-1].next_obs)
    assert 15 < outcomes[0].measured["speed"][0] < 35
    assert outcomes[0].measured["crashed"][0] == 0


@on_envpool
def test_a_crash_in_the_last_second_is_a_crash(envpool):
    crowded = {**EVEN, "density": 1.7, "vehicles": 2}
    seeds = tuple(range(16))
    envs, _ = begun(HighwayFast(horizon=40, simulator="envpool"), seeds, **crowded)
    crashed = [step(envs, *[FASTER] * 16).measured["crashed"] for _ in range(6)]
    when = int(np.argmax(np.any(crashed, axis=1)))
    who = int(np.argmax(crashed[when]))
    envs, _ = begun(HighwayFast(horizon=when + 1, simulator="envpool"), seeds, **crowded)
    outcome = [step(envs, *[FASTER] * 16) for _ in range(when + 1)][-1]
    assert outcome.terminated[who]
    assert not outcome.truncated[who]
    assert outcome.measured["crashed"][who] == 1


@on_envpool
def test_a_pool_that_fails_is_made_anew_in_its_task_and_its_step_is_lost(envpool, monkeypatch):
    def fail(action):
        raise RuntimeError("out of threads")

    envs, _ = begun(HighwayFast(simulator="envpool"), (0, 1), **EVEN)
    monkeypatch.setattr(envs._envs[0].env._pool, "step", fail)
    assert step(envs, IDLE, IDLE).lost.tolist() == [True, False]
    assert road_in(envs).lanes_count == 2
    assert step(envs, IDLE, IDLE).lost is None


@on_envpool
def test_workers_step_the_same_roads(envpool):
    lived = []
    for workers in (0, 2):
        envs, obs = begun(HighwayFast(simulator="envpool", workers=workers), (0, 1), **EVEN)
        lived.append(np.stack([obs, step(envs, IDLE, FASTER).obs]))
        envs.close()
    np.testing.assert_array_equal(*lived)


def test_all_but_manners_is_hidden_as_on_the_road_highway():
    family, like = HighwayFast(), Highway()
    assert dict(family.task_space) == {n: one for n, one in like.task_space.items() if n != "aggressiveness"}
    assert family.action_space == like.action_space
    assert (family.measures, family.splits) == (like.measures, SPLITS)
    drawn = {split: draw_tasks(family, jax.random.key(0), 100, split) for split in SPLITS}
    assert 0.7 <= np.asarray(drawn["train"].density).min() <= np.asarray(drawn["train"].density).max() <= 1.7
    outside = (np.asarray(drawn["extrapolation"].density) > 1.7) | (np.asarray(drawn["extrapolation"].density) < 0.7)
    assert outside.all()


def test_highway_env_itself_steps_it_with_its_usual_drivers(drivers):
    envs, obs = begun(HighwayFast(simulator="highway-env"), **EVEN)
    assert obs.shape == (1, 5, 5)
    env = envs._envs[0].env.unwrapped
    others = [car for car in env.road.vehicles if car not in env.controlled_vehicles]
    assert {driver.TIME_WANTED for driver in others} == {drivers.TIME_WANTED}
    assert step(envs, IDLE).lost is None


@pytest.mark.parametrize(
    ("installed", "simulator", "name"),
    [
        ({"envpool", "highway_env"}, "auto", "EnvPool"),
        ({"highway_env"}, "auto", "highway-env"),
        (set(), "auto", "EnvPool"),
        ({"envpool"}, "highway-env", "highway-env"),
        ({"highway_env"}, "envpool", "EnvPool"),
    ],
)
def test_what_steps_it_is_as_asked_or_what_is_installed(installed, simulator, name, monkeypatch):
    for module in ("highway", "highway_fast"):
        monkeypatch.setattr(f"rl_meta.tasks.{module}.find_spec", lambda name: name if name in installed else None)
    family = HighwayFast(simulator=simulator)
    assert family.stepped_by.name == name
    if family.stepped_by.module in installed:
        assert family.observation_space.shape == (5, 5)
    else:
        with pytest.raises(UserError, match=rf"{name} is missing: pip install 'rl-meta\[(envpool|driving)\]'"):
            _ = family.observation_space
