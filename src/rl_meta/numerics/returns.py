"""Returns and advantages of one sequence [T]."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def gae(
    reward: Float[Array, " T"],
    value: Float[Array, " T"],
    next_value: Float[Array, " T"],
    terminal: Bool[Array, " T"],
    cut: Bool[Array, " T"],
    *,
    discount: float | Float[Array, ""] | Float[Array, " T"],
    trace: float | Array,
) -> Float[Array, " T"]:
    """Generalised advantages (Schulman et al. 2016, eq. 16), with the end of the world and the end of the sum apart.

    Â_t = δ_t + γλ (1 − cut_t) Â_{t+1},    δ_t = r_t + γ (1 − terminal_t) V'_t − V_t.

    Episode by episode (PPO, MAML):  V'_t = V(next_obs_t), terminal = terminated, cut = terminated | truncated.
    Over the lifetime (RL²):         V'_t = V_{t+1}, seen after any reset; no bounds, γ_t says where nothing follows.

    γ may differ from step to step ([T]): see `lifetime_discounts`.
    """
    delta = reward + discount * jnp.where(terminal, 0.0, next_value) - value
    decay = discount * trace * jnp.where(cut, 0.0, 1.0)

    def back(later: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, decay = now
        advantage = delta + decay * later
        return advantage, advantage

    # flipped rather than reverse=True: exporters to ONNX know no reverse scan, and `learn` is exported
    _, flipped = jax.lax.scan(back, jnp.zeros((), delta.dtype), (delta[::-1], decay[::-1]))
    return flipped[::-1]


def lifetime_discounts(
    terminated: Bool[Array, " T"],
    time: Int[Array, " T"],
    *,
    over: bool | Bool[Array, ""],
    discount: float | Array,
    horizon: int,
) -> Float[Array, " T"]:
    """γ_t over a lifetime whose episodes begin anew as soon as they end; `time`: steps since the episode began.

    γ_t = γ, and γ^(H − time_t) where the episode terminated: it forfeits the rest of its H steps, and what comes
    after it is as far away as if that time had passed. This is the objective of trials with a fixed number of
    episodes. With γ throughout, ending early would buy a new episode: where survival pays, every policy would
    be worth the same.

    over: the lifetime ends with this sequence. γ_t = 0 at its last step, and where the forfeited time is all that is
    left: what is done with it then pays for itself only, and the last episode is worth surviving to its last step.
    """
    away = jnp.where(terminated, jnp.maximum(horizon - time, 1), 1)
    left = jnp.arange(len(time), 0, -1)
    return jnp.where(over & (away >= left), 0.0, discount**away)


def episode_returns(
    reward: Float[Array, " T"], done: Bool[Array, " T"]
) -> tuple[Float[Array, " T"], Bool[Array, " T"]]:
    """Undiscounted reward from every step to the end of its episode, and whether that end is in the sequence.

    At the first step of an episode this is the episode's return.
    """
    return summed_to_end("sum", reward, done)


def summed_to_end(
    how: str, x: Float[Array, " T"], done: Bool[Array, " T"]
) -> tuple[Float[Array, " T"], Bool[Array, " T"]]:
    """What the steps from every one to the end of its episode come to, and whether that end is in the sequence.

    how: `sum`, `mean`, `max` or `last`, as `tasks.measures` says it.
    """
    if how == "mean":
        (total, ends), (steps, _) = (summed_to_end("sum", y, done) for y in (x, jnp.ones_like(x)))
        return total / steps, ends
    hows: dict[str, Callable[[Array, Array], Array]]
    hows = {"sum": jnp.add, "max": jnp.maximum, "last": lambda _, later: later}
    joined = hows[how]

    def back(later: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple]:
        (rest, ends), (x, done) = later, now
        here = jnp.where(done, x, joined(x, rest)), done | ends
        return here, here

    start = jnp.zeros((), x.dtype), jnp.array(False)  # noqa: FBT003 (an array's value)
    return jax.lax.scan(back, start, (x, done), reverse=True)[1]


def episode_time(first: Bool[Array, " T"]) -> Int[Array, " T"]:
    """Steps since the episode began, 0 at its first step; the sequence begins with an episode."""

    def count(time: Array, first: Array) -> tuple[Array, Array]:
        time = jnp.where(first, 0, time + 1)
        return time, time

    return jax.lax.scan(count, jnp.array(-1, jnp.int32), first)[1]
