"""VariBAD: a very good method for Bayes-adaptive deep RL via meta-learning (Zintgraf et al. 2020).

A recurrent encoder turns what was lived through into a belief over a latent that stands for the task, and decoders
learn to predict, from the belief at any time, the rewards and transitions of the whole lifetime: what the task *is*,
not what to do. A feed-forward policy sees the observation and the belief, its mean and its spread, and is trained by
PPO to maximise the return of the lifetime: it explores where knowing more will pay.

Encoder and decoders learn by the ELBO alone (see `elbo`), from a ring of past lifetimes; no gradient of the policy
reaches them. The policy learns from the beliefs that were held when the steps were lived, so that its batches are
single steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape, keep_adapted
from rl_meta.algorithms.belief_agent import BeliefAgent, BeliefParams
from rl_meta.algorithms.elbo import Evidence, Weights, evidence, evidence_sizes, negative_elbo, records
from rl_meta.algorithms.feed_forward_ppo import FeedForwardPPO, block_rows
from rl_meta.algorithms.hyperx import Bonus, Lived, hyperx
from rl_meta.algorithms.ppo import (
    PolicyParams,
    Rows,
    after_seeing,
    descend,
    explained_variance,
    lifetime_advantages,
    ppo_loss,
    rows_from,
)
from rl_meta.algorithms.ring import Ring
from rl_meta.axes import as_sequences, per_copy, tile
from rl_meta.errors import UserError
from rl_meta.numerics.moments import Moments
from rl_meta.policies.actor_critic import FeedForwardActorCritic
from rl_meta.policies.layers import functional
from rl_meta.policies.normaliser import Normaliser, layout_of_all
from rl_meta.policies.spaces import blank, flat_size, head_sizes, layout, no_action
from rl_meta.policies.task_model import BeliefEncoder, Decoder, TaskModel
from rl_meta.settings import BonusWeight, Count, LearningRate, NotNegative, Range, is_off
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Inputs, Key, Lifetimes, PyTree, Step


@dataclass(frozen=True)
class VariBAD(FeedForwardPPO):
    """Acts on a belief about the task that is learned by predicting."""

    learning_rate: LearningRate = 2e-3
    """Of the policy's Adam."""
    meta_batch_size: Count | None = None
    """Tasks lived in at the same time; None: 16 to 64, the fewer the longer they are lived in."""
    lifetime_episodes: Count | None = None
    """Full-length episodes in a lifetime; None: as many as the family says."""
    latent: Count = 10
    """Dimensions of the belief."""
    memory: Count = 64
    """Width of the encoder's GRU."""
    embedding: tuple[Count, ...] = ()
    """Widths of tanh layers before the GRU."""
    decoder: tuple[Count, ...] = (64, 64)
    """Widths of the decoders' tanh layers, two or more."""
    transition_weight: NotNegative = 1.0
    """Of predicting next observations, against rewards; 0: they are not predicted."""
    kl_weight: BonusWeight = 0.5
    """Of the divergence of each belief from the one before."""
    vae_learning_rate: LearningRate = 3e-3
    """Of the Adam of encoder and decoders."""
    vae_updates: Annotated[int, Range(0)] = 16
    """Steps of it per iteration."""
    vae_lifetimes: Count | None = None
    """Lifetimes in each of them; None: as many as are lived in at the same time."""
    replay_lifetimes: Count = 2048
    """Of how many newest lifetimes they are drawn; at least as many as are lived in one iteration."""
    elbo_terms: Count | None = 8
    """Beliefs of each lifetime to decode from; None: all."""
    decoded_steps: Count | None = None
    """Steps to decode from each of these; None: all."""
    novelty_weight: NotNegative = 0.0
    """HyperX: of the bonus for new pairs of observation and belief, in standard deviations; see `hyperx`."""
    error_weight: NotNegative = 0.0
    """HyperX: of the bonus for steps that the model cannot predict yet."""

    def view(self, family: Family) -> Family:
        """Nothing is revealed."""
        return family

    def shape(self, family: Family) -> Shape:
        """A stage is one full-length episode's time; episodes run on across stages."""
        if self.meta_batch_size and self.replay_lifetimes < self.meta_batch_size:
            raise UserError(
                f"replay_lifetimes must be at least meta_batch_size, {self.meta_batch_size}, "
                f"got {self.replay_lifetimes}: an iteration's lifetimes have to fit"
            )
        if len(self.decoder) < 2:
            raise UserError(f"decoder must have two widths or more, got {self.decoder}: one before, one after joining")
        return Shape(self.lifetime_episodes or family.episodes, 1, family.horizon, restart=False)

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""
        return varibad(self, family, iterations)


class VariBADState(NamedTuple):
    """What an update needs next time."""

    params: BeliefParams
    policy_optimiser: PyTree
    model_optimiser: PyTree
    replay: Ring
    """Of `elbo.records`."""
    bonus: PyTree
    """`hyperx.BonusState`; `()` without bonuses."""


def varibad(settings: VariBAD, family: Family, iterations: int) -> MetaAlgorithm:
    """The method for a family."""
    obs_space, action_space = family.observation_space, family.action_space
    init_network, network_of = functional(partial(make_network, settings, family))
    init_model, model_of = functional(partial(make_model, settings, family))
    agent = BeliefAgent(network_of, model_of, obs_space, action_space, settings.latent)
    policy_optimiser, improve_policy = _policy_learner(settings, agent, family.horizon, iterations)
    model_optimiser, improve_model = _model_learner(settings, agent)
    bonus = _bonus(settings, family, iterations)
    row = _record(family, settings.shape(family).steps_per_call)

    def init(key: Key) -> VariBADState:
        key_network, key_model, key_bonus = jax.random.split(key, 3)
        network, model = init_network(key_network), init_model(key_model)
        policy = PolicyParams(network, Normaliser.unit(obs_space))
        return VariBADState(
            BeliefParams(policy, model, Moments.unit((2 * settings.latent,))),
            policy_optimiser.init(network),
            model_optimiser.init(model),
            Ring.like(row, settings.replay_lifetimes),
            bonus.init(key_bonus),
        )

    def update(key: Key, state: VariBADState, lifetimes: Lifetimes) -> tuple[VariBADState, Info]:
        key_bonus, key_policy, key_model = jax.random.split(key, 3)
        params, steps, record = state.params, as_sequences(lifetimes.steps), records(lifetimes)
        extra, bonus_state, paid = bonus.pay(
            key_bonus, state.bonus, model_of(params.model), _lived(agent, params, lifetimes, record)
        )
        policy, policy_moments, info = improve_policy(key_policy, params, state.policy_optimiser, steps, extra)
        replay = state.replay.put(record)
        model, model_moments, told = improve_model(
            key_model, params.model, state.model_optimiser, replay, policy.normaliser, len(steps.reward)
        )
        held = jnp.concatenate(steps.extras.belief, -1)
        belief = params.belief.merge(Moments.of(held.reshape(-1, held.shape[-1])))
        after = BeliefParams(policy, model, belief if settings.normalise else params.belief)
        return VariBADState(after, policy_moments, model_moments, replay, bonus_state), info | told | paid

    return MetaAlgorithm(Adapter(agent.begin, agent.act, keep_adapted), init, update)


def _bonus(settings: VariBAD, family: Family, iterations: int) -> Bonus:
    return hyperx(
        settings.novelty_weight,
        settings.error_weight,
        size=flat_size(family.observation_space) + 2 * settings.latent,
        transition_weight=settings.transition_weight,
        discount=settings.discount,
        iterations=iterations,
    )


def _lived(agent: BeliefAgent, params: BeliefParams, lifetimes: Lifetimes, record: Inputs) -> Lived:
    """What bonuses are paid for."""
    steps, normaliser = as_sequences(lifetimes.steps), params.policy.normaliser
    last = normaliser.see_all(agent.obs_space, agent.action_space, per_copy(lifetimes.end.inputs))
    hidden = per_copy(lifetimes.end.memory).hidden
    _, belief = agent.model_of(params.model).encoder.step(hidden, last)
    later = jax.tree.map(lambda b, l: jnp.concatenate([b[:, 1:], l[:, None]], 1), steps.extras.belief, belief)
    seen = evidence(normaliser, agent.obs_space, agent.action_space, record)
    return Lived(agent.see(params, steps.next_obs, later), later, seen)


def make_network(settings: VariBAD, family: Family, key: Key) -> FeedForwardActorCritic:
    """Policy and value, of the observation and the belief."""
    size = layout(family.observation_space) + 2 * settings.latent
    return FeedForwardActorCritic(
        size, settings.hidden, head_sizes(family.action_space), activation=settings.activation, key=key
    )


def make_model(settings: VariBAD, family: Family, key: Key) -> TaskModel:
    """Encoder and decoders; none for transitions where they have no weight, or nothing but pictures changes."""
    obs_space, action_space = family.observation_space, family.action_space
    key_encoder, key_reward, key_transition = jax.random.split(key, 3)
    outcome, choice, change = evidence_sizes(obs_space, action_space)
    size, latent = layout_of_all(obs_space, action_space), settings.latent
    encoder = BeliefEncoder(size, settings.embedding, settings.memory, latent, key=key_encoder)
    reward = Decoder(latent, outcome, settings.decoder, 1, key=key_reward)
    if is_off(settings.transition_weight) or not change:
        return TaskModel(encoder, reward, None)
    return TaskModel(encoder, reward, Decoder(latent, choice, settings.decoder, change, key=key_transition))


def _record(family: Family, length: int) -> Inputs:
    """A row of the ring, by shapes and types only: what a lifetime of so many steps shows."""
    obs = blank(family.observation_space)
    seen = Inputs(obs, jnp.array(False), no_action(family.action_space), jnp.array(0.0), obs)  # noqa: FBT003
    return tile(seen, length + 1)


def _policy_learner(
    settings: VariBAD, agent: BeliefAgent, horizon: int, iterations: int
) -> tuple[optax.GradientTransformation, Callable]:
    """improve: (key, params, optimiser state, steps [B, L], bonus) -> PolicyParams, optimiser state, info.

    bonus: added to the rewards, but not to the statistics by which they are scaled.
    """
    optimiser = settings.optimiser(iterations)

    def evaluate(network: PyTree, rows: Rows) -> tuple[Array, Array]:
        network = agent.network_of(network)
        return network.policy(rows.seen), network.value(rows.seen)

    loss = partial(ppo_loss, settings=settings, evaluate=evaluate, action_space=agent.action_space)

    def improve(
        key: Key, params: BeliefParams, optimiser_state: PyTree, steps: Step, bonus: float | Array
    ) -> tuple[PolicyParams, PyTree, Info]:
        decision, belief, time = steps.extras
        paid, count = steps._replace(reward=steps.reward + bonus), len(time)
        none, over = jnp.zeros(count), jnp.ones(count, bool)  # lifetimes are whole: none goes on
        advantage = lifetime_advantages(paid, decision.value, time, none, over, settings=settings, horizon=horizon)
        rows = rows_from(
            params.policy.normaliser,
            floor=settings.advantage_floor,
            seen=agent.see(params, steps.inputs.obs, belief),
            memory=(),
            action=steps.action,
            decision=decision,
            advantage=advantage,
        )
        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
        network, optimiser_state, info = descend(
            key,
            params.policy.network,
            optimiser_state,
            rows,
            settings=settings,
            optimiser=optimiser,
            loss=loss,
            block=block_rows(),
        )
        target = advantage + decision.value
        policy = PolicyParams(network, params.policy.normaliser)
        if settings.normalise:
            policy = after_seeing(policy, agent.obs_space, steps, target)
        return policy, optimiser_state, info | {"explained_variance": explained_variance(decision.value, target)}

    return optimiser, improve


def _model_learner(settings: VariBAD, agent: BeliefAgent) -> tuple[optax.GradientTransformation, Callable]:
    """improve: (key, model, optimiser state, replay, normaliser, lifetimes lived) -> model, optimiser state, info."""
    clip = optax.clip_by_global_norm(settings.max_gradient_norm)
    optimiser = optax.chain(clip, optax.adam(settings.vae_learning_rate))
    weights = Weights(settings.transition_weight, settings.kl_weight)

    def loss(model: PyTree, key: Key, seen: Evidence) -> tuple[Array, Info]:
        return negative_elbo(
            key,
            agent.model_of(model),
            seen,
            weights=weights,
            terms=settings.elbo_terms,
            decoded=settings.decoded_steps,
        )

    def improve(
        key: Key, model: PyTree, optimiser_state: PyTree, replay: Ring, normaliser: Normaliser, lived: int
    ) -> tuple[PyTree, PyTree, Info]:
        def step(carry: tuple[PyTree, PyTree], key: Key) -> tuple[tuple[PyTree, PyTree], Info]:
            model, optimiser_state = carry
            key_draw, key_loss = jax.random.split(key)
            drawn = replay.draw(key_draw, settings.vae_lifetimes or lived)
            seen = evidence(normaliser, agent.obs_space, agent.action_space, drawn)
            gradient, info = jax.grad(loss, has_aux=True)(model, key_loss, seen)
            updates, optimiser_state = optimiser.update(gradient, optimiser_state, model)
            return (optax.apply_updates(model, updates), optimiser_state), info

        if not settings.vae_updates:
            return model, optimiser_state, {}
        keys = jax.random.split(key, settings.vae_updates)
        (model, optimiser_state), infos = jax.lax.scan(step, (model, optimiser_state), keys)
        return model, optimiser_state, jax.tree.map(jnp.mean, infos)

    return optimiser, improve
