import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.tasks import driving
from rl_meta.tasks.driving import (
    CAR_LENGTH_M,
    FRONT_SHARE,
    FRONT_STIFFNESS_N,
    GRAVITY_M_PER_S2,
    LANE_CENTRES,
    MAX_STEERING_RAD,
    REAR_SHARE,
    REAR_STIFFNESS_N,
    RING_M,
    SECONDS_PER_STEP,
    STANDSTILL_GAP_M,
    Driving,
    DrivingTask,
    car_motion,
    driver_acceleration,
    traffic_speeds,
    tyre_force,
)
from tasks.playing import draw, play_all

LINEAR_TYRE = 2e-3
"""Relative: at the slips below, the brush model is this near to a linear tyre."""
SETTLED = 5e-3
HELD_CURVATURE_M = 0.3
"""After 40 m: the curvature is held during a step, and the test sums up speeds in steps."""


@jax.jit
def step(state, action, task):
    """With any key: no step is random."""
    return Driving().step(jax.random.key(0), state, jnp.asarray(action), task)


@jax.jit
def start(task):
    """The state at the start of an episode."""
    return Driving().reset(jax.random.key(0), task)[0]


def task_of(friction=1.0, mass=1500.0, wheelbase=2.8):
    return DrivingTask(*map(jnp.array, (friction, mass, wheelbase, 0.2, 10.0, 1.5)))


@jax.jit
def settled(speed, steering, task):
    """Sideways speed and yaw rate after five seconds at one speed and steering."""

    def turn(motion, _):
        return car_motion(speed, *motion, steering, jnp.zeros(()), task, 0.02)[1:], None

    return jax.lax.scan(turn, (jnp.zeros(()), jnp.zeros(())), None, 250)[0]


def corner(speed, steering, task):
    """`settled`, of numbers."""
    return settled(jnp.array(speed), jnp.array(steering), task)


# ------------------------------------------------------------------------------------------------ the car


@pytest.mark.parametrize("speed", [8.0, 15.0, 25.0])
@pytest.mark.parametrize("mass", [1000.0, 2000.0])
def test_steady_cornering_follows_the_textbooks_understeer_formula(speed, mass):
    """r = v δ / (L + K v²), K = m (b / C_f - a / C_r) / L (Rajamani 2012, section 3.1)."""
    task, steering = task_of(mass=mass), 1e-3
    understeer = mass * (REAR_SHARE / FRONT_STIFFNESS_N - FRONT_SHARE / REAR_STIFFNESS_N)
    yaw_rate = corner(speed, steering, task)[1]
    np.testing.assert_allclose(yaw_rate, speed * steering / (2.8 + understeer * speed**2), rtol=LINEAR_TYRE)


@pytest.mark.parametrize("speed", [0.0, 0.5, 2.9])
def test_at_walking_pace_the_car_rolls_where_its_wheels_point(speed):
    sideways, yaw_rate = corner(speed, 0.2, task_of())
    np.testing.assert_allclose(yaw_rate, speed * np.tan(0.2) / 2.8, rtol=1e-5)
    np.testing.assert_allclose(sideways, REAR_SHARE * speed * np.tan(0.2), rtol=1e-5)


def test_the_same_steering_holds_on_dry_and_slides_on_slippery_road():
    speed, steering = 15.0, 0.1
    slips = {grip: float(corner(speed, steering, task_of(friction=grip))[0]) / speed for grip in (1.0, 0.3)}
    assert abs(slips[1.0]) < 0.02
    assert abs(slips[0.3]) > 0.2


def test_tyre_force_is_linear_first_and_never_exceeds_its_grip():
    slips = jnp.linspace(-1, 1, 201)
    force = tyre_force(slips, 80e3, jnp.array(5e3))
    np.testing.assert_allclose(tyre_force(jnp.array(1e-4), 80e3, jnp.array(5e3)), 8.0, rtol=LINEAR_TYRE)
    assert float(jnp.abs(force).max()) == pytest.approx(5e3)
    assert (np.diff(force) >= -1e-2).all()
    np.testing.assert_allclose(force, -force[::-1], atol=1e-2)


def test_braking_is_limited_by_friction_and_takes_grip_from_cornering():
    state = start(task_of())
    slow = step(state, jnp.array([0.0, -1.0]), task_of(friction=0.4)).state.speed
    expected = 10 - SECONDS_PER_STEP * (0.9 * 0.4 * GRAVITY_M_PER_S2 + 0.4 * 100 / 1500)
    np.testing.assert_allclose(slow, expected, rtol=1e-3)
    steered = state._replace(steering=jnp.array(0.15), speed=jnp.array(15.0))
    turns = [step(steered, jnp.array([0.75, pedal]), task_of(friction=0.4)).state.yaw_rate for pedal in (-1.0, 0.0)]
    assert 0 < turns[0] < 0.6 * turns[1]


def test_a_heavy_car_gains_speed_more_slowly():
    state = start(task_of())
    gains = [step(state, jnp.array([0.0, 1.0]), task_of(mass=m)).state.speed - 10 for m in (1000.0, 2000.0)]
    np.testing.assert_allclose(gains[0] / gains[1], 2.0, rtol=1e-3)


def test_front_wheels_follow_the_steering_with_the_delay_as_time_constant():
    task = task_of()._replace(steering_delay=jnp.array(SECONDS_PER_STEP))
    state = start(task)
    steering = step(state, jnp.array([1.0, 0.0]), task).state.steering
    np.testing.assert_allclose(steering, MAX_STEERING_RAD * (1 - np.exp(-1)), rtol=1e-5)


def test_the_place_on_the_road_is_the_place_in_the_world():
    """The path summed up from speeds and yaw rates in the plane, against road and offset laid out in the plane."""
    state = start(task_of())._replace(heading=jnp.array(0.1), bends=jnp.zeros(2))
    world, facing = np.array([0.0, float(state.offset)]), float(state.heading)
    for time in range(40):
        after = step(state, jnp.array([0.3 * np.sin(time / 8), 0.2]), task_of()).state
        ahead, left, turn = (float(x + y) / 2 for x, y in zip(state[3:6], after[3:6], strict=True))
        middle = facing + SECONDS_PER_STEP * turn / 2
        forward, aside = np.array([np.cos(middle), np.sin(middle)]), np.array([-np.sin(middle), np.cos(middle)])
        world, facing = world + SECONDS_PER_STEP * (ahead * forward + left * aside), facing + SECONDS_PER_STEP * turn
        state = after
    reach = np.linspace(0, float(state.along), 2001)
    bends = jax.vmap(driving.curvature, (None, 0))(state.bends, jnp.array(reach))
    angles, piece = np.cumsum(np.asarray(bends)) * reach[1], reach[1]
    centre = piece * np.array([np.cos(angles).sum(), np.sin(angles).sum()])
    place = centre + float(state.offset) * np.array([-np.sin(angles[-1]), np.cos(angles[-1])])
    assert abs(angles[-1]) > 0.2
    assert np.linalg.norm(place - world) < HELD_CURVATURE_M
    assert abs(facing - (angles[-1] + float(state.heading))) < 0.02


# ------------------------------------------------------------------------------------------------ the traffic


def equilibrium_gap(speed, desired, headway):
    """Treiber et al. (2000), equation 5: s = (s₀ + v T) / √(1 - (v/v₀)⁴)."""
    return (STANDSTILL_GAP_M + speed * headway) / np.sqrt(1 - (speed / desired) ** 4)


@pytest.mark.parametrize("speed", [2.0, 8.0, 11.5])
def test_at_the_equilibrium_gap_a_driver_keeps_the_speed(speed):
    at = lambda gap: float(driver_acceleration(*map(jnp.array, (speed, gap, 0.0, 12.0, 1.4))))
    gap = equilibrium_gap(speed, 12.0, 1.4)
    assert at(gap) == pytest.approx(0, abs=1e-5)
    assert at(0.9 * gap) < 0 < at(1.1 * gap)


def test_the_traffic_settles_at_equal_equilibrium_gaps():
    """Five cars on a ring of 240 m have gaps of 43.5 m; the speed then solves the equation of the equilibrium."""
    task, far_right = task_of(), jnp.array(-50.0)
    ahead = jnp.tile(jnp.array([-100.0, -70.0, -10.0, 35.0, 90.0]), (2, 1))

    def flow(carry, _):
        ahead, speeds = carry
        speeds = traffic_speeds(ahead, speeds, far_right, jnp.zeros(()), task)
        ahead = ahead + SECONDS_PER_STEP * speeds
        return (jnp.where(ahead >= RING_M / 2, ahead - RING_M, ahead), speeds), None

    ahead, speeds = jax.jit(lambda: jax.lax.scan(flow, (ahead, jnp.full((2, 5), 5.0)), None, 20_000)[0])()
    gaps = (np.roll(ahead, -1, 1) - ahead) % RING_M - CAR_LENGTH_M
    np.testing.assert_allclose(gaps, np.full((2, 5), RING_M / 5 - CAR_LENGTH_M), rtol=SETTLED)
    for lane, desired in enumerate((10.0, 12.5)):
        wanted = equilibrium_gap(np.asarray(speeds[lane], float), desired, 1.5)
        np.testing.assert_allclose(wanted, gaps[lane], rtol=SETTLED)


def test_a_driver_brakes_for_the_agent_in_its_own_lane_only():
    ahead, speeds = jnp.array([[-12.0, 60.0], [-12.0, 60.0]]), jnp.full((2, 2), 10.0)
    right, left = traffic_speeds(ahead, speeds, jnp.array(LANE_CENTRES[0]), jnp.array(5.0), task_of())[:, 0]
    assert float(right) < 10 - 0.5
    assert float(left) > 10


def test_one_car_alone_in_its_lane_has_a_free_road():
    alone = traffic_speeds(jnp.full((2, 1), 50.0), jnp.full((2, 1), 10.0), jnp.array(-50.0), jnp.zeros(()), task_of())
    np.testing.assert_allclose(alone[0], [10.0], atol=0.01)


# ------------------------------------------------------------------------------------------------ the episode


def test_running_into_a_car_or_off_the_road_ends_the_episode_and_costs():
    state = start(task_of())
    near = state._replace(ahead=state.ahead.at[0, 0].set(3.0))
    beside = state._replace(ahead=state.ahead.at[1, 0].set(0.0))
    off = state._replace(offset=jnp.array(-3.6))
    for place, ends in ((near, True), (beside, False), (off, True)):
        after = step(place, jnp.zeros(2), task_of())
        assert bool(after.terminated) == ends
        assert (float(after.reward) < -4) == ends


def test_what_ended_the_episode_is_measured():
    state = start(task_of())
    near = step(state._replace(ahead=state.ahead.at[0, 0].set(3.0)), jnp.zeros(2), task_of()).measured
    off = step(state._replace(offset=jnp.array(-3.6)), jnp.zeros(2), task_of()).measured
    on = step(state, jnp.zeros(2), task_of())
    assert [(float(told["crashed"]), float(told["left_road"])) for told in (near, off, on.measured)] == [
        (1, 0),
        (0, 1),
        (0, 0),
    ]
    assert float(on.measured["speed"]) == float(on.state.speed)


def test_the_nearest_cars_of_both_lanes_are_seen():
    state = start(task_of())
    state = state._replace(
        ahead=jnp.array([[30.0, -20.0, 100.0], [-70.0, 55.0, 40.0]]),
        speeds=jnp.array([[8.0, 9.0, 1.0], [5.0, 6.0, 12.0]]),
    )
    np.testing.assert_allclose(driving._observe(state)[10:], [30, 40, -2, 2, 20, 60, -1, 0])


def driver(believed):
    """Hand-written: along the right lane as fast as the bends and the car in front allow, by what `believed` says."""
    look_ahead = jnp.linspace(0, 60, 9)

    def act(key, state, time, task):
        task = believed(task)
        grip = 0.6 * task.friction * GRAVITY_M_PER_S2
        bends = jax.vmap(driving.curvature, (None, 0))(state.bends, state.along + look_ahead)
        safe = jnp.sqrt(grip / jnp.maximum(jnp.abs(bends), 1e-3) + 1.3 * look_ahead * grip).min()
        distances = jnp.where(state.ahead[0] > 0, state.ahead[0], RING_M)
        gap, leader = distances.min(), state.speeds[0, distances.argmin()]
        following = jnp.where(gap < 80, leader + 0.3 * (gap - 5 - 0.5 * state.speed), RING_M)
        understeer = task.mass * (REAR_SHARE / FRONT_STIFFNESS_N - FRONT_SHARE / REAR_STIFFNESS_N)
        bend = bends[0] - 0.01 * (state.offset - LANE_CENTRES[0]) - 0.2 * state.heading
        steering = bend * (task.wheelbase + understeer * state.speed**2) / MAX_STEERING_RAD
        return jnp.clip(jnp.stack([steering, 0.5 * (jnp.minimum(safe, following) - state.speed)]), -1, 1)

    return act


def test_a_driver_who_knows_the_grip_does_better_than_any_who_believes_in_one_value():
    tasks = draw(Driving(), 300, "test")
    beliefs = {"knows": lambda task: task}
    beliefs |= {mu: lambda task, mu=mu: task._replace(friction=jnp.array(mu)) for mu in (0.4, 0.5, 0.7)}
    returns = {name: float(play_all(Driving(), tasks, driver(b)).total.mean()) for name, b in beliefs.items()}
    assert returns.pop("knows") > max(returns.values()) + 3
