"""PPO for agents without memory, episode by episode: what `scratch`, `multitask` and `oracle` are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import optax
from gymnasium import spaces

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
from rl_meta.policies.layers import Activation, functional
from rl_meta.policies.normaliser import Normaliser
from rl_meta.policies.spaces import distribution, head_sizes, layout
from rl_meta.settings import Count
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Inputs, Key, PyTree, Step

BLOCK_ROWS = 4096
"""Rows whose activations fit the caches of two cores, and whose products are large enough to be shared by them."""


@dataclass(frozen=True)
class FeedForwardPPO(PPO):
    """Settings of PPO with separate feed-forward policy and value networks."""

    hidden: tuple[Count, ...] = (64, 64)
    """Widths of the hidden layers of both networks."""
    activation: Activation = "tanh"
    """Of the hidden layers."""


@dataclass(frozen=True)
class Learner:
    """PPO on the spaces of one family, as pure functions."""

    settings: FeedForwardPPO
    obs_space: spaces.Space
    action_space: spaces.Space
    optimiser: optax.GradientTransformation
    init_network: Callable[[Key], PyTree]
    """(key) -> parameters."""
    network_of: Callable[[PyTree], FeedForwardActorCritic]
    """(parameters) -> network."""

    def init(self, key: Key) -> PolicyState:
        """With a new network."""
        return self.start(PolicyParams(self.init_network(key), Normaliser.unit(self.obs_space)))

    def start(self, params: PolicyParams) -> PolicyState:
        """Going on from these parameters, with a new optimiser."""
        return PolicyState(params, self.optimiser.init(params.network))

    def act(self, key: Key | None, params: PolicyParams, inputs: Inputs) -> tuple[PyTree, Array]:
        """An action and its log-probability."""
        seen = params.normaliser.see(self.obs_space, inputs.obs)
        policy = distribution(self.action_space, self.network_of(params.network).policy(seen))
        action = policy.sample(key)
        return action, policy.log_prob(action)

    def improve(self, key: Key, state: PolicyState, steps: Step) -> tuple[PolicyState, Info]:
        """From steps [B, T], whose `extras` are the log-probabilities."""
        params = state.params
        value, next_value = self.values(params, steps.inputs.obs), self.values(params, steps.next_obs)
        advantage = self.advantages(steps, value, next_value)
        network, optimiser_state, info = descend(
            key,
            params.network,
            state.optimiser,
            self.rows(params.normaliser, steps, value, advantage),
            settings=self.settings,
            optimiser=self.optimiser,
            loss=self.loss,
            block=block_rows(),
        )
        target = advantage + value
        params = PolicyParams(network, params.normaliser)
        if self.settings.normalise:
            params = after_seeing(params, self.obs_space, steps, target)
        return PolicyState(params, optimiser_state), {**info, "explained_variance": explained_variance(value, target)}

    def act_adapted(
        self, key: Key | None, params: PyTree, adapted: PolicyState, memory: PyTree, inputs: Inputs
    ) -> tuple[PyTree, PyTree, Array]:
        """The `act` of an `Adapter` whose `adapted` is this learner's state."""
        return memory, *self.act(key, adapted.params, inputs)

    def learn(self, key: Key | None, params: PyTree, adapted: PolicyState, steps: Step) -> PolicyState:
        """The `learn` of such an `Adapter`."""
        return self.improve(jax.random.key(0) if key is None else key, adapted, steps)[0]

    def values(self, params: PolicyParams, obs: PyTree) -> Array:
        """[B, T] of observations [B, T, ...], in the units of rewards."""
        target, seen = params.normaliser.target, params.normaliser.see(self.obs_space, obs)
        value = _in_blocks(self.network_of(params.network).value, seen.reshape(-1, seen.shape[-1]))
        return target.mean + target.std * value.reshape(seen.shape[:-1])

    def advantages(self, steps: Step, value: Array, next_value: Array) -> Array:
        """[B, T], episode by episode."""
        estimate = partial(gae, discount=self.settings.discount, trace=self.settings.trace)
        return jax.vmap(estimate)(steps.reward, value, next_value, steps.terminated, steps.terminated | steps.truncated)

    def rows(self, normaliser: Normaliser, steps: Step, value: Array, advantage: Array) -> Rows:
        """[B T, ...]: every step by itself."""
        rows = rows_from(
            normaliser,
            floor=self.settings.advantage_floor,
            seen=normaliser.see(self.obs_space, steps.inputs.obs),
            memory=(),
            action=steps.action,
            decision=Decision(steps.extras, value),
            advantage=advantage,
        )
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)

    def loss(self, network: PyTree, rows: Rows) -> tuple[Array, Info]:
        """Of a minibatch."""
        settings, action_space = self.settings, self.action_space
        return ppo_loss(network, rows, settings=settings, evaluate=self.evaluate, action_space=action_space)

    def evaluate(self, network: PyTree, rows: Rows) -> tuple[Array, Array]:
        """Parameters of the policy and values, of rows."""
        network = self.network_of(network)
        return network.policy(rows.seen), network.value(rows.seen)


def feed_forward_ppo(settings: FeedForwardPPO, family: Family, iterations: int) -> Learner:
    """A learner for the spaces of `family`, to be improved so many times."""
    obs_space, action_space = family.observation_space, family.action_space
    sizes = layout(obs_space), settings.hidden, head_sizes(action_space)
    make = lambda key: FeedForwardActorCritic(*sizes, activation=settings.activation, key=key)
    return Learner(settings, obs_space, action_space, settings.optimiser(iterations), *functional(make))


def block_rows() -> int | None:
    """How many rows to compute at once; None: as many as there are."""
    return BLOCK_ROWS if jax.default_backend() == "cpu" else None


def _in_blocks(function: Callable[[Array], Array], x: Array) -> Array:
    """A row-wise function of x [B, ...], computed block by block where that is faster."""
    block = block_rows()
    if not block or len(x) <= block or len(x) % block:
        return function(x)
    return jax.lax.map(function, x.reshape(-1, block, *x.shape[1:])).reshape(-1)
