import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.tasks.quadrotor import (
    ARM_M,
    DRAG_N_S_PER_M,
    GRAVITY_M_PER_S2,
    LIMIT_M,
    SECONDS_PER_STEP,
    Quadrotor,
    QuadrotorState,
    QuadrotorTask,
    accelerations,
)
from tasks.playing import draw, play_all

MASS, INERTIA = 0.8, 0.02
STILL_AIR = QuadrotorTask(*map(jnp.array, (MASS, INERTIA, 10.0, 14.0, 0.0)))
SINGLE_PRECISION = 1e-5

quick_step = jax.jit(Quadrotor().step)


def fly(pose, rates, throttle, task=STILL_AIR, time=0):
    state = QuadrotorState(jnp.array(pose, jnp.float32), jnp.array(rates, jnp.float32), jnp.array(time))
    return quick_step(jax.random.key(0), state, jnp.array(throttle, jnp.float32), task)


def hover(task):
    """Throttles that pull equally and carry the weight."""
    return GRAVITY_M_PER_S2 * task.mass / 2 / jnp.stack([task.left_thrust, task.right_thrust])


def test_hover_thrust_keeps_the_drone_where_it_is():
    after = fly([0.3, -0.2, 0.0], [0.0] * 3, hover(STILL_AIR))
    np.testing.assert_allclose(after.state.pose, [0.3, -0.2, 0.0], atol=SINGLE_PRECISION)
    np.testing.assert_allclose(after.state.rates, np.zeros(3), atol=SINGLE_PRECISION)
    np.testing.assert_allclose(after.reward, 1 / (1 + 0.13 / 0.25), rtol=SINGLE_PRECISION)


def test_without_thrust_it_falls_as_a_stone_with_linear_drag():
    after = fly([0.0, 0.0, 0.2], [0.0] * 3, [0.0, 0.0])
    rate, fall = DRAG_N_S_PER_M / MASS, GRAVITY_M_PER_S2
    speed = -fall / rate * (1 - np.exp(-rate * SECONDS_PER_STEP))
    np.testing.assert_allclose(after.state.rates, [0.0, speed, 0.0], atol=SINGLE_PRECISION)
    height = -(fall * SECONDS_PER_STEP + speed) / rate
    np.testing.assert_allclose(after.state.pose[1], height, rtol=1e-3)


def test_equal_pulls_do_not_turn_it_and_unequal_ones_do():
    assert abs(float(fly([0.0] * 3, [0.0] * 3, [0.7, 0.5]).state.rates[2])) < SINGLE_PRECISION
    turned = fly([0.0] * 3, [0.0] * 3, [0.5, 0.5]).state.rates[2]
    np.testing.assert_allclose(turned, SECONDS_PER_STEP * ARM_M * 2.0 / INERTIA, rtol=SINGLE_PRECISION)


def test_a_drone_tilted_to_the_left_is_pulled_to_the_left():
    assert float(accelerations(jnp.array([0.0, 0.0, 0.3]), jnp.zeros(3), hover(STILL_AIR), STILL_AIR)[0]) < 0


def test_at_the_speed_of_the_wind_there_is_no_drag():
    windy = STILL_AIR._replace(wind=jnp.array(3.0))
    at_wind = accelerations(jnp.zeros(3), jnp.array([3.0, 0.0, 0.0]), hover(windy), windy)
    at_rest = accelerations(jnp.zeros(3), jnp.zeros(3), hover(windy), windy)
    np.testing.assert_allclose(at_wind, np.zeros(3), atol=SINGLE_PRECISION)
    np.testing.assert_allclose(at_rest, [DRAG_N_S_PER_M * 3 / MASS, 0, 0], atol=SINGLE_PRECISION)


@pytest.mark.parametrize(
    ("pose", "ends"),
    [([LIMIT_M + 0.1, 0, 0], True), ([0, -LIMIT_M - 0.1, 0], True), ([0, 0, 1.6], True), ([1.9, 1.9, 1.5], False)],
)
def test_walls_floor_and_tipping_over_end_the_episode(pose, ends):
    step = fly(pose, [0.0] * 3, hover(STILL_AIR), time=99)
    assert (bool(step.terminated), bool(step.truncated)) == (ends, not ends)
    assert (float(step.reward) == 0) == ends


@pytest.mark.parametrize("split", Quadrotor().splits)
def test_in_every_split_the_motors_lift_the_drone(split):
    tasks = draw(Quadrotor(), 500, split)
    assert bool((tasks.left_thrust + tasks.right_thrust > GRAVITY_M_PER_S2 * tasks.mass).all())


def pilot(believed):
    """Hand-written feedback on position, speed and tilt, with the physics that `believed` says."""

    def act(key, state, time, task):
        task = believed(task)
        (x, z, tilt), (vx, vz, turn) = state.pose, state.rates
        push = jnp.clip(-2.0 * x - 2.2 * vx, -5, 5) - DRAG_N_S_PER_M * (task.wind - vx) / task.mass
        target = jnp.clip(-push / GRAVITY_M_PER_S2, -0.6, 0.6)
        thrust = task.mass * (GRAVITY_M_PER_S2 - 4 * z - 3 * vz) / jnp.cos(tilt)
        torque = task.inertia * (60 * (target - tilt) - 12 * turn)
        pulls = jnp.stack([thrust - torque / ARM_M, thrust + torque / ARM_M]) / 2
        return jnp.clip(pulls / jnp.stack([task.left_thrust, task.right_thrust]), 0, 1)

    return act


def test_a_pilot_who_knows_the_task_hovers_better_than_one_who_believes_in_the_mean():
    tasks = draw(Quadrotor(), 200, "test")
    middle = QuadrotorTask(*map(jnp.array, (0.75, 0.02, 12.0, 12.0, 0.0)))
    informed = play_all(Quadrotor(), tasks, pilot(lambda task: task)).total.mean()
    ignorant = play_all(Quadrotor(), tasks, pilot(lambda task: middle)).total.mean()
    assert informed > 80
    assert ignorant < informed - 10
