"""PEARL: off-policy meta-RL via probabilistic context variables (Rakelly, Zhou, Quillen, Finn & Levine 2019).

An encoder turns every transition into a Gaussian factor over a vector z; their product is the belief about the task.
The agent draws one z per episode and acts as if that were the task: from the prior in its first stage, from the
posterior later. Policy and critics read z beside the observation and are trained by soft actor-critic on transitions
of many lifetimes, kept task by task in the meta-state.

    RL replay       all transitions of a task                                   trains policy and critics
    context replay  those of its last visit that were lived with the prior      makes the z they are trained with

The encoder learns from the critics' loss, and from the KL of the posterior to the prior, which keeps out of z what the
critics have no use for; not from the policy's loss. Replay per task asks for a fixed number of training tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape
from rl_meta.algorithms.posterior_agent import Networks, Params, PosteriorAgent, Transition, transitions
from rl_meta.algorithms.soft_actor_critic import SAC, SoftLosses, SoftRows, followed, soft_losses
from rl_meta.axes import as_sequences
from rl_meta.errors import UserError
from rl_meta.numerics.replay import Replay
from rl_meta.numerics.returns import gae
from rl_meta.policies.layers import MLP, functional
from rl_meta.policies.normaliser import Normaliser
from rl_meta.policies.soft_actor_critic import SoftActorCritic
from rl_meta.policies.spaces import blank, flat_size, flatten, flatten_action, is_bounded, layout, no_action
from rl_meta.settings import BonusWeight, Count, Range
from rl_meta.tasks.base import Family
from rl_meta.tasks.wrappers import FiniteTasks
from rl_meta.types import Array, Info, Key, Lifetimes, PyTree, Step

LEAST_UNIT = 1e-4
"""Of rewards; it is 0 while none but 0 was ever seen."""
MOST_CONTEXT_STEPS = 64


@dataclass(frozen=True)
class PEARL(SAC):
    """Acts as if a guess from its belief were the task; off-policy."""

    meta_batch_size: Count = 16
    """Tasks lived in at the same time."""
    train_tasks: Count = 100
    """Tasks of the train split that are trained on, again and again."""
    lifetime_episodes: Count | None = None
    """Full-length episodes in a lifetime, the first of them lived with the prior; None: as many as the family says."""
    copies: Count = 1
    """Parallel environments in the task, each with a z of its own."""
    latent: Count = 5
    """Length of z."""
    encoder: tuple[Count, ...] = (64, 64)
    """Widths of the encoder's ReLU layers."""
    kl_weight: BonusWeight = 1e-4
    """Of KL(posterior ‖ prior), summed over the dimensions of z, in the mean over tasks."""
    warm_up_steps: Annotated[int, Range(0)] = 0
    """Environment steps, over all lifetimes, before the first gradient step."""
    steps_per_gradient: Count = 20
    """Environment steps for each gradient step."""
    batch_tasks: Count = 16
    """Tasks in the batch of a gradient step."""
    batch_steps: Count = 64
    """Transitions of each of them."""
    context_steps: Count | None = None
    """Transitions that a z is inferred from in training; None: those of the first stage, at most 64."""
    capacity_steps: Count = 5_000
    """Most recent transitions that are kept of every task."""
    normalise: bool = True
    """Scale observations, and rewards by the root mean square of the discounted returns."""

    def view(self, family: Family) -> FiniteTasks:
        """With a fixed table of training tasks."""
        return FiniteTasks(family, self.train_tasks)

    def shape(self, family: Family) -> Shape:
        """A stage is one full-length episode's time; episodes run on across stages."""
        return Shape(self.lifetime_episodes or family.episodes, self.copies, family.horizon, restart=False)

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""
        learner = self.learner(family)
        agent = learner.agent
        best = Adapter(agent.begin, agent.act_best, agent.learn)
        return MetaAlgorithm(Adapter(agent.begin, agent.act, agent.learn), learner.init, learner.update, best=best)

    def learner(self, family: Family) -> "Learner":
        """The parts that the method is made of."""
        if not isinstance(family, FiniteTasks):
            raise UserError(f"PEARL is built for a family with a fixed table of tasks, its `view`; got {family}")
        if not is_bounded(family.action_space):
            raise UserError(
                f"PEARL squashes actions into the bounds of their space, got {family.action_space}; "
                "give every dimension a finite lower and upper bound"
            )
        seen, done = family.observation_space, family.action_space

        def make(key: Key) -> Networks:
            key_encoder, key_soft = jax.random.split(key)
            size = layout(seen) + flat_size(done) + 1 + layout(seen)
            encoder = MLP(size, self.encoder, 2 * self.latent, activation=jax.nn.relu, key=key_encoder)
            state = layout(seen) + self.latent
            soft = SoftActorCritic(state, self.hidden, done, temperature=self.temperature, key=key_soft)
            return Networks(encoder, soft)

        init_networks, networks_of = functional(make)
        return Learner(
            self, family, self.shape(family), PosteriorAgent(seen, done, self.latent, networks_of), init_networks
        )


class State(NamedTuple):
    """What PEARL needs next time."""

    params: Params
    target: PyTree
    """Critics that follow slowly."""
    optimiser: PyTree
    replay: Replay
    """[train_tasks, capacity_steps]"""
    context: Replay
    """[train_tasks, steps of the first stage]"""
    lived_steps: Array
    """Environment steps so far."""


Learned = tuple[PyTree, PyTree, PyTree]
"""Networks, target critics, the optimiser's state: what a gradient step changes."""


@dataclass(frozen=True)
class Learner:
    """How PEARL's meta-state begins and improves."""

    settings: PEARL
    family: FiniteTasks
    shape: Shape
    agent: PosteriorAgent
    init_networks: Callable[[Key], PyTree]

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Adam."""
        return optax.adam(self.settings.learning_rate)

    @property
    def stage_steps(self) -> int:
        """Transitions of one stage of a lifetime."""
        return self.shape.copies * self.shape.steps

    @property
    def gradient_steps(self) -> int:
        """Of one iteration."""
        lived = self.shape.steps_per_call * self.settings.meta_batch_size
        return max(1, lived // self.settings.steps_per_gradient)

    def init(self, key: Key) -> State:
        """See `MetaAlgorithm`."""
        networks = self.init_networks(key)
        params = Params(networks, Normaliser.unit(self.agent.obs_space))
        obs = blank(self.family.observation_space)
        row = Transition(obs, no_action(self.agent.action_space), jnp.array(0.0), obs, jnp.zeros((), bool))
        empty = lambda capacity: Replay.empty(self.family.count, capacity, row)
        replay, context = empty(self.settings.capacity_steps), empty(self.stage_steps)
        return State(params, networks.soft.critics, self.optimiser.init(networks), replay, context, jnp.array(0))

    def update(self, key: Key, state: State, lifetimes: Lifetimes) -> tuple[State, Info]:
        """See `MetaAlgorithm`. While warming up, info is NaN: there is none."""
        state = self.remember(state, lifetimes)
        learned = state.params.networks, state.target, state.optimiser
        improve = partial(self.improve, key, state)
        shapes = jax.eval_shape(improve, learned)[1]
        wait = lambda learned: (learned, jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan), shapes))
        warm = state.lived_steps >= self.settings.warm_up_steps
        (networks, target, optimiser), info = jax.lax.cond(warm, improve, wait, learned)
        params = state.params._replace(networks=networks)
        return state._replace(params=params, target=target, optimiser=optimiser), info

    def improve(self, key: Key, state: State, learned: Learned) -> tuple[Learned, Info]:
        """All gradient steps of one iteration."""
        keys = jax.random.split(key, self.gradient_steps)
        learned, infos = jax.lax.scan(partial(self.gradient_step, state), learned, keys)
        return learned, jax.tree.map(jnp.mean, infos)

    def remember(self, state: State, lifetimes: Lifetimes) -> State:
        """Store what was lived. A task's context is forgotten when it is visited again."""
        rows, visited = transitions(lifetimes.steps), jax.vmap(self.family.row_of)(lifetimes.start.task)
        joined = lambda x: x.reshape(x.shape[0], -1, *x.shape[4:])
        with_prior = jax.tree.map(lambda x: joined(x[:, :1]), rows)
        return state._replace(
            params=state.params._replace(normaliser=self.observed(state.params.normaliser, lifetimes.steps)),
            replay=state.replay.insert_each(visited, jax.tree.map(joined, rows)),
            context=state.context.clear(visited).insert_each(visited, with_prior),
            lived_steps=state.lived_steps + lifetimes.steps.reward.size,
        )

    def observed(self, normaliser: Normaliser, steps: Step) -> Normaliser:
        """With the moments of observations, rewards, and discounted returns to the end of the episode."""
        if not self.settings.normalise:
            return normaliser
        steps = as_sequences(steps)
        nothing, done = jnp.zeros_like(steps.reward), steps.terminated | steps.truncated
        sums = jax.vmap(partial(gae, discount=self.settings.discount, trace=1.0))
        to_come = sums(steps.reward, nothing, nothing, done, done)
        seen = flatten(self.agent.obs_space, steps.inputs.obs)
        return normaliser.observe(seen.reshape(-1, seen.shape[-1]), steps.reward.ravel(), to_come.ravel())

    def gradient_step(self, state: State, learned: Learned, key: Key) -> tuple[Learned, Info]:
        """One step of all networks, on a batch of some tasks that were visited before."""
        settings, (networks, target, optimiser) = self.settings, learned
        key_tasks, key_context, key_rows, key_loss = jax.random.split(key, 4)
        tasks = state.replay.draw_rings(key_tasks, settings.batch_tasks)
        context_steps = settings.context_steps or min(self.stage_steps, MOST_CONTEXT_STEPS)
        context = state.context.draw(key_context, tasks, context_steps)
        rows = state.replay.draw(key_rows, tasks, settings.batch_steps)
        loss = partial(self.loss, key_loss, state.params.normaliser, target, context, rows)
        gradient, info = jax.grad(loss, has_aux=True)(networks)
        updates, optimiser = self.optimiser.update(gradient, optimiser, networks)
        networks = optax.apply_updates(networks, updates)
        target = followed(target, networks.soft.critics, settings.target_rate)
        return (networks, target, optimiser), info | {"gradient_norm": optax.tree.norm(gradient)}

    def loss(
        self, key: Key, normaliser: Normaliser, target: PyTree, context: Transition, rows: Transition, networks: PyTree
    ) -> tuple[Array, Info]:
        """Of M tasks: context [M, B', ...] and rows [M, B, ...]."""
        losses, kl, info = self.losses(key, normaliser, target, context, rows, networks)
        return sum(losses) + self.settings.kl_weight * kl, info | {"kl": kl}

    def losses(
        self, key: Key, normaliser: Normaliser, target: PyTree, context: Transition, rows: Transition, networks: PyTree
    ) -> tuple[SoftLosses, Array, Info]:
        """Those of soft actor-critic, and the divergence of the posteriors from the prior."""
        key_z, key_soft = jax.random.split(key)
        networks = self.agent.networks_of(networks)
        belief = self.agent.belief(networks.encoder, normaliser, context)
        losses, info = soft_losses(
            key_soft,
            networks.soft,
            eqx.combine(target, networks.soft.critics),
            self.soft_rows(normaliser, rows, belief.sample(key_z)),
            settings=self.settings,
            entropy_target=self.settings.entropy_target(self.agent.action_space),
        )
        return losses, belief.kl_from_prior().mean(), info

    def soft_rows(self, normaliser: Normaliser, rows: Transition, z: Array) -> SoftRows:
        """[M, B, ...] with every task's z [M, latent] -> [M B, ...]."""
        z = jnp.broadcast_to(z[:, None], (*rows.reward.shape, z.shape[-1]))
        returns = normaliser.target
        unit = jnp.sqrt(returns.mean**2 + returns.variance)
        soft = SoftRows(
            state=self.agent.state(normaliser, rows.obs, z),
            action=flatten_action(self.agent.action_space, rows.action),
            reward=rows.reward / jnp.maximum(unit, LEAST_UNIT),
            next_state=self.agent.state(normaliser, rows.next_obs, z),
            terminated=rows.terminated,
        )
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), soft)
