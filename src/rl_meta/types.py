"""What an agent lives through. Three clocks, and the axes in which everything is laid out.

    meta_params   what is learned across tasks                 changes once per iteration
    adapted       what the agent has made of them in a task    changes once per stage       [N, ...]
    memory        what it carries from step to step            changes once per step        [N, C, ...]

Axes, everywhere and in this order: N tasks, S stages, C copies, T time, then features.

    task      one environment with its hidden parameters fixed
    lifetime  all that an agent lives through in one task: S stages
    stage     a stretch of T steps per copy (episodes restart inside it); after it the agent may learn
    copy      one of C parallel copies of the environment in the same task and stage
"""

from typing import Any, NamedTuple

import jax

Array = jax.Array
Key = jax.Array
PyTree = Any


class Inputs(NamedTuple):
    """What an agent sees before it acts. At birth the `last_*` are zeros and `first` is true."""

    obs: PyTree
    """Observation of the state it is in (after an auto-reset: the new episode's first one)."""
    first: Array
    """bool: first step of an episode."""
    last_action: PyTree
    last_reward: Array
    last_result: PyTree
    """The observation that the last action led to; differs from `obs` only when `first`."""


class Step(NamedTuple):
    """One environment step. Every recorded step is real: there is no padding and no dead step."""

    inputs: Inputs
    action: PyTree
    """As the agent drew it, an index or a vector; it is brought into its space only on the way to the environment."""
    extras: PyTree
    """Whatever `act` wants its own `learn` and `update` to see (log-probability, value, ...)."""
    reward: Array
    next_obs: PyTree
    """Before any auto-reset: what a value function may be bootstrapped from."""
    terminated: Array
    """bool: the task ended the episode."""
    truncated: Array
    """bool: a time limit or the end of the stage did (never together with `terminated`)."""
    measured: PyTree = ()
    """By name, what the family measures beside the reward (`tasks.measures`); `()` where it measures nothing, and where
    an agent looks: `learn` and `update` are not told."""


class Live(NamedTuple):
    """N lifetimes, paused between two stages: all that is needed to go on."""

    key: Key
    """[N] Fixed at birth; with `stage` it determines every later random number of the lifetime."""
    task: PyTree
    """[N, ...]"""
    stage: Array
    """[N] Stages lived so far."""
    adapted: PyTree
    """[N, ...]"""
    memory: PyTree
    """[N, C, ...]"""
    inputs: Inputs
    """[N, C, ...] What the agent sees next."""
    env: PyTree
    """[N, C, ...] Environment state; `()` when the environment lives outside JAX."""


class Lifetimes(NamedTuple):
    """A segment of N lifetimes; whole lifetimes when the segment is as long as they are."""

    start: Live
    """Whose segment this is (`task`, `memory`) and where it begins (`stage`)."""
    steps: Step
    """[N, S, C, T, ...]"""
    end: Live
    """`end.adapted` is after the last `learn`; `end.inputs` is what the next step would see."""
    over: Array
    """[N] bool: the lifetime ended with this segment: there is nothing to bootstrap from."""


Info = dict[str, Array]
"""Named scalars (or small arrays) that a person wants to see of an update."""
