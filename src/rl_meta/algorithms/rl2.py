"""RL²: fast reinforcement learning via slow reinforcement learning (Duan et al. 2016; Wang et al. 2016).

A recurrent network sees observation, last action, last reward and the ends of episodes; its hidden state
outlives episodes and ends with the lifetime. Trained by PPO to maximise the return of the whole lifetime, the
network becomes a learning algorithm whose state is its memory: no weight changes in a new task.

Advantages run over the lifetime: the end of an episode is no boundary, for what is found out in one episode pays
in the next; one that terminates early forfeits its time (`lifetime_discounts`). Long lifetimes are cut into chunks for back-propagation; every chunk starts from the memory that the
agent had there.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape, keep_adapted
from rl_meta.algorithms.ppo import (
    PPO,
    Decision,
    PolicyParams,
    PolicyState,
    Rows,
    descend,
    explained_variance,
    ppo_loss,
    renormalised,
    rows_from,
)
from rl_meta.axes import as_sequences, per_copy
from rl_meta.errors import UserError
from rl_meta.numerics.returns import gae, lifetime_discounts
from rl_meta.policies.actor_critic import RecurrentActorCritic
from rl_meta.policies.layers import functional
from rl_meta.policies.normaliser import Normaliser, size_of_all
from rl_meta.policies.spaces import distribution, flatten, head_sizes
from rl_meta.settings import Count
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Inputs, Key, Lifetimes, PyTree, Step


@dataclass(frozen=True)
class RL2(PPO):
    """Recurrent PPO over whole lifetimes."""

    meta_batch_size: Count = 128
    """Tasks lived in at the same time."""
    lifetime_episodes: Count | None = None
    """Full-length episodes in a lifetime; None: as many as the family says."""
    segment_episodes: Count | None = None
    """Episodes between two updates; the lifetime goes on after them. None: the whole lifetime."""
    chunk_steps: Count | None = None
    """Steps that gradients reach back; must divide the steps of a segment. None: all of them."""
    memory: Count = 64
    """Width of the GRU."""
    encoder: tuple[Count, ...] = ()
    """Widths of tanh layers before the GRU."""
    heads: tuple[Count, ...] = ()
    """Widths of tanh layers between the GRU and each output."""

    def view(self, family: Family) -> Family:
        """Nothing is revealed."""
        return family

    def shape(self, family: Family) -> Shape:
        """A stage is one full-length episode's time; episodes run on across stages."""
        stages = self.lifetime_episodes or family.episodes
        shape = Shape(stages, 1, family.horizon, segment=self.segment_episodes, restart=False)
        length = shape.steps_per_call
        if self.chunk_steps and length % self.chunk_steps:
            raise UserError(
                f"chunk_steps must divide the {length} steps of a segment, got {self.chunk_steps}"
            )
        return shape

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""
        return recurrent_ppo(self, family, iterations)


class Memory(NamedTuple):
    """What the agent carries from step to step."""

    hidden: Array
    time: Array
    """Steps since the episode began."""


class RecurrentDecision(NamedTuple):
    """What `act` records for the update."""

    decision: Decision
    time: Array
    hidden: PyTree
    """Before the step, where chunks may start; else `()`."""


def recurrent_ppo(settings: RL2, family: Family, iterations: int) -> MetaAlgorithm:
    """PPO over lifetimes for a network with a memory."""
    obs_space, action_space = family.observation_space, family.action_space
    optimiser = settings.optimiser(iterations)
    init_network, network_of = functional(
        lambda key: RecurrentActorCritic(
            size_of_all(obs_space, action_space),
            settings.memory,
            head_sizes(action_space),
            encoder=settings.encoder,
            heads=settings.heads,
            key=key,
        )
    )

    def init(key: Key) -> PolicyState:
        network = init_network(key)
        return PolicyState(PolicyParams(network, Normaliser.unit(obs_space)), optimiser.init(network))

    def begin(key: Key, params: PolicyParams) -> tuple[PyTree, PyTree]:
        return (), Memory(network_of(params.network).memory.start(), jnp.array(0))

    def look(params: PolicyParams, hidden: Array, inputs: Inputs) -> tuple[Array, Array, Array]:
        """Hidden state, parameters of the policy and value (in the units of rewards), of any batch."""
        seen = params.normaliser.see_all(obs_space, action_space, inputs)
        hidden, parameters, value = network_of(params.network).step(hidden, seen)
        target = params.normaliser.target
        return hidden, parameters, target.mean + target.std * value

    def act(
        key: Key | None, params: PolicyParams, adapted: PyTree, memory: Memory, inputs: Inputs
    ) -> tuple[Memory, PyTree, RecurrentDecision]:
        hidden, parameters, value = look(params, memory.hidden, inputs)
        time = jnp.where(inputs.first, 0, memory.time + 1)
        policy = distribution(action_space, parameters)
        action = policy.sample(key)
        kept = memory.hidden if settings.chunk_steps else ()
        decision = Decision(policy.log_prob(action), value)
        return Memory(hidden, time), action, RecurrentDecision(decision, time, kept)

    def evaluate(network: PyTree, rows: Rows) -> tuple[Array, Array]:
        parameters, values = network_of(network).unroll(rows.memory, jnp.swapaxes(rows.seen, 0, 1))
        return jnp.swapaxes(parameters, 0, 1), jnp.swapaxes(values, 0, 1)

    def loss(network: PyTree, rows: Rows) -> tuple[Array, Info]:
        return ppo_loss(network, rows, settings=settings, evaluate=evaluate, action_space=action_space)

    def update(key: Key, state: PolicyState, lifetimes: Lifetimes) -> tuple[PolicyState, Info]:
        params, normaliser = state.params, state.params.normaliser
        steps, copies = as_sequences(lifetimes.steps), lifetimes.steps.reward.shape[2]
        start, end = per_copy(lifetimes.start.memory), per_copy(lifetimes.end.memory)
        _, _, next_value = look(params, end.hidden, per_copy(lifetimes.end.inputs))
        over = jnp.repeat(lifetimes.over, copies)
        advantage = lifetime_advantages(steps, next_value, over, settings=settings, horizon=family.horizon)
        value = steps.extras.decision.value
        target = advantage + value
        rows = rows_from(
            normaliser,
            seen=normaliser.see_all(obs_space, action_space, steps.inputs),
            memory=start.hidden,
            action=steps.action,
            decision=steps.extras.decision,
            advantage=advantage,
        )
        if settings.chunk_steps:
            rows = in_chunks(rows, steps.extras.hidden, settings.chunk_steps)
        network, optimiser_state, info = descend(
            key, params.network, state.optimiser, rows, settings=settings, optimiser=optimiser, loss=loss
        )
        params = PolicyParams(network, normaliser)
        if settings.normalise:
            flat = flatten(obs_space, steps.inputs.obs)
            seen = normaliser.observe(flat.reshape(-1, flat.shape[-1]), steps.reward.ravel(), target.ravel())
            params = renormalised(params, seen)
        info = {**info, "explained_variance": explained_variance(value, target)}
        return PolicyState(params, optimiser_state), info

    return MetaAlgorithm(Adapter(begin, act, keep_adapted), init, update, segments=True)


def lifetime_advantages(steps: Step, next_value: Array, over: Array, *, settings: PPO, horizon: int) -> Array:
    """Advantages [B, L] of sequences whose episodes' ends are no boundaries. next_value, over: [B], at the end."""

    def one(steps: Step, next_value: Array, over: Array) -> Array:
        value = steps.extras.decision.value
        end = jnp.zeros(value.shape, bool).at[-1].set(over)
        discount = lifetime_discounts(
            steps.terminated, steps.extras.time, discount=settings.discount, horizon=horizon
        )
        later = jnp.append(value[1:], next_value)
        return gae(steps.reward, value, later, end, end, discount=discount, trace=settings.trace)

    return jax.vmap(one)(steps, next_value, over)


def in_chunks(rows: Rows, memories: PyTree, length: int) -> Rows:
    """[B, L, ...] -> [B L / length, length, ...]. memories [B, L, ...]: before every step."""
    cut = lambda x: x.reshape(-1, length, *x.shape[2:])
    memory = jax.tree.map(lambda x: cut(x)[:, 0], memories)
    return Rows(
        *(memory if name == "memory" else jax.tree.map(cut, getattr(rows, name)) for name in Rows._fields)
    )
