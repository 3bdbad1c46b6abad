"""The networks of soft actor-critic: a policy that stays inside its bounds, and two estimates of Q."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium import spaces

from rl_meta.numerics.distributions import Categorical, TanhNormal
from rl_meta.policies.layers import MLP
from rl_meta.policies.layout import Layout
from rl_meta.policies.spaces import flat_size
from rl_meta.types import Array, Key

LOG_STD_RANGE = (-5.0, 2.0)

SoftPolicy = Categorical | TanhNormal
"""TanhNormal in units of half the Box's width: see `spaces.from_unit`."""


class TwinQ(eqx.Module):
    """Two independent networks for Q, of which the smaller value is believed (Fujimoto et al. 2018)."""

    first: MLP
    second: MLP
    discrete: bool = eqx.field(static=True)
    """One output per action, or the action as an input."""

    def __init__(
        self,
        size_in: int | Layout,
        widths: Sequence[int],
        action_space: spaces.Space,
        *,
        activation: Callable,
        key: Key,
    ) -> None:
        """size_in: of the state."""
        self.discrete = isinstance(action_space, spaces.Discrete)
        size = flat_size(action_space)
        sizes = (size_in, widths, size) if self.discrete else (size_in + size, widths, 1)
        self.first, self.second = (MLP(*sizes, activation=activation, key=k) for k in jax.random.split(key))

    def of_all(self, state: Array) -> Array:
        """Of every action, where they are discrete: [..., in] -> [2, ..., k]."""
        return jnp.stack([self.first(state), self.second(state)])

    def of(self, state: Array, action: Array) -> Array:
        """Of one action (as `spaces.flatten_action` writes it): [..., in], [..., a] -> [2, ...]."""
        if self.discrete:
            return (self.of_all(state) * action).sum(-1)
        x = jnp.concatenate([state, action], -1)
        return jnp.stack([self.first(x), self.second(x)])[..., 0]


class SoftActorCritic(eqx.Module):
    """All that soft actor-critic trains."""

    actor: MLP
    critics: TwinQ
    log_temperature: Array

    def __init__(
        self,
        size_in: int | Layout,
        widths: Sequence[int],
        action_space: spaces.Space,
        *,
        temperature: float | Array,
        activation: Callable[[Array], Array] = jax.nn.relu,
        key: Key,
    ) -> None:
        """size_in: of the state, the vector that the networks read."""
        key_actor, key_critics = jax.random.split(key)
        outputs = flat_size(action_space) * (1 if isinstance(action_space, spaces.Discrete) else 2)
        self.actor = MLP(size_in, widths, outputs, gain=0.01, activation=activation, key=key_actor)
        self.critics = TwinQ(size_in, widths, action_space, activation=activation, key=key_critics)
        self.log_temperature = jnp.log(jnp.asarray(temperature, float))

    def policy(self, state: Array) -> SoftPolicy:
        """[..., in] -> a distribution over actions; at first near the widest."""
        out = self.actor(state)
        if self.critics.discrete:
            return Categorical(out)
        mean, log_std = jnp.split(out, 2, -1)
        return TanhNormal(mean, jnp.clip(log_std, *LOG_STD_RANGE))
