"""MAML: model-agnostic meta-learning for fast adaptation (Finn, Abbeel & Levine 2017), for reinforcement learning.

Find weights from which one policy-gradient step on a few trajectories of a new task leads to a good policy for it.
An agent lives in each task for one stage per gradient step, and a last one with the policy that it has learned. The
loss of the meta-parameters is the surrogate loss of that last stage, as a function of what the policy would have
been had the agent begun with other weights: its gradient goes through the inner steps.

The outer step is one of TRPO (Schulman et al. 2015) as in the paper, or some of PPO's. With `order="first"` the
inner gradients count as constants (FOMAML). See `gradient_adaptation` for ANIL, CAVIA and Meta-SGD.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rl_meta.algorithms.base import MetaAlgorithm, Shape
from rl_meta.algorithms.gradient_adaptation import (
    GradientAdaptation,
    GradientAgent,
    Learned,
    MetaPolicy,
    descend,
    gradient_agent,
    last_stage,
)
from rl_meta.errors import unknown
from rl_meta.numerics.distributions import Distribution
from rl_meta.numerics.surrogates import clipped_surrogate
from rl_meta.numerics.trust_region import TrustRegion, trust_region_step
from rl_meta.settings import Around, Count, NotNegative, Positive, Rate
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Key, Lifetimes, PyTree, Step

OUTERS = ("trpo", "ppo")


@dataclass(frozen=True)
class MAML(GradientAdaptation):
    """Weights from which a gradient step makes a policy for a new task."""

    outer: Literal["trpo", "ppo"] = "trpo"
    """How the meta-parameters are improved. `learning_rate`, `epochs` and `clip` are PPO's, what follows is TRPO's."""
    kl_limit: Annotated[Positive, Around(3)] = 0.01
    """How far the adapted policies may move in one iteration, KL(old ‖ new) in nats, in the mean."""
    conjugate_iterations: Count = 10
    """Fisher-vector products that the direction of the step is computed with."""
    damping: NotNegative = 0.1
    """Added to the Fisher matrix's diagonal. Where it is too small, steps along directions that the policies hardly
    depend on are so long that every try is refused: see `step_scale` in the metrics."""
    backtrack: Rate = 0.8
    """By which factor a step that went too far is shortened."""
    tries: Count = 15
    """How often, before nothing is changed."""

    def shape(self, family: Family) -> Shape:
        """A stage for every gradient step, and one for what came of them."""
        if self.outer not in OUTERS:
            raise unknown("outer", self.outer, OUTERS)
        return super().shape(family)

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""
        agent = gradient_agent(self, family, policy_gradient_loss)
        optimiser = optax.adam(self.learning_rate) if self.outer == "ppo" else optax.identity()
        improve = clipped_improvement if self.outer == "ppo" else trust_region_improvement

        def init(key: Key) -> MAMLState:
            params = agent.init(key)
            return MAMLState(params, optimiser.init(params.learned))

        def update(key: Key, state: MAMLState, lifetimes: Lifetimes) -> tuple[MAMLState, Info]:
            problem = OuterProblem.of(agent, state.params, lifetimes, self.inner_steps)
            learned, optimiser_state, info = improve(self, optimiser, state, problem)
            params = agent.renormalised(state.params._replace(learned=learned), lifetimes)
            return MAMLState(params, optimiser_state), info

        return MetaAlgorithm(agent.adapter, init, update, best=agent.adapter)  # it cannot learn without trying


class MAMLState(NamedTuple):
    """What MAML needs next time."""

    params: MetaPolicy
    optimiser: PyTree


def policy_gradient_loss(log_prob: Array, old_log_prob: Array, advantage: Array) -> Array:
    """−E[log π(a|s) Â] (section 3.2 of the paper, eq. 4, with the advantage in place of the return)."""
    return -(log_prob * advantage).mean()


class OuterProblem(NamedTuple):
    """The outer problem of one iteration: which policies acted last, and which would have from other weights."""

    steps: Step
    """[N, C, T] Of the last stage; their `extras` are the decisions."""
    advantage: Array
    """[N, C, T]"""
    parameters: Callable[[Learned], Array]
    """(meta-parameters) -> parameters [N, C, T, ...] of the policies adapted from them, in the last stage."""
    policy: Callable[[Array], Distribution]
    """(parameters) -> policy."""

    @classmethod
    def of(cls, agent: GradientAgent, params: MetaPolicy, lifetimes: Lifetimes, inner_steps: int) -> "OuterProblem":
        """Lifetimes that agents with these parameters lived."""
        steps = last_stage(lifetimes)

        def parameters(learned: Learned) -> Array:
            return agent.parameters_by_stage(params._replace(learned=learned), lifetimes, first=inner_steps)[:, 0]

        advantage = jax.vmap(agent.advantages, (None, 0))(params, steps)
        return cls(steps, advantage, parameters, agent.policy)

    @property
    def acted(self) -> Distribution:
        """The policies that acted."""
        return self.policy(self.steps.extras.parameters)


def trust_region_improvement(
    settings: MAML, optimiser: optax.GradientTransformation, state: MAMLState, problem: OuterProblem
) -> tuple[Learned, PyTree, Info]:
    """One step of TRPO on the adapted policies; their KL from those that acted is limited in the mean over tasks."""

    def surrogate(parameters: Array) -> Array:
        log_prob = problem.policy(parameters).log_prob(problem.steps.action)
        return -(jnp.exp(log_prob - problem.steps.extras.log_prob) * problem.advantage).mean()

    def divergence(parameters: Array) -> Array:
        return problem.acted.kl(problem.policy(parameters)).mean()

    step = trust_region_step(
        problem.parameters,
        surrogate,
        divergence,
        state.params.learned,
        TrustRegion(
            settings.kl_limit, settings.conjugate_iterations, settings.damping, settings.backtrack, settings.tries
        ),
    )
    info = {
        "surrogate_gain": step.loss_before - step.loss,
        "kl": step.divergence,
        "step_scale": step.scale,
        "gradient_norm": step.gradient_norm,
        "entropy": problem.acted.entropy().mean(),
    }
    return step.params, state.optimiser, info


def clipped_improvement(
    settings: MAML, optimiser: optax.GradientTransformation, state: MAMLState, problem: OuterProblem
) -> tuple[Learned, PyTree, Info]:
    """Some steps of Adam on PPO's loss of the adapted policies."""

    def loss(learned: Learned) -> tuple[Array, Info]:
        policy, steps = problem.policy(problem.parameters(learned)), problem.steps
        log_prob = policy.log_prob(steps.action)
        loss = clipped_surrogate(log_prob, steps.extras.log_prob, problem.advantage, clip=settings.clip)
        return loss, {"loss": loss, "kl": problem.acted.kl(policy).mean(), "entropy": policy.entropy().mean()}

    return descend(state.params.learned, state.optimiser, loss, optimiser=optimiser, epochs=settings.epochs)
