"""Reptile: a starting point from which PPO learns every task fast (Nichol, Achiam & Schulman 2018).

In each task PPO goes on from the meta-model for k improvements; then the meta-model moves toward the weighted mean
of the models that came of it:

    θ ← θ + ε Σ wᵢ (θᵢ − θ)  =  ε Σ wᵢ θᵢ + (1 − ε) θ,    Σ wᵢ = 1.

With one task this is the mean of two models, α θ₁ + (1 − α) θ₂ with α = ε. No gradient runs through the learning; the
difference θᵢ − θ holds, beside the gradient of the mean return, a term that makes the gradients of one task's batches
agree (section 5.1), which is why k must be more than one: with k = 1 this is multi-task learning.

What is averaged, and what is not:

- Weights, under the same scales. All tasks of an iteration read observations through the running statistics that
  the meta-model had at its beginning; these stay as they are for the whole lifetime, in training and in a new task,
  so that weights of different tasks mean the same. Moved by each task's own data, an input that is constant in one
  task and not in the others would have weights that differ by orders of magnitude.
- The value function, after it has been brought to common units. Its targets differ in scale from task to task, so
  their statistics do move in the lifetime; a linear output layer is re-expressed in other units exactly (PopArt).
- Running statistics are merged from the data of all tasks, each step counted once, and taken over between iterations
  as PPO does between its updates.
- Exploration noise is kept as it was (see `keep_noise`).
- Adam's moments are neither averaged nor kept: every lifetime begins with new ones.

The learning rate is constant in the lifetime, unless `anneal_to` says otherwise; after `improvements` it stays at
what it has come to. A new task may therefore be lived in for longer than those in training.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape
from rl_meta.algorithms.feed_forward_ppo import FeedForwardPPO, feed_forward_ppo
from rl_meta.algorithms.ppo import PolicyParams, PolicyState, renormalised
from rl_meta.errors import UserError, unknown
from rl_meta.numerics.aggregation import pooled_since, precision_weights, return_weights, towards
from rl_meta.numerics.moments import Moments
from rl_meta.policies.normaliser import Normaliser
from rl_meta.policies.spaces import flatten
from rl_meta.settings import Between, Count, LearningRate, Positive, Rate
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Key, Lifetimes, PyTree, Step

WEIGHTINGS = ("uniform", "return", "uncertainty")


@dataclass(frozen=True)
class Reptile(FeedForwardPPO):
    """Weights from which PPO learns a new task in a few updates."""

    learning_rate: LearningRate = 1e-3
    """Of Adam, in a task."""
    anneal_to: Rate = 1.0
    """Fraction of the learning rate that it falls to, linearly, within `improvements`; there it stays."""
    meta_batch_size: Count = 16
    """Tasks lived in at the same time."""
    copies: Count = 8
    """Parallel environments in the task."""
    rollout_steps: Count = 64
    """Steps of each of them between two improvements."""
    improvements: Count = 8
    """k: how often PPO improves the policy in a lifetime of training."""
    outer_rate: Annotated[Rate, Between(0.3, 1.0)] = 1.0
    """ε: how far the meta-model moves toward the mean of the tasks' models; 1: it becomes the mean."""
    outer_anneal_to: Rate = 0.1
    """Fraction of `outer_rate` that it falls to, linearly, by the end of training."""
    keep_noise: bool = True
    """Begin in every task with the exploration noise of a new policy: log standard deviations are not averaged. They
    shrink in every task; averaged, the meta-model would soon explore no more. (Discrete actions have none.)"""
    weighting: str = "uniform"
    """What a task's model counts. uniform: all the same; return: more, the higher its return; uncertainty: more, the
    less the returns of its copies differ."""
    temperature: Positive = 1.0
    """Of the weighting by return: standard deviations of the tasks' returns that make a weight e times as large."""

    def view(self, family: Family) -> Family:
        """Nothing is revealed."""
        return family

    def shape(self, family: Family) -> Shape:
        """One stage per improvement; episodes run on across stages."""
        if self.weighting not in WEIGHTINGS:
            raise unknown("weighting", self.weighting, WEIGHTINGS)
        if self.weighting == "uncertainty" and self.copies < 2:
            raise UserError("weighting by uncertainty compares the copies of a task: copies must be at least 2, got 1")
        return Shape(self.improvements, self.copies, self.rollout_steps, restart=False)

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""
        learner = feed_forward_ppo(self, family, self.improvements)
        schedule = optax.linear_schedule(self.outer_rate, self.outer_rate * self.outer_anneal_to, iterations)

        def begin(key: Key, params: PolicyParams) -> tuple[PolicyState, PyTree]:
            return learner.start(params), ()

        def learn(key: Key | None, params: PolicyParams, adapted: PolicyState, steps: Step) -> PolicyState:
            improved = learner.learn(key, params, adapted, steps)
            target = improved.params.normaliser.target
            kept = adapted.params.normaliser._replace(target=target)
            return improved._replace(params=improved.params._replace(normaliser=kept))

        def init(key: Key) -> ReptileState:
            return ReptileState(learner.init(key).params, jnp.array(0))

        def update(key: Key, state: ReptileState, lifetimes: Lifetimes) -> tuple[ReptileState, Info]:
            before, own = state.params, lifetimes.end.adapted.params
            seen = before.normaliser
            if self.normalise:
                seen = _merged(family, before.normaliser, own.normaliser.target, lifetimes.steps)
            theta, others = renormalised(before, seen), jax.vmap(renormalised, (0, None))(own, seen)
            weights, rate = self._weights(lifetimes.steps), schedule(state.iteration)
            network = towards(theta.network, others.network, weights, rate)
            if self.keep_noise:
                network = eqx.tree_at(lambda network: network.policy.free, network, theta.network.policy.free)
            info = {"outer_rate": rate, "largest_weight": weights.max()}
            info |= _distances(theta.network, others.network)
            return ReptileState(PolicyParams(network, seen), state.iteration + 1), info

        adapter = Adapter(begin, learner.act_adapted, learn)
        return MetaAlgorithm(adapter, init, update, best=adapter)  # it cannot learn without trying

    def _weights(self, steps: Step) -> Array:
        """[N], with sum 1."""
        returns = returns_by_copy(steps)
        if self.weighting == "return":
            return return_weights(returns.mean(1), temperature=self.temperature)
        if self.weighting == "uncertainty":
            return precision_weights(returns.var(1))
        return jnp.full(len(returns), 1 / len(returns))


class ReptileState(NamedTuple):
    """What the outer step needs next time."""

    params: PolicyParams
    iteration: Array


def returns_by_copy(steps: Step) -> Array:
    """[N, C]: reward per episode begun in the lifetime; episodes that it cut short count with what they brought."""
    begun = steps.inputs.first.sum((1, 3))
    return steps.reward.sum((1, 3)) / jnp.maximum(begun, 1)


def _merged(family: Family, before: Normaliser, targets: Moments, steps: Step) -> Normaliser:
    """The statistics of all that was ever seen. targets: [N], each the meta-model's, moved by one task's data."""
    obs = flatten(family.observation_space, steps.inputs.obs)
    return Normaliser(
        before.obs.merge(Moments.of(obs.reshape(-1, obs.shape[-1]))),
        before.reward.merge(Moments.of(steps.reward.ravel())),
        pooled_since(before.target, targets),
    )


def _distances(theta: PyTree, others: PyTree) -> Info:
    """How far the tasks' models went, and how much they agree on the way: 1 if all the same, 1/√N if unrelated."""
    apart = jax.tree.map(lambda x, y: y - x, theta, others)
    mean = optax.tree.norm(jax.tree.map(lambda x: x.mean(0), apart))
    each = jax.vmap(optax.tree.norm)(apart).mean()
    return {"distance": each, "agreement": mean / jnp.maximum(each, 1e-12)}
