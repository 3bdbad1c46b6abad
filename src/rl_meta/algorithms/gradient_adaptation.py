"""Agents that adapt by policy gradients from meta-learned weights: what MAML and ProMP share.

After every stage of C trajectories the agent takes one gradient step on them,

    θ' = θ − α ∇ L(θ),    advantages Â from a baseline fitted to these very trajectories.

Before the first step θ are the meta-parameters, so that they can be improved through the steps: the update repeats
the agent's own `learn`, differentiably. What is adapted may be all weights, the last layer alone (ANIL, Raghu et al.
2020), or nothing but an extra input, the context (CAVIA, Zintgraf et al. 2019); the step size may be one number, or a
meta-parameter per weight (Meta-SGD, Li et al. 2017).

An agent may take more steps than it was trained to take. The trained ones are as long as it takes to reach a good
policy; steps of the same length from there would lead past it, so that later ones are shorter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from rl_meta.algorithms.base import Adapter, Shape, relive
from rl_meta.errors import unknown
from rl_meta.numerics.baselines import ridge_regression, time_features
from rl_meta.numerics.distributions import Distribution
from rl_meta.numerics.moments import Moments
from rl_meta.numerics.returns import episode_time, gae
from rl_meta.numerics.surrogates import standardised
from rl_meta.policies.layers import Activation, PolicyHead, functional
from rl_meta.policies.normaliser import Normaliser
from rl_meta.policies.spaces import distribution, flatten, head_sizes, layout
from rl_meta.settings import Around, Count, LearningRate, NotNegative, Positive, Rate
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Inputs, Key, Lifetimes, PyTree, Step

ADAPTS = ("all", "head", "context")
ORDERS = ("second", "first")
ROWS_AT_ONCE = 4096
"""Steps whose activations fit the caches of a CPU."""


@dataclass(frozen=True)
class GradientAdaptation:
    """Settings of an agent that adapts by policy gradients, and of its policy."""

    meta_batch_size: Count = 20
    """Tasks lived in at the same time."""
    copies: Count = 20
    """Trajectories, of the family's horizon, that one gradient step is made of."""
    inner_steps: Count = 1
    """Gradient steps that the agent is trained to take; each on trajectories of its own."""
    inner_rate: Annotated[NotNegative, Around(3)] = 0.1
    """α, the size of these steps; where rates are learned, before training."""
    later_rate: NotNegative = 0.5
    """By what α is multiplied in steps beyond those that the agent was trained to take."""
    learned_rates: bool = False
    """Learn a step size for every weight that adapts."""
    adapts: Literal["all", "head", "context"] = "all"
    """What the gradient steps change: all weights, the last layer, or an extra input."""
    context: Count = 5
    """Length of the extra input, where that is what adapts."""
    order: Literal["second", "first"] = "second"
    """Whether the meta-gradient goes through the inner gradient, or takes it for a constant."""
    hidden: tuple[Count, ...] = (64, 64)
    """Widths of the policy's hidden layers."""
    activation: Activation = "tanh"
    """Of the hidden layers."""
    discount: Rate = 0.99
    """γ, per step."""
    trace: Rate = 1.0
    """λ of generalised advantages."""
    normalise: bool = False
    """Scale observations by running statistics. They change after an update, and the policy with them."""
    learning_rate: LearningRate = 1e-3
    """Of Adam, where the meta-parameters are improved by it."""
    epochs: Count = 5
    """Steps of Adam on each batch."""
    clip: Positive = 0.3
    """How far the probability ratio may move from 1 before its gradient stops."""

    def view(self, family: Family) -> Family:
        """Nothing is revealed."""
        return family

    def shape(self, family: Family) -> Shape:
        """A stage for every gradient step, and one for what came of them."""
        for name, known in (("adapts", ADAPTS), ("order", ORDERS)):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        return Shape(self.inner_steps + 1, self.copies, family.horizon)


class Learned(NamedTuple):
    """What the outer step improves."""

    network: PyTree
    """Weights of the policy."""
    rates: PyTree
    """Step sizes, one for every number that adapts; `()` where they are not learned."""


class MetaPolicy(NamedTuple):
    """Meta-parameters."""

    learned: Learned
    normaliser: Normaliser


class Decision(NamedTuple):
    """What `act` records: the policy that acted, as it was."""

    log_prob: Array
    parameters: Array
    """[p] Of the distribution over actions."""


class Adapted(NamedTuple):
    """What an agent has made of the meta-parameters in a task."""

    part: PyTree
    """The part of the policy that adapts."""
    taken: Array
    """Gradient steps so far."""


class Part(NamedTuple):
    """The part of a policy that adapts."""

    begin: Callable[[PyTree], PyTree]
    """(network) -> the part, before the first step."""
    parameters: Callable[[PyTree, PyTree, Array], Array]
    """(network, part, seen [..., d]) -> parameters of the policy [..., p]."""


InnerLoss = Callable[[Array, Array, Array], Array]
"""(log-probabilities [C, T], those when the actions were taken, advantages) -> loss; its gradient is the inner step."""


@dataclass(frozen=True)
class GradientAgent:
    """An agent that adapts by policy gradients."""

    settings: GradientAdaptation
    family: Family
    inner_loss: InnerLoss
    init_network: Callable[[Key], PyTree]
    part: Part

    @property
    def adapter(self) -> Adapter:
        """See `Adapter`."""
        return Adapter(self.begin, self.act, self.learn)

    def init(self, key: Key) -> MetaPolicy:
        """Meta-parameters before training."""
        network, rates = self.init_network(key), ()
        if self.settings.learned_rates:
            rates = jax.tree.map(lambda w: jnp.full_like(w, self.settings.inner_rate), self.part.begin(network))
        return MetaPolicy(Learned(network, rates), Normaliser.unit(self.family.observation_space))

    def begin(self, key: Key, params: MetaPolicy) -> tuple[Adapted, PyTree]:
        """See `Adapter`."""
        return Adapted(self.part.begin(params.learned.network), jnp.array(0)), ()

    def act(
        self, key: Key | None, params: MetaPolicy, adapted: Adapted, memory: PyTree, inputs: Inputs
    ) -> tuple[PyTree, PyTree, Decision]:
        """See `Adapter`."""
        parameters = self.parameters(params, adapted, inputs.obs)
        policy = self.policy(parameters)
        action = policy.sample(key)
        return memory, action, Decision(policy.log_prob(action), parameters)

    def learn(self, key: Key | None, params: MetaPolicy, adapted: Adapted, steps: Step) -> Adapted:
        """See `Adapter`."""
        settings, advantage = self.settings, self.advantages(params, steps)

        def loss(part: PyTree) -> Array:
            policy = self.policy(self.parameters(params, adapted._replace(part=part), steps.inputs.obs))
            return self.inner_loss(policy.log_prob(steps.action), steps.extras.log_prob, advantage)

        gradient = jax.grad(loss)(adapted.part)
        if settings.order == "first":
            gradient = jax.lax.stop_gradient(gradient)
        if settings.learned_rates:
            gradient = jax.tree.map(jnp.multiply, params.learned.rates, gradient)
        else:
            gradient = optax.tree.scale(settings.inner_rate, gradient)
        factor = jnp.where(adapted.taken < settings.inner_steps, 1.0, settings.later_rate)
        return Adapted(optax.tree.add_scale(adapted.part, -factor, gradient), adapted.taken + 1)

    def parameters(self, params: MetaPolicy, adapted: Adapted, obs: PyTree) -> Array:
        """Parameters of the policy [..., p] at observations [...]."""
        seen = params.normaliser.see(self.family.observation_space, obs)
        return self.part.parameters(params.learned.network, adapted.part, seen)

    def policy(self, parameters: Array) -> Distribution:
        """The distributions with these parameters [..., p]."""
        return distribution(self.family.action_space, parameters)

    def advantages(self, params: MetaPolicy, steps: Step) -> Array:
        """Standardised, [C, T], episode by episode, above a baseline fitted to the same steps.

        It is linear, and sees no pictures.
        """
        settings, done = self.settings, steps.terminated | steps.truncated
        time = jax.vmap(episode_time)(steps.inputs.first)
        space, horizon = self.family.observation_space, self.family.horizon
        see = lambda obs: layout(space).without_pictures(params.normaliser.see(space, obs))
        features = time_features(see(steps.inputs.obs), time, horizon=horizon)
        later = time_features(see(steps.next_obs), time + 1, horizon=horizon)
        nothing = jnp.zeros_like(steps.reward)
        estimate = lambda trace, *sequences: jax.vmap(
            lambda *sequence: gae(*sequence, discount=settings.discount, trace=trace)
        )(steps.reward, *sequences, done)
        returns = estimate(1.0, nothing, nothing, done)
        weights = ridge_regression(features.reshape(-1, features.shape[-1]), returns.reshape(-1))
        return standardised(estimate(settings.trace, features @ weights, later @ weights, steps.terminated))

    def parameters_by_stage(self, params: MetaPolicy, lifetimes: Lifetimes, *, first: int = 0) -> Array:
        """Parameters of the policies in the stages from `first` on, [N, S - first, C, T, p].

        As functions of the meta-parameters: what each agent had adapted to is learned again, by `relive`.
        """
        before, lived = (lambda x: x[:-1]), (lambda x: x[first:])

        def one(task: tuple[Key, Step]) -> Array:
            key, steps = task
            adapted = relive(self.adapter, params, key, jax.tree.map(before, steps))
            return jax.vmap(self.parameters, (None, 0, 0))(
                params, jax.tree.map(lived, adapted), jax.tree.map(lived, steps.inputs.obs)
            )

        tasks, _, copies, length = lifetimes.steps.reward.shape
        at_once = tasks_at_once(tasks, copies * length)
        return jax.lax.map(one, (lifetimes.start.key, lifetimes.steps), batch_size=at_once)

    def renormalised(self, params: MetaPolicy, lifetimes: Lifetimes) -> MetaPolicy:
        """Take over what was seen, where observations are normalised: after the update, for it has to see as before."""
        if not self.settings.normalise:
            return params
        flat = flatten(self.family.observation_space, lifetimes.steps.inputs.obs)
        seen = params.normaliser.obs.merge(Moments.of(flat.reshape(-1, flat.shape[-1])))
        return params._replace(normaliser=params.normaliser._replace(obs=seen))


def gradient_agent(settings: GradientAdaptation, family: Family, inner_loss: InnerLoss) -> GradientAgent:
    """The agent with these settings for the spaces of `family`."""
    extra = settings.context if settings.adapts == "context" else 0
    size_in, sizes = layout(family.observation_space) + extra, head_sizes(family.action_space)
    init_network, network_of = functional(
        lambda key: PolicyHead(size_in, settings.hidden, sizes, activation=settings.activation, key=key)
    )
    part = adapting_part(settings.adapts, network_of, settings.context)
    return GradientAgent(settings, family, inner_loss, init_network, part)


def adapting_part(adapts: str, network_of: Callable[[PyTree], Any], context: int) -> Part:
    """All weights; the last layer; or a context, at first zero, that is appended to what the network sees."""
    last: Callable[[Any], Any] = lambda network: network.mlp.layers[-1]

    def with_context(network: PyTree, context: Array, seen: Array) -> Array:
        context = jnp.broadcast_to(context, (*seen.shape[:-1], *context.shape))
        return network_of(network)(jnp.concatenate([seen, context], -1))

    parts = {
        "all": Part(lambda network: network, lambda network, adapted, seen: network_of(adapted)(seen)),
        "head": Part(last, lambda network, adapted, seen: network_of(eqx.tree_at(last, network, adapted))(seen)),
        "context": Part(lambda network: jnp.zeros(context), with_context),
    }
    return parts[adapts]


def tasks_at_once(tasks: int, rows: int) -> int:
    """How many tasks with so many rows each to compute at once; always a divisor of their number."""
    most = max(1, ROWS_AT_ONCE // rows) if jax.default_backend() == "cpu" else tasks
    return next(count for count in range(min(most, tasks), 0, -1) if tasks % count == 0)


def last_stage(lifetimes: Lifetimes) -> Step:
    """What was lived after all learning, [N, C, T, ...]."""
    return jax.tree.map(lambda x: x[:, -1], lifetimes.steps)


def descend(
    learned: Learned,
    optimiser_state: PyTree,
    loss: Callable[[Learned], tuple[Array, Info]],
    *,
    optimiser: optax.GradientTransformation,
    epochs: int,
) -> tuple[Learned, PyTree, Info]:
    """So many steps on the whole batch. Info is what they came to."""

    def step(carry: tuple[Learned, PyTree], _: None) -> tuple[tuple[Learned, PyTree], Array]:
        learned, optimiser_state = carry
        gradient, _ = jax.grad(loss, has_aux=True)(learned)
        updates, optimiser_state = optimiser.update(gradient, optimiser_state, learned)
        return (optax.apply_updates(learned, updates), optimiser_state), optax.tree.norm(gradient)

    (learned, optimiser_state), norms = jax.lax.scan(step, (learned, optimiser_state), length=epochs)
    return learned, optimiser_state, {**loss(learned)[1], "gradient_norm": norms.mean()}
