"""ProMP: proximal meta-policy search (Rothfuss et al. 2019).

As MAML, with three differences. The inner loss is E[π(a|s) / π_old(a|s) Â]: its gradient is that of MAML's inner loss,
but its second derivative also says how the policy that gathers the trajectories changes what is learned from them (the
low-variance curvature estimator; differentiating log-probabilities twice loses that term). The meta-parameters are
improved by several steps on PPO's clipped loss. And what gathers the trajectories may not move far from what did
gather them: KL(old ‖ new) before each inner step is penalised.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from rl_meta.algorithms.base import MetaAlgorithm
from rl_meta.algorithms.gradient_adaptation import (
    GradientAdaptation,
    Learned,
    MetaPolicy,
    descend,
    gradient_agent,
    last_stage,
)
from rl_meta.numerics.surrogates import clipped_surrogate
from rl_meta.settings import BonusWeight, Positive
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Key, Lifetimes, PyTree

TOLERANCE = 1.5
"""The penalty is left alone while the KL divergence is within this factor of its target."""


@dataclass(frozen=True)
class ProMP(GradientAdaptation):
    """MAML with clipped outer steps and gradients of low variance."""

    penalty: BonusWeight = 5e-4
    """η, of the KL divergence before each inner step; where it adapts, at first."""
    adapt_penalty: bool = False
    """Double or halve the penalty of an inner step whose KL divergence is far above or below its target."""
    kl_target: Positive = 0.01
    """Of the KL divergence before each inner step, nats per iteration."""

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""
        agent = gradient_agent(self, family, likelihood_ratio_loss)
        optimiser = optax.adam(self.learning_rate)

        def init(key: Key) -> ProMPState:
            params = agent.init(key)
            penalty = jnp.full(self.inner_steps, self.penalty, float)
            return ProMPState(params, optimiser.init(params.learned), penalty)

        def update(key: Key, state: ProMPState, lifetimes: Lifetimes) -> tuple[ProMPState, Info]:
            steps, last = lifetimes.steps, last_stage(lifetimes)
            advantage = jax.vmap(agent.advantages, (None, 0))(state.params, last)
            old = agent.policy(steps.extras.parameters)

            def loss(learned: Learned) -> tuple[Array, Info]:
                parameters = agent.parameters_by_stage(state.params._replace(learned=learned), lifetimes)
                kl = old.kl(agent.policy(parameters)).mean((0, 2, 3))
                policy = agent.policy(parameters[:, -1])
                log_prob = policy.log_prob(last.action)
                outer = clipped_surrogate(log_prob, last.extras.log_prob, advantage, clip=self.clip)
                loss = outer + (state.penalty * kl[:-1]).mean()
                info = {"loss": loss, "kl": kl[-1], "inner_kl": kl[:-1], "entropy": policy.entropy().mean()}
                return loss, info

            learned, optimiser_state, info = descend(
                state.params.learned, state.optimiser, loss, optimiser=optimiser, epochs=self.epochs
            )
            penalty = state.penalty
            if self.adapt_penalty:
                penalty = adapted_penalty(penalty, info["inner_kl"], target=self.kl_target)
            params = agent.renormalised(state.params._replace(learned=learned), lifetimes)
            return ProMPState(params, optimiser_state, penalty), info | {"inner_penalty": penalty}

        return MetaAlgorithm(agent.adapter, init, update, best=agent.adapter)  # it cannot learn without trying


class ProMPState(NamedTuple):
    """What ProMP needs next time."""

    params: MetaPolicy
    optimiser: PyTree
    penalty: Array
    """η [inner_steps]"""


def likelihood_ratio_loss(log_prob: Array, old_log_prob: Array, advantage: Array) -> Array:
    """−E[π(a|s) / π_old(a|s) Â] (section 5 of the paper), with π_old, which acted, a constant."""
    return -(jnp.exp(log_prob - old_log_prob) * advantage).mean()


def adapted_penalty(penalty: Array, kl: Array, *, target: float | Array) -> Array:
    """Halved where the divergence is too small, doubled where it is too large (Schulman et al. 2017, section 4)."""
    factor = jnp.where(kl < target / TOLERANCE, 0.5, jnp.where(kl > target * TOLERANCE, 2.0, 1.0))
    return penalty * factor
