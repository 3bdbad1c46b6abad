"""An agent that acts as if a draw from its belief about the task were the task: the acting half of PEARL.

The belief is the product of Gaussian factors over a vector z, one for each transition seen; see `pearl`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium import spaces

from rl_meta.numerics.beliefs import GaussianProduct
from rl_meta.policies.layers import MLP
from rl_meta.policies.normaliser import Normaliser
from rl_meta.policies.soft_actor_critic import SoftActorCritic
from rl_meta.policies.spaces import flatten_action, from_unit
from rl_meta.types import Array, Inputs, Key, PyTree, Step

LEAST_VARIANCE = 1e-7
"""Of a factor."""


class Networks(eqx.Module):
    """All that is trained by gradients."""

    encoder: MLP
    soft: SoftActorCritic


class Params(NamedTuple):
    """Meta-parameters."""

    networks: PyTree
    normaliser: Normaliser


class Transition(NamedTuple):
    """A row of replay, as it was lived: nothing is scaled yet."""

    obs: PyTree
    action: PyTree
    reward: Array
    next_obs: PyTree
    terminated: Array


def transitions(steps: Step) -> Transition:
    """The part of the steps that is stored."""
    return Transition(steps.inputs.obs, steps.action, steps.reward, steps.next_obs, steps.terminated)


@dataclass(frozen=True)
class PosteriorAgent:
    """How PEARL lives in a task: `adapted` is the product of the factors seen so far, `memory` is the episode's z."""

    obs_space: spaces.Space
    action_space: spaces.Space
    latent: int
    networks_of: Callable[[PyTree], Networks]
    """(parameters) -> networks."""

    def begin(self, key: Key, params: Params) -> tuple[GaussianProduct, Array]:
        """See `Adapter`."""
        return GaussianProduct.of_none((self.latent,)), jnp.zeros(self.latent)

    def act(
        self, key: Key | None, params: Params, adapted: GaussianProduct, memory: Array, inputs: Inputs
    ) -> tuple[Array, Array, PyTree]:
        """See `Adapter`. Without a key, z is the mean and the action the likeliest: nothing is explored."""
        key_z, key_action = (None, None) if key is None else jax.random.split(key)
        z = jnp.where(inputs.first, adapted.sample(key_z), memory)
        return z, self.action(key_action, params, z, inputs), ()

    def act_best(
        self, key: Key, params: Params, adapted: GaussianProduct, memory: Array, inputs: Inputs
    ) -> tuple[Array, Array, PyTree]:
        """The likeliest action for the z that `act` draws with this key: posterior sampling, and no other noise."""
        z = jnp.where(inputs.first, adapted.sample(jax.random.split(key)[0]), memory)
        return z, self.action(None, params, z, inputs), ()

    def learn(self, key: Key | None, params: Params, adapted: GaussianProduct, steps: Step) -> GaussianProduct:
        """See `Adapter`: multiply in the factors of the stage's transitions."""
        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), transitions(steps))
        return adapted.times(self.belief(self.networks_of(params.networks).encoder, params.normaliser, rows))

    def action(self, key: Key | None, params: Params, z: Array, inputs: Inputs) -> Array:
        """What the policy does if z is the task."""
        state = self.state(params.normaliser, inputs.obs, z)
        action = self.networks_of(params.networks).soft.policy(state).sample(key)
        return from_unit(self.action_space, action) if isinstance(self.action_space, spaces.Box) else action

    def state(self, normaliser: Normaliser, obs: PyTree, z: Array) -> Array:
        """What policy and critics read: the observation [..., in] and z [..., latent]."""
        return jnp.concatenate([normaliser.see(self.obs_space, obs), z], -1)

    def belief(self, encoder: MLP, normaliser: Normaliser, rows: Transition) -> GaussianProduct:
        """From transitions [..., B, in], the product of their factors [..., latent]."""
        parts = [
            normaliser.see(self.obs_space, rows.obs),
            flatten_action(self.action_space, rows.action),
            jnp.clip(rows.reward / normaliser.reward.std, -10.0, 10.0)[..., None],
            normaliser.see(self.obs_space, rows.next_obs),
        ]
        mean, raw = jnp.split(encoder(jnp.concatenate(parts, -1)), 2, -1)
        variance = jnp.maximum(jax.nn.softplus(raw), LEAST_VARIANCE)
        return GaussianProduct.of_factors(mean, variance, axis=-2)
