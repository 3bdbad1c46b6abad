"""Soft actor-critic finds the soft-optimal values of problems so small that these are known."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces

from rl_meta.algorithms.soft_actor_critic import SAC, SoftRows, followed, soft_losses, soft_value
from rl_meta.numerics.distributions import Categorical
from rl_meta.policies.layers import functional
from rl_meta.policies.soft_actor_critic import SoftActorCritic

THREE = spaces.Discrete(3)
LINE = spaces.Box(-1.0, 1.0, (1,))
ALPHA = 0.5
FIXED = SAC(learning_rate=3e-3, hidden=(16,), discount=0.8, target_rate=0.05, temperature=ALPHA, tune_temperature=False)


def made(settings, action_space, size_in):
    make = partial(SoftActorCritic, size_in, settings.hidden, action_space, temperature=settings.temperature)
    return functional(lambda key: make(key=key))


def trained(settings, action_space, rows_of, *, size_in, steps):
    """The networks after so many gradient steps on what `rows_of(key)` returns."""
    init, networks_of = made(settings, action_space, size_in)
    optimiser = optax.adam(settings.learning_rate)

    def loss(params, target, key):
        key_rows, key_loss = jax.random.split(key)
        networks = networks_of(params)
        target = eqx.combine(target, networks.critics)
        how = {"settings": settings, "entropy_target": settings.entropy_target(action_space)}
        return sum(soft_losses(key_loss, networks, target, rows_of(key_rows), **how)[0])

    def step(carry, key):
        params, target, state = carry
        updates, state = optimiser.update(jax.grad(loss)(params, target, key), state)
        params = optax.apply_updates(params, updates)
        return (params, followed(target, params.critics, settings.target_rate), state), None

    def go(key):
        params = init(key)
        carry = params, params.critics, optimiser.init(params)
        return jax.lax.scan(step, carry, jax.random.split(key, steps))[0][0]

    return networks_of(jax.jit(go)(jax.random.key(0)))


PAID = jnp.array([1.0, 0.5, -1.0])


def bandit(key, paid=PAID):
    """Every arm once; the episode terminates."""
    state = jnp.ones((3, 1))
    return SoftRows(state, jnp.eye(3), paid, state, jnp.ones(3, bool))


def test_in_a_bandit_the_policy_is_the_softmax_of_what_the_arms_pay():
    networks, state = trained(FIXED, THREE, bandit, size_in=1, steps=1500), jnp.ones(1)
    np.testing.assert_allclose(networks.critics.of_all(state), [PAID, PAID], atol=0.02)
    np.testing.assert_allclose(jax.nn.softmax(networks.policy(state).logits), jax.nn.softmax(PAID / ALPHA), atol=0.02)
    value, _ = soft_value(None, networks.policy(state), networks.critics, state, ALPHA)
    assert float(value) == pytest.approx(float(ALPHA * jax.nn.logsumexp(PAID / ALPHA)), abs=0.03)


def test_in_a_chain_the_values_are_those_of_soft_value_iteration():
    # from state 0, action 1 leads to state 1, action 2 ends the episode; everything else stays where it is
    reward = jnp.array([[0.0, -0.2, 0.3], [1.0, 0.0, 0.0]])
    following = jnp.array([[0, 1, 0], [1, 1, 1]])
    terminal = jnp.array([[False, False, True], [False, False, False]])
    value = jnp.zeros(2)
    for _ in range(100):
        quality = reward + FIXED.discount * jnp.where(terminal, 0.0, value[following])
        value = ALPHA * jax.nn.logsumexp(quality / ALPHA, axis=-1)

    def rows(key):
        state, action = (x.ravel() for x in jnp.meshgrid(jnp.arange(2), jnp.arange(3), indexing="ij"))
        then = following[state, action]
        seen, chosen = jax.nn.one_hot(state, 2), jax.nn.one_hot(action, 3)
        return SoftRows(seen, chosen, reward[state, action], jax.nn.one_hot(then, 2), terminal[state, action])

    networks = trained(FIXED, THREE, rows, size_in=2, steps=3000)
    found, _ = soft_value(None, networks.policy(jnp.eye(2)), networks.critics, jnp.eye(2), ALPHA)
    np.testing.assert_allclose(found, value, atol=0.1)  # of values 2.3 and 4.1
    np.testing.assert_allclose(networks.critics.of_all(jnp.eye(2))[0], quality, atol=0.1)


def test_with_continuous_actions_the_value_is_the_log_of_an_integral():
    paid = lambda action: -4 * (action - 0.3) ** 2
    alpha = 0.2

    def rows(key):
        action = jax.random.uniform(key, (64, 1), minval=-1, maxval=1)
        state = jnp.ones((64, 1))
        return SoftRows(state, action, paid(action[:, 0]), state, jnp.ones(64, bool))

    settings = SAC(learning_rate=3e-3, hidden=(32, 32), temperature=alpha, tune_temperature=False)
    networks = trained(settings, LINE, rows, size_in=1, steps=2500)
    state = jnp.ones((4000, 1))
    value, _ = soft_value(jax.random.key(1), networks.policy(state), networks.critics, state, alpha)
    grid = jnp.linspace(-1, 1, 2001)
    best = alpha * jnp.log(jnp.trapezoid(jnp.exp(paid(grid) / alpha), grid))
    assert float(value.mean()) == pytest.approx(float(best), abs=0.05)  # -0.19
    assert float(networks.policy(state).sample(None)[0, 0]) == pytest.approx(0.3, abs=0.05)


def test_a_tuned_temperature_keeps_the_entropy_at_its_target():
    settings = SAC(learning_rate=1e-2, hidden=(16,), temperature=1.0, target_entropy_discrete=0.5)
    networks = trained(settings, THREE, bandit, size_in=1, steps=2000)
    assert float(networks.policy(jnp.ones(1)).entropy()) == pytest.approx(0.5 * np.log(3), abs=0.05)


@pytest.mark.parametrize(("action_space", "expected"), [(THREE, 0.3 * np.log(3)), (spaces.Box(0, 9, (2, 2)), -4.0)])
def test_the_target_entropy_is_of_the_whole_action(action_space, expected):
    assert SAC().entropy_target(action_space) == pytest.approx(expected)


def test_no_policy_over_discrete_actions_is_worth_more_than_the_softmax_of_its_critics():
    init, networks_of = made(FIXED, THREE, 1)
    critics, state = networks_of(init(jax.random.key(0))).critics, jnp.ones(1)
    quality = critics.of_all(state).min(0)
    worth = lambda logits: float(soft_value(None, Categorical(logits), critics, state, ALPHA)[0])
    best = float(ALPHA * jax.nn.logsumexp(quality / ALPHA))
    assert worth(quality / ALPHA) == pytest.approx(best, abs=1e-5)
    assert worth(jnp.array([0.0, 1.0, -1.0])) < best - 1e-3


@pytest.mark.parametrize("action_space", [THREE, LINE])
@pytest.mark.parametrize(("loss", "trains"), [("critics", "critics"), ("policy", "actor"), ("temperature", "log_te")])
def test_every_loss_trains_its_own_part(loss, trains, action_space):
    settings = SAC(hidden=(8,), tune_temperature=True)
    init, networks_of = made(settings, action_space, 2)
    params, key = jax.jit(init)(jax.random.key(0)), jax.random.key(1)
    action = jnp.eye(3)[:2] if action_space is THREE else jnp.array([[0.1], [0.5]])

    def value(params, state):
        rows = SoftRows(state, action, jnp.ones(2), state + 1, jnp.zeros(2, bool))
        networks = networks_of(params)
        losses, _ = soft_losses(key, networks, networks.critics, rows, settings=settings, entropy_target=0.3)
        return getattr(losses, loss)

    slope, of_state = jax.jit(jax.grad(value, (0, 1)))(params, jax.random.normal(key, (2, 2)))
    for path, x in jax.tree_util.tree_leaves_with_path(slope):
        if not jax.tree_util.keystr(path).startswith(f".{trains}"):
            np.testing.assert_array_equal(x, 0.0)
    assert any(np.asarray(x).any() for x in jax.tree.leaves(slope))
    assert np.asarray(of_state).any() == (loss == "critics")
