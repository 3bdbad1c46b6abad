"""A small policy written out again, and lifetimes in double precision, to compare gradient-based adaptation with."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from rl_meta.algorithms.base import Shape
from rl_meta.collection.device import device_collector
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.point_goal import PointGoal

FAMILY = PointGoal(horizon=8)
HALF_WIDTH = np.float32(0.1)
"""Of its action space, whose bounds are in single precision."""
SMALL = {"meta_batch_size": 3, "copies": 4, "hidden": (3,)}
"""Settings of a policy 2-3-2."""
DOUBLE = partial(jax.enable_x64, True)


def in_double(tree):
    """The same tree with 64 bits; only inside of `DOUBLE()`."""
    is_float = lambda x: jnp.issubdtype(x.dtype, jnp.floating)
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x).astype(np.float64)) if is_float(x) else x, tree)


@cache
def lived(method, stages=None):
    """Algorithm, meta-state and lifetimes, in single precision. The weights of the last layer are not small."""
    with jax.enable_x64(False):
        algorithm = method.build(FAMILY, 10)
        shape = method.shape(FAMILY) if stages is None else Shape(stages, method.copies, FAMILY.horizon)
        collector = device_collector(algorithm.adapter, FAMILY, shape)

        def go(key):
            state = algorithm.init(key)
            noise = lambda x: 0.3 * jax.random.normal(jax.random.fold_in(key, x.size), x.shape)
            network = jax.tree.map(lambda x: x + noise(x), state.params.learned.network)
            params = state.params._replace(learned=state.params.learned._replace(network=network))
            tasks = draw_tasks(FAMILY, jax.random.key(1), method.meta_batch_size)
            live = collector.begin(jax.random.key(2), params, tasks)
            return state._replace(params=params), collector.collect(jax.random.key(3), params, live, tasks)[1]

        return algorithm, *jax.jit(go)(jax.random.key(0))


def own_outputs(weights, obs):
    """Mean and log standard deviation of the actions [..., 2] of the policy 2-3-2, in the space's units."""
    hidden, last = weights.mlp.layers
    x = jnp.tanh(obs @ hidden.weight + hidden.bias)
    mean = HALF_WIDTH * (x @ last.weight + last.bias)
    return mean, jnp.broadcast_to(weights.free + jnp.log(HALF_WIDTH), mean.shape)


def own_log_prob(weights, obs, action):
    mean, log_std = own_outputs(weights, obs)
    z = (action - mean) / jnp.exp(log_std)
    return -(0.5 * z**2 + log_std + 0.5 * jnp.log(2 * jnp.pi)).sum(-1)


def of_task(tree, task, stage):
    """[N, S, ...] -> [...]"""
    return jax.tree.map(lambda x: np.asarray(x)[task, stage], tree)


def flat(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def own_meta_gradient(weights, steps, advantages, *, rate, order="second", inner="log"):
    """(I − α H) ∇L(θ'), in the mean over tasks, with a dense Hessian H; flat. Steps [N, 2, C, T], advantages alike.

    inner: "log" for −E[log π Â], "ratio" for −E[π / π_old Â].
    """
    theta, unravel = ravel_pytree(weights)

    @jax.jit
    def of_one(before, after, advantages):
        def inner_loss(theta):
            log_prob = own_log_prob(unravel(theta), before.inputs.obs, before.action)
            gain = log_prob if inner == "log" else jnp.exp(log_prob - before.extras.log_prob)
            return -(gain * advantages[0]).mean()

        def outer_loss(theta):
            log_prob = own_log_prob(unravel(theta), after.inputs.obs, after.action)
            return -(jnp.exp(log_prob - after.extras.log_prob) * advantages[1]).mean()

        adapted = theta - rate * jax.grad(inner_loss)(theta)
        gradient = jax.grad(outer_loss)(adapted)
        if order == "second":
            gradient = gradient - rate * jax.hessian(inner_loss)(theta) @ gradient
        return gradient

    tasks = range(len(steps.reward))
    return np.mean([of_one(of_task(steps, i, 0), of_task(steps, i, 1), advantages[i]) for i in tasks], axis=0)
