"""PPO over lifetimes for networks with a memory: what RL² and its relatives are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium import spaces

from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape, keep_adapted
from rl_meta.algorithms.ppo import (
    PPO,
    Decision,
    PolicyParams,
    PolicyState,
    Rows,
    after_seeing,
    descend,
    explained_variance,
    lifetime_advantages,
    ppo_loss,
    rows_from,
)
from rl_meta.axes import as_sequences, per_copy
from rl_meta.errors import UserError
from rl_meta.policies.action_judge import JudgingActorCritic, OutcomesByAction
from rl_meta.policies.actor_critic import MakeNetwork, RecurrentActorCritic
from rl_meta.policies.layers import functional
from rl_meta.policies.layout import Layout
from rl_meta.policies.memory import Encoded, MakeCore, MakeMemory
from rl_meta.policies.normaliser import Normaliser, layout_of_all, layout_of_outcome
from rl_meta.policies.recall import WORTH_TALLYING, Lookup, MeanOutcome, Recall, Recalling, Tally
from rl_meta.policies.spaces import distribution, flat_size, head_sizes, layout
from rl_meta.settings import BonusWeight, Count
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Inputs, Key, Lifetimes, PyTree


@dataclass(frozen=True)
class LifetimePPO(PPO):
    """Settings of PPO over lifetimes, the base of those methods that use it."""

    entropy_weight: BonusWeight = 0.005
    """Of the entropy bonus, nats: once a family is mastered, a larger one makes the agent act worse to stay random."""
    meta_batch_size: Count | None = None
    """Tasks lived in at the same time; None: 16 to 64, the fewer the longer they are lived in."""
    lifetime_episodes: Count | None = None
    """Full-length episodes in a lifetime; None: as many as the family says."""
    segment_episodes: Count | None = None
    """Episodes between two updates; the lifetime goes on after them. None: the whole lifetime."""
    chunk_steps: Count | None = None
    """Steps that gradients reach back; must divide the steps of a segment. None: all of them."""
    recall: Count | None = None
    """Width of an episodic memory before the method's own, searched by the likeness of observations; None: no such."""
    judge: Count | None = None
    """Width of a network that judges each action by what came of it, and of such a memory for each; None: no such."""

    def view(self, family: Family) -> Family:
        """Nothing is revealed."""
        return family

    def shape(self, family: Family) -> Shape:
        """A stage is one full-length episode's time; episodes run on across stages."""
        stages = self.lifetime_episodes or family.episodes
        shape = Shape(stages, 1, family.horizon, segment=self.segment_episodes, restart=False)
        length = shape.steps_per_call
        if self.chunk_steps and length % self.chunk_steps:
            raise UserError(f"chunk_steps must divide the {length} steps of a segment, got {self.chunk_steps}")
        for name in ("recall", "judge"):
            if getattr(self, name):
                self.learn_from_whole_lifetimes(name, "leave one of them out")
        if self.judge and not isinstance(family.action_space, spaces.Discrete):
            raise UserError(
                f"judge needs actions that can be counted (Discrete), got {family.action_space}; leave it out"
            )
        return shape

    def learn_from_whole_lifetimes(self, what: str, instead: str) -> None:
        """Refuse settings that cut lifetimes, for the sake of what looks back to their start."""
        for name in ("segment_episodes", "chunk_steps"):
            if getattr(self, name):
                raise UserError(f"{what} learns from whole lifetimes, got {name} {getattr(self, name)}; {instead}")


class Memory(NamedTuple):
    """What the agent carries from step to step."""

    hidden: PyTree
    """The network's."""
    time: Array
    """Steps since the episode began."""


class RecurrentDecision(NamedTuple):
    """What `act` records for the update."""

    decision: Decision
    time: Array
    hidden: PyTree
    """Before the step, where chunks may start; else `()`."""


@dataclass(frozen=True)
class RecurrentAgent:
    """An actor-critic network that lives in tasks.

    The network has `start() -> hidden`, `step(hidden, x) -> hidden, policy parameters, value`,
    `unroll(hidden, xs [T, ...]) -> policy parameters [T, ...], values [T, ...]`, and a `value` head.
    """

    network_of: Callable[[PyTree], Any]
    """(parameters) -> network."""
    obs_space: spaces.Space
    action_space: spaces.Space
    keep_hidden: bool
    """Record the memory before every step?"""

    def begin(self, key: Key, params: PolicyParams) -> tuple[PyTree, Memory]:
        """See `Adapter`."""
        return (), Memory(self.network_of(params.network).start(), jnp.array(0))

    def look(self, params: PolicyParams, hidden: PyTree, inputs: Inputs) -> tuple[PyTree, Array, Array]:
        """Hidden state, parameters of the policy and value (in the units of rewards), of any batch."""
        seen = params.normaliser.see_all(self.obs_space, self.action_space, inputs)
        hidden, parameters, value = self.network_of(params.network).step(hidden, seen)
        target = params.normaliser.target
        return hidden, parameters, target.mean + target.std * value

    def act(
        self, key: Key | None, params: PolicyParams, adapted: PyTree, memory: Memory, inputs: Inputs
    ) -> tuple[Memory, PyTree, RecurrentDecision]:
        """See `Adapter`."""
        hidden, parameters, value = self.look(params, memory.hidden, inputs)
        time = jnp.where(inputs.first, 0, memory.time + 1)
        policy = distribution(self.action_space, parameters)
        action = policy.sample(key)
        kept = memory.hidden if self.keep_hidden else ()
        return Memory(hidden, time), action, RecurrentDecision(Decision(policy.log_prob(action), value), time, kept)

    def evaluate(self, network: PyTree, rows: Rows) -> tuple[Array, Array]:
        """Parameters of the policy and values [rows, L, ...] of sequences."""
        parameters, values = self.network_of(network).unroll(rows.memory, jnp.swapaxes(rows.seen, 0, 1))
        return jnp.swapaxes(parameters, 0, 1), jnp.swapaxes(values, 0, 1)


def remembering(settings: LifetimePPO, family: Family, make_core: MakeCore, encoder: Sequence[int]) -> MakeMemory:
    """What makes the memory that the settings want: an encoder with layers of these widths, and what `make_core` makes.

    Before both of them an episodic memory, if the settings say so.
    """
    encoded = lambda size_in, key: Encoded(size_in, encoder, make_core, key=key)
    width = settings.recall
    if width is None:
        return encoded
    seen, outcome = layout(family.observation_space), outcome_layout(family)

    def recalling(size_in: Layout, key: Key) -> Recalling:
        key_recall, key_memory = jax.random.split(key)
        key_lookup, key_outcome = jax.random.split(key_recall)
        lookup = Lookup(seen, MeanOutcome(outcome, width, key=key_outcome), width, key=key_lookup)
        return Recalling(found_by(lookup, settings, family), size_in, encoded, key=key_memory)

    return recalling


def judging(settings: LifetimePPO, family: Family, make: MakeNetwork) -> MakeNetwork:
    """What makes the network that `make` makes, with a judge of each action beside it if the settings say so."""
    width = settings.judge
    if width is None:
        return make
    seen, actions = layout(family.observation_space), flat_size(family.action_space)

    def make_judging(size_in: Layout, key: Key) -> JudgingActorCritic:
        key_lookup, key_outcome, key_network = jax.random.split(key, 3)
        outcomes = OutcomesByAction(outcome_layout(family), seen.size, actions, width, key=key_outcome)
        recall = found_by(Lookup(seen, outcomes, width, key=key_lookup), settings, family)
        return JudgingActorCritic(recall, size_in, make, width, key=key_network)

    return make_judging


def outcome_layout(family: Family) -> Layout:
    """Of what comes after the observation in what the network reads: that which came of the last step."""
    return layout_of_outcome(family.observation_space, family.action_space)


def found_by(lookup: Lookup, settings: LifetimePPO, family: Family) -> Recall | Tally:
    """How to find: by sums where observations are few numbers, by searching all steps elsewhere."""
    shape, states = settings.shape(family), family.observation_space
    steps = shape.stages * shape.steps
    often = isinstance(states, spaces.Discrete) and int(states.n) * WORTH_TALLYING <= steps
    return Tally(lookup) if often else Recall(lookup, steps)


def network_with(make_memory: MakeMemory, family: Family, heads: Sequence[int]) -> MakeNetwork:
    """What makes a network for `recurrent_ppo` on `family` that remembers with this memory.

    heads: widths of tanh layers between it and each output.
    """
    sizes = head_sizes(family.action_space)
    return lambda size_in, key: RecurrentActorCritic(size_in, make_memory, sizes, heads=heads, key=key)


def recurrent_ppo(settings: LifetimePPO, family: Family, iterations: int, make: MakeNetwork) -> MetaAlgorithm:
    """PPO over the whole lifetime. make: (the inputs, key) -> network, as `RecurrentAgent` describes it."""
    chunk_steps = settings.chunk_steps
    size_in = layout_of_all(family.observation_space, family.action_space)
    make = judging(settings, family, make)
    init_network, network_of = functional(lambda key: make(size_in, key))
    agent = RecurrentAgent(network_of, family.observation_space, family.action_space, bool(chunk_steps))
    optimiser = settings.optimiser(iterations)

    def init(key: Key) -> PolicyState:
        network = init_network(key)
        return PolicyState(PolicyParams(network, Normaliser.unit(agent.obs_space)), optimiser.init(network))

    def loss(network: PyTree, rows: Rows) -> tuple[Array, Info]:
        return ppo_loss(network, rows, settings=settings, evaluate=agent.evaluate, action_space=agent.action_space)

    def update(key: Key, state: PolicyState, lifetimes: Lifetimes) -> tuple[PolicyState, Info]:
        params, steps = state.params, as_sequences(lifetimes.steps)
        advantage = _advantages(agent, settings, family.horizon, params, lifetimes)
        rows = _rows(agent, settings, params, lifetimes, advantage, chunk_steps)
        network, optimiser_state, info = descend(
            key, params.network, state.optimiser, rows, settings=settings, optimiser=optimiser, loss=loss
        )
        value = steps.extras.decision.value
        target = advantage + value
        after = PolicyParams(network, params.normaliser)
        if settings.normalise:
            after = after_seeing(after, agent.obs_space, steps, target)
        return PolicyState(after, optimiser_state), info | {"explained_variance": explained_variance(value, target)}

    return MetaAlgorithm(Adapter(agent.begin, agent.act, keep_adapted), init, update, segments=True)


def _advantages(
    agent: RecurrentAgent, settings: PPO, horizon: int, params: PolicyParams, lifetimes: Lifetimes
) -> Array:
    """[B, L] of all sequences, bootstrapped from what the agent would see next."""
    steps, copies = as_sequences(lifetimes.steps), lifetimes.steps.reward.shape[2]
    _, _, next_value = agent.look(params, per_copy(lifetimes.end.memory).hidden, per_copy(lifetimes.end.inputs))
    value, time, over = steps.extras.decision.value, steps.extras.time, jnp.repeat(lifetimes.over, copies)
    return lifetime_advantages(steps, value, time, next_value, over, settings=settings, horizon=horizon)


def _rows(
    agent: RecurrentAgent,
    settings: PPO,
    params: PolicyParams,
    lifetimes: Lifetimes,
    advantage: Array,
    chunk_steps: int | None,
) -> Rows:
    """Whole sequences, or chunks of them."""
    steps = as_sequences(lifetimes.steps)
    rows = rows_from(
        params.normaliser,
        floor=settings.advantage_floor,
        seen=params.normaliser.see_all(agent.obs_space, agent.action_space, steps.inputs),
        memory=per_copy(lifetimes.start.memory).hidden,
        action=steps.action,
        decision=steps.extras.decision,
        advantage=advantage,
    )
    return in_chunks(rows, steps.extras.hidden, chunk_steps) if chunk_steps else rows


def in_chunks(rows: Rows, hidden: PyTree, length: int) -> Rows:
    """[B, L, ...] -> [B L / length, length, ...]. hidden [B, L, ...]: before every step."""
    cut = lambda x: x.reshape(-1, length, *x.shape[2:])
    starts = jax.tree.map(lambda x: cut(x)[:, 0], hidden)
    return jax.tree.map(cut, rows._replace(memory=()))._replace(memory=starts)
