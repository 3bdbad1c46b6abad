"""HyperX: exploration in approximate hyper-state space for meta reinforcement learning (Zintgraf et al. 2021).

Early in meta-training VariBAD has two reasons not to explore: where rewards are sparse no return asks for it, and its
beliefs say nothing yet. Two bonuses are added to the reward that the policy learns from, and fall away as training
goes on:

    r_t + (1 − k / iterations) · [λ_novelty · novelty(s_{t+1}, b_{t+1}) + λ_error · error_t]

novelty   of the pair of observation and belief: how badly a network predicts, there, the output of another network
          that is random and fixed (random network distillation; Burda et al. 2019)
error     of the model in predicting the step just lived, from a latent drawn from the belief right after it: where
          that is large the belief cannot be relied on yet

Either is divided by the standard deviation of its discounted sums over lifetimes, so that its weight is in the same
units on every family.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rl_meta.algorithms.elbo import Evidence, squared_error
from rl_meta.numerics.distributions import DiagonalNormal
from rl_meta.numerics.moments import Moments
from rl_meta.numerics.returns import gae
from rl_meta.numerics.shuffling import shuffled
from rl_meta.policies.layers import MLP, functional
from rl_meta.policies.task_model import TaskModel
from rl_meta.settings import is_off
from rl_meta.types import Array, Info, Key, PyTree

WIDTHS = (64, 64)
FEATURES = 32
"""Of the networks of random network distillation."""
LEARNING_RATE = 1e-4
MINIBATCHES = 4
"""Steps of Adam per iteration, each on new rows."""
LIMIT = 10.0
"""No bonus is larger, before its weight."""


class BonusState(NamedTuple):
    """What the bonuses need next time; `()` in place of what is off."""

    iteration: Array
    novelty: PyTree
    """`Distillation`."""
    novelty_sums: Moments
    """Of discounted sums of novelty."""
    error_sums: Moments


class Lived(NamedTuple):
    """What bonuses are paid for: B lifetimes of L steps."""

    reached: Array
    """[B, L, in] What the policy reads of the next observation, before any reset, and the belief after the step."""
    beliefs: DiagonalNormal
    """[B, L, d] After the steps."""
    evidence: Evidence


class Bonus(NamedTuple):
    """Two pure functions."""

    init: Callable[[Key], PyTree]
    """(key) -> state."""
    pay: Callable[..., tuple[Any, PyTree, Info]]
    """(key, state, model, lived) -> bonus [B, L] that is added to the rewards, state, info."""


class Distillation(NamedTuple):
    """Random network distillation: `target` stays as it is, `predictor` learns to be like it."""

    target: PyTree
    predictor: PyTree
    optimiser: PyTree


def no_bonus() -> Bonus:
    """Plain VariBAD."""
    return Bonus(lambda key: (), lambda key, state, model, lived: (0.0, (), {}))


def hyperx(
    novelty_weight: float | Array,
    error_weight: float | Array,
    *,
    size: int,
    transition_weight: float | Array,
    discount: float | Array,
    iterations: int,
) -> Bonus:
    """size: of `Lived.reached`. What has no weight costs nothing."""
    seek_novelty, seek_error = not is_off(novelty_weight), not is_off(error_weight)
    if not (seek_novelty or seek_error):
        return no_bonus()
    init_distillation, novelty, distil = _distillation(size)

    def init(key: Key) -> BonusState:
        distillation = init_distillation(key) if seek_novelty else ()
        return BonusState(jnp.array(0), distillation, Moments.unit(), Moments.unit())

    def pay(key: Key, state: BonusState, model: TaskModel, lived: Lived) -> tuple[Array, BonusState, Info]:
        key_error, key_distil = jax.random.split(key)
        bonus, info, after = jnp.zeros(lived.reached.shape[:-1]), {}, state._replace(iteration=state.iteration + 1)
        if seek_novelty:
            scaled, sums = in_units(novelty(state.novelty, lived.reached), state.novelty_sums, discount)
            bonus = bonus + novelty_weight * scaled
            info["novelty"] = scaled.mean()
            after = after._replace(novelty=distil(key_distil, state.novelty, lived.reached), novelty_sums=sums)
        if seek_error:
            error = prediction_error(key_error, model, lived, transition_weight)
            scaled, sums = in_units(error, state.error_sums, discount)
            bonus = bonus + error_weight * scaled
            info["prediction_error"] = scaled.mean()
            after = after._replace(error_sums=sums)
        return annealed(state.iteration, iterations) * bonus, after, info

    return Bonus(init, pay)


def annealed(iteration: Array, iterations: int) -> Array:
    """From 1 in the first iteration linearly to 0 after the last."""
    return jnp.maximum(1 - iteration / iterations, 0.0)


def in_units(bonus: Array, sums: Moments, discount: float | Array) -> tuple[Array, Moments]:
    """[B, L] over the standard deviation of its discounted sums over lifetimes, up to a limit; the sums' moments."""
    nothing, never = jnp.zeros(bonus.shape[1]), jnp.zeros(bonus.shape[1], bool)
    to_come = jax.vmap(lambda b: gae(b, nothing, nothing, never, never, discount=discount, trace=1.0))(bonus)
    sums = sums.merge(Moments.of(to_come.ravel()))
    return jnp.minimum(bonus / sums.std, LIMIT), sums


def prediction_error(key: Key, model: TaskModel, lived: Lived, transition_weight: float | Array) -> Array:
    """[B, L] Of each step, from a latent of the belief right after it; as the ELBO weighs it."""
    alone = lambda x: x[..., None, :]  # one latent, one query
    latents, seen = alone(lived.beliefs.sample(key)), lived.evidence
    error = squared_error(model.reward, latents, alone(seen.outcome), seen.reward[..., None, None])
    if model.transition is not None:
        changes = squared_error(model.transition, latents, alone(seen.choice), alone(seen.change))
        error = error + transition_weight * changes
    return error[..., 0, 0]


def _distillation(size: int) -> tuple[Callable, Callable, Callable]:
    """init: (key) -> Distillation; novelty: (Distillation, x [..., in]) -> [...]; distil: (key, Distillation, x)."""
    init_network, network_of = functional(lambda key: MLP(size, WIDTHS, FEATURES, key=key))
    adam = optax.adam(LEARNING_RATE)

    def init(key: Key) -> Distillation:
        target, predictor = (init_network(k) for k in jax.random.split(key))
        return Distillation(target, predictor, adam.init(predictor))

    def miss(predictor: PyTree, target: PyTree, x: Array) -> Array:
        return jnp.square(network_of(predictor)(x) - network_of(target)(x)).mean(-1)

    def distil(key: Key, state: Distillation, x: Array) -> Distillation:
        rows = x.reshape(-1, x.shape[-1])
        count = len(rows) // MINIBATCHES
        picked = rows[shuffled(key, len(rows))][: count * MINIBATCHES].reshape(MINIBATCHES, count, -1)

        def step(state: Distillation, rows: Array) -> tuple[Distillation, None]:
            gradient = jax.grad(lambda predictor: miss(predictor, state.target, rows).mean())(state.predictor)
            updates, optimiser = adam.update(gradient, state.optimiser, state.predictor)
            return Distillation(state.target, optax.apply_updates(state.predictor, updates), optimiser), None

        return jax.lax.scan(step, state, picked)[0]

    return init, (lambda state, x: miss(state.predictor, state.target, x)), distil
