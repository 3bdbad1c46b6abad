"""Soft actor-critic (Haarnoja et al. 2018a,b), for discrete actions after Christodoulou (2019): settings and losses.

It maximises reward plus α times the entropy of the policy, off-policy: Q is learned from stored transitions, the
policy from Q. The temperature α may be fixed, or tuned so that the policy keeps a given entropy.

    soft value     V(s) = E_a[min Q(s, a) − α log π(a | s)]
    critics        (Q(s, a) − r − γ (1 − terminated) V'(s'))²     V' with slowly following target critics
    policy         −V(s)
    temperature    log α · (entropy − target)

An expectation over discrete actions is a sum over all of them; over continuous ones it is one draw.
"""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnasium import spaces

from rl_meta.numerics.distributions import Categorical
from rl_meta.policies.soft_actor_critic import SoftActorCritic, SoftPolicy, TwinQ
from rl_meta.policies.spaces import flat_size
from rl_meta.settings import Around, Count, LearningRate, Positive, Rate
from rl_meta.types import Array, Info, Key, PyTree


@dataclass(frozen=True)
class SAC:
    """Settings of soft actor-critic, the base of those methods that use it."""

    learning_rate: LearningRate = 1e-3
    """Of Adam, for all networks."""
    hidden: tuple[Count, ...] = (64, 64)
    """Widths of the ReLU layers of the policy and of both critics."""
    discount: Rate = 0.97
    """γ, per step."""
    target_rate: Rate = 0.005
    """Fraction that the target critics move toward the critics with every gradient step."""
    temperature: Annotated[Positive, Around(5)] = 0.02
    """α, in units of reward per nat; the first one, where it is tuned."""
    tune_temperature: bool = True
    """Keep the policy's entropy at its target by changing the temperature?"""
    target_entropy: float = -1.0
    """For continuous actions: nats per dimension, each scaled to [-1, 1]; the uniform policy has log 2 = 0.69."""
    target_entropy_discrete: Rate = 0.3
    """For discrete actions: fraction of the uniform policy's entropy."""

    def entropy_target(self, action_space: spaces.Space) -> float:
        """In nats, over all dimensions of an action."""
        if isinstance(action_space, spaces.Discrete):
            return self.target_entropy_discrete * math.log(int(action_space.n))
        return self.target_entropy * flat_size(action_space)


class SoftRows(NamedTuple):
    """A batch of transitions [...], as the networks read them."""

    state: Array
    """[..., in]"""
    action: Array
    """[..., a] As `spaces.flatten_action` writes it."""
    reward: Array
    next_state: Array
    terminated: Array
    """bool: nothing comes after it. A time limit is no such end."""


class SoftLosses(NamedTuple):
    """Means over a batch. Each has gradients in its own part of the networks alone."""

    critics: Array
    """Also in `SoftRows.state`: what the state was computed from is trained by this loss."""
    policy: Array
    temperature: Array


def soft_value(
    key: Key | None, policy: SoftPolicy, critics: TwinQ, state: Array, temperature: Array | float
) -> tuple[Array, Array]:
    """The mean over actions of min Q − α log π, and the entropy of the policy: [..., in] -> [...], [...].

    Differentiable in the policy. Over discrete actions exact and at most α log Σ exp(min Q / α); over
    continuous ones an unbiased estimate from one draw (without a key, of the mode).
    """
    if isinstance(policy, Categorical):
        log_prob = jax.nn.log_softmax(policy.logits)
        prob, entropy = jnp.exp(log_prob), policy.entropy()
        return (prob * critics.of_all(state).min(0)).sum(-1) + temperature * entropy, entropy
    action, log_prob = policy.sample_and_log_prob(key)
    return critics.of(state, action).min(0) - temperature * log_prob, -log_prob


def soft_losses(
    key: Key,
    networks: SoftActorCritic,
    target: TwinQ,
    rows: SoftRows,
    *,
    settings: SAC,
    entropy_target: float,
) -> tuple[SoftLosses, Info]:
    """All losses of one batch; their sum may be differentiated at once."""
    key_next, key_now = jax.random.split(key)
    fixed, state = jax.lax.stop_gradient(networks), jax.lax.stop_gradient(rows.state)
    next_state = jax.lax.stop_gradient(rows.next_state)
    temperature = jnp.exp(fixed.log_temperature)

    next_value, _ = soft_value(key_next, fixed.policy(next_state), target, next_state, temperature)
    goal = rows.reward + settings.discount * jnp.where(rows.terminated, 0.0, next_value)
    quality = networks.critics.of(rows.state, rows.action)
    value, entropy = soft_value(key_now, networks.policy(state), fixed.critics, state, temperature)
    surplus = jax.lax.stop_gradient(entropy.mean()) - entropy_target
    losses = SoftLosses(
        critics=jnp.square(quality - jax.lax.stop_gradient(goal)).sum(0).mean(),
        policy=-value.mean(),
        temperature=networks.log_temperature * surplus if settings.tune_temperature else jnp.array(0.0),
    )
    info = {
        "critic_loss": losses.critics,
        "policy_loss": losses.policy,
        "quality": quality.mean(),
        "entropy": entropy.mean(),
        "temperature": temperature,
    }
    return losses, info


def followed(target: PyTree, critics: PyTree, rate: float | Array) -> PyTree:
    """The target critics, moved toward the critics."""
    return optax.incremental_update(critics, target, rate)
