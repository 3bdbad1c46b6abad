"""PPO for agents without memory, episode by episode: what `scratch`, `multitask` and `oracle` are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax

from rl_meta.algorithms.ppo import (
    PPO,
    Decision,
    PolicyParams,
    PolicyState,
    Rows,
    after_seeing,
    descend,
    explained_variance,
    ppo_loss,
    rows_from,
)
from rl_meta.numerics.returns import gae
from rl_meta.policies.actor_critic import FeedForwardActorCritic
from rl_meta.policies.layers import functional
from rl_meta.policies.normaliser import Normaliser
from rl_meta.policies.spaces import distribution, flat_size, head_sizes
from rl_meta.settings import Count
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Inputs, Key, PyTree, Step

BLOCK_ROWS = 4096
"""Rows whose activations fit the caches of two cores, and whose products are large enough to be shared by them."""


@dataclass(frozen=True)
class FeedForwardPPO(PPO):
    """Settings of PPO with separate feed-forward policy and value networks."""

    hidden: tuple[Count, ...] = (64, 64)
    """Widths of the tanh layers of both networks."""


class Learner(NamedTuple):
    """PPO as three pure functions."""

    init: Callable[[Key], PolicyState]
    """(key) -> PolicyState."""
    act: Callable[[Key | None, PolicyParams, Inputs], tuple[PyTree, Array]]
    """(key, PolicyParams, inputs) -> action, log_prob."""
    improve: Callable[[Key, PolicyState, Step], tuple[PolicyState, Info]]
    """(key, PolicyState, steps [B, T]) -> PolicyState, info. `steps.extras`: the log-probabilities."""
    start: Callable[[PolicyParams], PolicyState]
    """(PolicyParams) -> PolicyState that goes on from them, with a new optimiser."""


def feed_forward_ppo(settings: FeedForwardPPO, family: Family, iterations: int) -> Learner:
    """A learner for the spaces of `family`, to be improved so many times."""
    obs_space, action_space = family.observation_space, family.action_space
    optimiser = settings.optimiser(iterations)
    init_network, network_of = functional(
        lambda key: FeedForwardActorCritic(flat_size(obs_space), settings.hidden, head_sizes(action_space), key=key)
    )

    start = lambda params: PolicyState(params, optimiser.init(params.network))

    def init(key: Key) -> PolicyState:
        return start(PolicyParams(init_network(key), Normaliser.unit(obs_space)))

    def act(key: Key | None, params: PolicyParams, inputs: Inputs) -> tuple[PyTree, Array]:
        seen = params.normaliser.see(obs_space, inputs.obs)
        policy = distribution(action_space, network_of(params.network).policy(seen))
        action = policy.sample(key)
        return action, policy.log_prob(action)

    def values(params: PolicyParams, obs: PyTree) -> Array:
        target, seen = params.normaliser.target, params.normaliser.see(obs_space, obs)
        value = _in_blocks(network_of(params.network).value, seen.reshape(-1, seen.shape[-1]))
        return target.mean + target.std * value.reshape(seen.shape[:-1])

    def evaluate(network: PyTree, rows: Rows) -> tuple[Array, Array]:
        network = network_of(network)
        return network.policy(rows.seen), network.value(rows.seen)

    def loss(network: PyTree, rows: Rows) -> tuple[Array, Info]:
        return ppo_loss(network, rows, settings=settings, evaluate=evaluate, action_space=action_space)

    def improve(key: Key, state: PolicyState, steps: Step) -> tuple[PolicyState, Info]:
        params, normaliser = state.params, state.params.normaliser
        value, next_value = values(params, steps.inputs.obs), values(params, steps.next_obs)
        advantage = jax.vmap(lambda *sequence: gae(*sequence, discount=settings.discount, trace=settings.trace))(
            steps.reward, value, next_value, steps.terminated, steps.terminated | steps.truncated
        )
        rows = rows_from(
            normaliser,
            floor=settings.advantage_floor,
            seen=normaliser.see(obs_space, steps.inputs.obs),
            memory=(),
            action=steps.action,
            decision=Decision(steps.extras, value),
            advantage=advantage,
        )
        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
        network, optimiser_state, info = descend(
            key,
            params.network,
            state.optimiser,
            rows,
            settings=settings,
            optimiser=optimiser,
            loss=loss,
            block=block_rows(),
        )
        target = advantage + value
        params = PolicyParams(network, normaliser)
        if settings.normalise:
            params = after_seeing(params, obs_space, steps, target)
        info = {**info, "explained_variance": explained_variance(value, target)}
        return PolicyState(params, optimiser_state), info

    return Learner(init, act, improve, start)


def block_rows() -> int | None:
    """How many rows to compute at once; None: as many as there are."""
    return BLOCK_ROWS if jax.default_backend() == "cpu" else None


def _in_blocks(function: Callable[[Array], Array], x: Array) -> Array:
    """A row-wise function of x [B, ...], computed block by block where that is faster."""
    block = block_rows()
    if not block or len(x) <= block or len(x) % block:
        return function(x)
    return jax.lax.map(function, x.reshape(-1, block, *x.shape[1:])).reshape(-1)
