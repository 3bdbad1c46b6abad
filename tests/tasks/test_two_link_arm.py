import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.tasks.two_link_arm import (
    LINK_M,
    TwoLinkArm,
    TwoLinkArmState,
    TwoLinkArmTask,
    accelerations,
    goal_of,
    joints_of,
)
from tasks.playing import draw, play_all

GRAVITY = 9.81
SINGLE_PRECISION = 2e-4
"""Relative: the mass matrix's determinant is a difference of numbers ten times as large."""
STEP_ERROR = 2e-3
"""Of the energy after 40 steps: the error of Runge-Kutta steps of 25 ms at these speeds."""


def task_of(upper=1.0, lower=0.8, payload=0.6, friction=0.0):
    return TwoLinkArmTask(*map(jnp.array, (upper, lower, payload, friction, 0.6, 1.0)))


def kinetic(angles, rates, task):
    """Of two uniform rods and a point, from the speeds of their parts: nothing of the mass matrix is used."""

    def speed(place):
        return jax.jvp(place, (angles,), (rates,))[1]

    rods = ((lambda q: joints_of(q)[0] / 2, task.upper_mass, rates[0]),)
    rods += ((lambda q: sum(joints_of(q)) / 2, task.lower_mass, rates.sum()),)
    energy = sum(m * (speed(place) ** 2).sum() / 2 + m * LINK_M**2 / 12 * turn**2 / 2 for place, m, turn in rods)
    return energy + task.payload * (speed(lambda q: joints_of(q)[1]) ** 2).sum() / 2


def potential(angles, task):
    elbow, tip = joints_of(angles)
    heights = elbow[1] / 2 * task.upper_mass + (elbow + tip)[1] / 2 * task.lower_mass + tip[1] * task.payload
    return GRAVITY * heights


def lagrangian_accelerations(angles, rates, torque, task):
    """From d/dt ∂L/∂q̇ - ∂L/∂q = τ - f q̇, with every derivative taken by JAX."""

    def lagrangian(q, v):
        return kinetic(q, v, task) - potential(q, task)

    by_rate = jax.grad(lagrangian, 1)
    mass_matrix = jax.jacfwd(by_rate, 1)(angles, rates)
    coriolis = jax.jacfwd(by_rate, 0)(angles, rates) @ rates
    pulled = torque - task.friction * rates + jax.grad(lagrangian, 0)(angles, rates) - coriolis
    return jnp.linalg.solve(mass_matrix, pulled)


def test_the_equations_of_motion_are_lagranges():
    tasks, rng = draw(TwoLinkArm(), 30), np.random.default_rng(0)
    angles, rates, torque = (jnp.array(rng.uniform(-3, 3, (30, 2)), jnp.float32) for _ in range(3))
    ours = jax.jit(jax.vmap(lambda q, v, t, task: accelerations(q, v, t, task, GRAVITY)))(angles, rates, torque, tasks)
    theirs = jax.jit(jax.vmap(lagrangian_accelerations))(angles, rates, torque, tasks)
    np.testing.assert_allclose(ours, theirs, rtol=SINGLE_PRECISION, atol=SINGLE_PRECISION * np.abs(theirs).max())


def coast(task, steps, gravity, start=(-1.2, 0.4)):
    """States [steps + 1] of an arm without torque."""
    family = TwoLinkArm(gravity=gravity)
    first = TwoLinkArmState(jnp.array(start), jnp.array([1.0, -1.0]), jnp.array(0))

    def step(state, _):
        after = family.step(jax.random.key(0), state, jnp.zeros(2), task).state
        return after, after

    states = jax.jit(lambda: jax.lax.scan(step, first, None, steps)[1])()
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, states)


@pytest.mark.parametrize("gravity", [0.0, GRAVITY])
def test_without_friction_and_torque_energy_is_kept(gravity):
    task = task_of()
    states = coast(task, 40, gravity)
    moving = jax.vmap(lambda q, v: kinetic(q, v, task))(states.angles, states.rates)
    energy = moving + gravity / GRAVITY * jax.vmap(lambda q: potential(q, task))(states.angles)
    assert np.ptp(states.rates, 0).min() > 0.3
    np.testing.assert_allclose(energy, np.full(41, energy[0]), atol=STEP_ERROR * moving.max())


def test_friction_only_takes_energy():
    task = task_of(friction=0.3)
    states = coast(task, 40, 0.0)
    energy = np.asarray(jax.vmap(lambda q, v: kinetic(q, v, task))(states.angles, states.rates))
    assert (np.diff(energy) < 0).all()
    assert energy[-1] < energy[0] / 2


def test_hanging_without_load_it_swings_with_the_frequencies_of_a_double_pendulum():
    """Two equal uniform rods of length l, small swings: ω² = (3 ± 6/√7) g/l."""
    task, hanging = task_of(upper=0.9, lower=0.9, payload=0.0), jnp.array([-np.pi / 2, 0.0])
    force_free = lambda q: accelerations(q, jnp.zeros(2), jnp.zeros(2), task, GRAVITY)
    stiffness = jax.jit(jax.jacfwd(force_free))(hanging)
    squares = np.sort(-np.linalg.eigvals(stiffness))
    expected = (3 + 6 / np.sqrt(7) * np.array([-1, 1])) * GRAVITY / LINK_M
    np.testing.assert_allclose(squares, expected, rtol=SINGLE_PRECISION)


def test_the_reward_is_the_distance_and_the_torque():
    task = task_of()
    state = TwoLinkArmState(jnp.array([0.5, 0.7]), jnp.zeros(2), jnp.array(0))
    step = TwoLinkArm().step(jax.random.key(0), state, jnp.array([2.0, -1.0]), task)
    distance = np.linalg.norm(joints_of(step.state.angles)[1] - goal_of(task))
    np.testing.assert_allclose(step.reward, -distance - 0.005, rtol=1e-5)


def test_knowing_the_goal_pays():
    """Springs and dampers towards the joint angles of the goal, against keeping still."""
    tasks = draw(TwoLinkArm(), 200, "test")

    def reach(key, state, time, task):
        bend = jnp.arccos(jnp.clip(task.goal_distance**2 / (2 * LINK_M**2) - 1, -1, 1))
        target = jnp.stack([task.goal_angle - bend / 2, bend])
        return jnp.clip(6 * (target - state.angles) - 1.5 * state.rates, -2, 2)

    informed = play_all(TwoLinkArm(), tasks, reach).total.mean()
    still = play_all(TwoLinkArm(), tasks, lambda *_: jnp.zeros(2)).total.mean()
    assert informed > -15
    assert still < -25
