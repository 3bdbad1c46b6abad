import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.tasks.tabular_mdp import TabularMDP
from tasks.playing import draw, play_all, random_policy

TASKS = 2000
ORACLE = 21.83
ORACLE_ERROR = 0.15
"""Four standard errors of 2,000 tasks (2.4 from task to task) need less with the reference's own .03."""
RANDOM_ERROR = 0.5
"""Four standard errors: a return varies by about 5."""


@pytest.fixture(scope="module")
def tasks():
    return draw(TabularMDP(), TASKS, "test")


def oracle_values(task):
    """Expected rewards to go [states, actions] at each step of an episode, last step first."""

    def backward(value, _):
        action_values = task.reward_means + task.transitions @ value
        return action_values.max(1), action_values

    return jax.lax.scan(backward, jnp.zeros(10), None, 10)[1]


def test_transitions_are_distributions(tasks):
    np.testing.assert_allclose(tasks.transitions.sum(-1), 1.0, atol=1e-5)


def test_the_oracle_earns_the_reference_value(tasks):
    values = jax.jit(jax.vmap(oracle_values))(tasks)
    assert abs(values[:, -1, 0].max(-1).mean() - ORACLE) < ORACLE_ERROR


def test_acting_by_the_oracle_earns_what_it_expects(tasks):
    values = jax.jit(jax.vmap(oracle_values))(tasks)
    planned = play_all(
        _Planned(), (tasks, values), lambda key, state, time, task: task[1][9 - time, state.state].argmax()
    )
    assert abs(planned.total.mean() - values[:, -1, 0].max(-1).mean()) < RANDOM_ERROR


class _Planned(TabularMDP):
    """The family with its plan beside the task."""

    def reset(self, key, task):
        return super().reset(key, task[0])

    def step(self, key, state, action, task):
        return super().step(key, state, action, task[0])


def test_random_actions_earn_one_per_step(tasks):
    totals = play_all(TabularMDP(), tasks, random_policy(TabularMDP())).total
    assert abs(totals.mean() - 10.0) < RANDOM_ERROR


def test_episodes_begin_in_state_zero(tasks):
    first_obs = play_all(TabularMDP(), tasks, random_policy(TabularMDP())).first_obs
    assert not bool(first_obs.any())
