"""An agent that acts on what it sees and on what it believes of the task: the acting half of VariBAD."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from gymnasium import spaces

from rl_meta.algorithms.ppo import Decision, PolicyParams
from rl_meta.numerics.distributions import DiagonalNormal
from rl_meta.numerics.moments import Moments
from rl_meta.numerics.variational import standard_normal
from rl_meta.policies.spaces import distribution
from rl_meta.types import Array, Inputs, Key, PyTree


class BeliefParams(NamedTuple):
    """Meta-parameters of an agent that models its task."""

    policy: PolicyParams
    model: PyTree
    """Of `TaskModel`."""
    belief: Moments
    """[2 latent] Of all beliefs held: the policy reads standardised ones."""


class BeliefMemory(NamedTuple):
    """What the agent carries from step to step."""

    hidden: Array
    belief: DiagonalNormal
    time: Array
    """Steps since the episode began."""


class BeliefDecision(NamedTuple):
    """What `act` records for the update."""

    decision: Decision
    belief: DiagonalNormal
    time: Array


@dataclass(frozen=True)
class BeliefAgent:
    """A policy that sees what it believes of the task."""

    network_of: Callable[[PyTree], Any]
    """(parameters) -> FeedForwardActorCritic."""
    model_of: Callable[[PyTree], Any]
    """(parameters) -> TaskModel."""
    obs_space: spaces.Space
    action_space: spaces.Space
    latent: int

    def begin(self, key: Key, params: BeliefParams) -> tuple[PyTree, BeliefMemory]:
        """See `Adapter`."""
        start = self.model_of(params.model).encoder.start()
        return (), BeliefMemory(start, standard_normal(self.latent), jnp.array(0))

    def see(self, params: BeliefParams, obs: PyTree, belief: DiagonalNormal) -> Array:
        """What the policy reads, of any batch."""
        believed = params.belief.standardise(jnp.concatenate(belief, -1))
        return jnp.concatenate([params.policy.normaliser.see(self.obs_space, obs), believed], -1)

    def act(
        self, key: Key | None, params: BeliefParams, adapted: PyTree, memory: BeliefMemory, inputs: Inputs
    ) -> tuple[BeliefMemory, PyTree, BeliefDecision]:
        """See `Adapter`."""
        normaliser = params.policy.normaliser
        shown = normaliser.see_all(self.obs_space, self.action_space, inputs)
        hidden, belief = self.model_of(params.model).encoder.step(memory.hidden, shown)
        network, seen = self.network_of(params.policy.network), self.see(params, inputs.obs, belief)
        policy = distribution(self.action_space, network.policy(seen))
        value = normaliser.target.mean + normaliser.target.std * network.value(seen)
        time = jnp.where(inputs.first, 0, memory.time + 1)
        action = policy.sample(key)
        decision = Decision(policy.log_prob(action), value)
        return BeliefMemory(hidden, belief, time), action, BeliefDecision(decision, belief, time)
