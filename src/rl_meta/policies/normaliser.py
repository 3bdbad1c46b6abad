"""Running scales of what networks read and predict. They travel inside the meta-parameters."""

from typing import NamedTuple

import jax.numpy as jnp
from gymnasium import spaces

from rl_meta.numerics.moments import Moments
from rl_meta.policies.layout import Layout
from rl_meta.policies.spaces import flat_size, flatten, flatten_action, is_continuous, layout
from rl_meta.types import Array, Inputs, PyTree


class Normaliser(NamedTuple):
    """Of observations, rewards and value targets."""

    obs: Moments
    """[flat_size] Only continuous entries are normalised with it."""
    reward: Moments
    target: Moments

    @classmethod
    def unit(cls, space: spaces.Space) -> "Normaliser":
        """Nothing seen yet."""
        return cls(Moments.unit((flat_size(space),)), Moments.unit(), Moments.unit())

    def observe(self, obs: Array, reward: Array, target: Array) -> "Normaliser":
        """After a batch of flat observations [B, flat_size], rewards [B] and value targets [B]."""
        return Normaliser(
            self.obs.merge(Moments.of(obs)),
            self.reward.merge(Moments.of(reward)),
            self.target.merge(Moments.of(target)),
        )

    def see(self, space: spaces.Space, obs: PyTree) -> Array:
        """The observation as a vector [..., flat_size], its continuous entries standardised."""
        flat = flatten(space, obs)
        return jnp.where(is_continuous(space), self.obs.standardise(flat), flat)

    def see_all(self, obs_space: spaces.Space, action_space: spaces.Space, inputs: Inputs) -> Array:
        """All that an agent with a memory needs: observation (it comes first), last result, action, reward, first flag.

        Rewards are scaled, not shifted: their sign is kept.
        """
        reward = jnp.clip(inputs.last_reward / self.reward.std, -10.0, 10.0)
        parts = [
            self.see(obs_space, inputs.obs),
            self.see(obs_space, inputs.last_result),
            flatten_action(action_space, inputs.last_action),
            reward[..., None],
            inputs.first[..., None].astype(jnp.float32),
        ]
        return jnp.concatenate(parts, -1)

    def change(self, space: spaces.Space, new: "Normaliser") -> tuple[Array, Array]:
        """(scale, shift) [flat_size] from what `see` makes under `new` to what it makes under these statistics.

        What is not beyond the limit of either is scale ⊙ x + shift.
        """
        continuous = is_continuous(space)
        scale = jnp.where(continuous, new.obs.std / self.obs.std, 1.0)
        return scale, jnp.where(continuous, (new.obs.mean - self.obs.mean) / self.obs.std, 0.0)

    def change_of_all(
        self, obs_space: spaces.Space, action_space: spaces.Space, new: "Normaliser"
    ) -> tuple[Array, Array]:
        """The same for `see_all`."""
        (scale, shift), size = self.change(obs_space, new), flat_size(action_space)
        reward = (new.reward.std / self.reward.std)[None]
        scales = [scale, scale, jnp.ones(size), reward, jnp.ones(1)]
        return jnp.concatenate(scales), jnp.concatenate([shift, shift, jnp.zeros(size + 2)])


def layout_of_all(obs_space: spaces.Space, action_space: spaces.Space) -> Layout:
    """Of `Normaliser.see_all`'s vector."""
    return layout(obs_space) + layout_of_outcome(obs_space, action_space)


def layout_of_outcome(obs_space: spaces.Space, action_space: spaces.Space) -> Layout:
    """Of that part of it which comes after the observation."""
    return layout(obs_space) + (flat_size(action_space) + 2)


def size_of_all(obs_space: spaces.Space, action_space: spaces.Space) -> int:
    """Length of `Normaliser.see_all`'s vector."""
    return 2 * flat_size(obs_space) + flat_size(action_space) + 2
