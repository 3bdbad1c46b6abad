"""How a task model learns from lifetimes: the evidence lower bound of VariBAD (Zintgraf et al. 2020, section 3).

For every time t, a latent drawn from the belief of that time has to predict *all* steps of the lifetime, those before
t and those to come, and a change of the belief costs the divergence from the belief before:

    ELBO_t = E_{m ~ q_t} [ Σ_i log p(r_i, s_{i+1} | s_i, a_i, m) ] − KL(q_t ‖ q_{t−1}),    q_{−1} = N(0, I)

(eqs. 8 to 10). With normal predictions, log p is minus a squared error, up to constants that the weights stand for.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium import spaces

from rl_meta.axes import as_sequences, per_copy
from rl_meta.numerics.variational import kl_to_previous, stratified_indices
from rl_meta.policies.layout import Layout
from rl_meta.policies.normaliser import Normaliser
from rl_meta.policies.spaces import flat_size, flatten_action, layout
from rl_meta.policies.task_model import Decoder, TaskModel
from rl_meta.types import Array, Info, Inputs, Key, Lifetimes


class Evidence(NamedTuple):
    """Lifetimes of L steps as the model reads them, in standard deviations of observations and rewards."""

    seen: Array
    """[B, L + 1, ...] Before every step, and after the last one."""
    outcome: Array
    """[B, L, ...] Observation, action and next observation: what a reward is predicted from."""
    choice: Array
    """[B, L, ...] Observation and action: what a change of the observation is predicted from."""
    reward: Array
    """[B, L]"""
    change: Array
    """[B, L, ...] Next observation, before any reset, minus observation; pictures are left out."""


class Weights(NamedTuple):
    """Of the parts of the loss."""

    transition: float | Array
    kl: float | Array


def evidence_sizes(obs_space: spaces.Space, action_space: spaces.Space) -> tuple[Layout, Layout, int]:
    """Of `outcome`, `choice` and `change`."""
    obs, action = layout(obs_space), flat_size(action_space)
    return obs + action + obs, obs + action, len(obs.others)


def records(lifetimes: Lifetimes) -> Inputs:
    """[N C, L + 1, ...] What whole lifetimes showed, last moment included: all that the model learns from."""
    steps, end = as_sequences(lifetimes.steps).inputs, per_copy(lifetimes.end.inputs)
    return jax.tree.map(lambda before, last: jnp.concatenate([before, last[:, None]], 1), steps, end)


def evidence(normaliser: Normaliser, obs_space: spaces.Space, action_space: spaces.Space, inputs: Inputs) -> Evidence:
    """inputs: as `records` makes them."""
    before, after = jax.tree.map(lambda x: x[:, :-1], inputs), jax.tree.map(lambda x: x[:, 1:], inputs)
    obs, reached = normaliser.see(obs_space, before.obs), normaliser.see(obs_space, after.last_result)
    choice = jnp.concatenate([obs, flatten_action(action_space, after.last_action)], -1)
    return Evidence(
        normaliser.see_all(obs_space, action_space, inputs),
        jnp.concatenate([choice, reached], -1),
        choice,
        after.last_reward / normaliser.reward.std,
        layout(obs_space).without_pictures(reached - obs),
    )


def negative_elbo(
    key: Key, model: TaskModel, evidence: Evidence, *, weights: Weights, terms: int | None, decoded: int | None
) -> tuple[Array, Info]:
    """Minus the mean of ELBO_t over lifetimes and times, per step, from one latent per belief.

    terms, decoded: how many beliefs to decode from, and how many steps to decode from each; None: all. Both are
    drawn evenly over the lifetime, the estimate is unbiased.
    """
    key_terms, key_decoded, key_latent = jax.random.split(key, 3)
    length = evidence.reward.shape[1]
    beliefs = model.encoder.unroll(jnp.swapaxes(evidence.seen, 0, 1))  # [L + 1, B, d]
    kl = kl_to_previous(beliefs).mean()
    times = stratified_indices(key_terms, length + 1, min(terms or length + 1, length + 1))
    steps = stratified_indices(key_decoded, length, min(decoded or length, length))
    latents = jax.tree.map(lambda x: jnp.swapaxes(x[times], 0, 1), beliefs).sample(key_latent)
    at_steps = jax.tree.map(lambda x: x[:, steps], evidence)
    reward_error = squared_error(model.reward, latents, at_steps.outcome, at_steps.reward[..., None]).mean()
    loss = reward_error + weights.kl * kl / length
    info = {"reward_error": reward_error, "belief_kl": kl}
    if model.transition is not None:
        transition_error = squared_error(model.transition, latents, at_steps.choice, at_steps.change).mean()
        loss = loss + weights.transition * transition_error
        info["transition_error"] = transition_error
    return loss, info | {"vae_loss": loss}


def squared_error(decoder: Decoder, latents: Array, queries: Array, targets: Array) -> Array:
    """[..., K, d], [..., M, query], [..., M, out] -> [..., K, M], summed over the outputs."""
    return jnp.square(decoder(latents, queries) - targets[..., None, :, :]).sum(-1)
