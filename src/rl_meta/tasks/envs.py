"""Families whose environments live outside JAX, on the host, and the environments that they make."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.tasks.base import DeviceFamily, Family
from rl_meta.types import Array, Key, PyTree


class Outcome(NamedTuple):
    """What a step of B environments led to; NumPy arrays. The end of an episode has been followed by a reset."""

    obs: PyTree
    """[B, ...] What the agents see next: where an episode ended, the first observation of the following one, unless the
    lifetime has ended too."""
    next_obs: PyTree
    """[B, ...] Before any reset."""
    reward: np.ndarray
    """[B] float32"""
    terminated: np.ndarray
    """[B] bool"""
    truncated: np.ndarray
    """[B] bool, never together with `terminated`."""
    lost: np.ndarray | None = None
    """[B] bool: the environment died and was made anew; what is told of it is no step at all. None: none did."""
    measured: PyTree = ()
    """By name, [B] float32 of every measure of the family (`tasks.measures`); () where it has none."""


@runtime_checkable
class Envs(Protocol):
    """B environments, copies of one task side by side. They remember their state: nothing here is pure."""

    wants_keys: bool
    """Are `send` and `begin` to be given keys? Where not, random numbers follow from the seeds given at birth."""

    def begin(self, born: np.ndarray, tasks: PyTree, seeds: np.ndarray, keys: Key | None) -> PyTree:
        """Where `born` [B], put the environment into its task and reset it; the observations [B, ...] of all.

        Args:
            born: [B] bool.
            tasks: [B, ...] NumPy.
            seeds: [B] uint32, below 2³¹; a function of `keys`.
            keys: [B]
        """

    def send(self, action: np.ndarray, keys: Key | None, *, cut: bool, final: np.ndarray | None = None) -> None:
        """Start a step.

        Args:
            action: [B, ...] in the action space.
            keys: [B, 2] of the step and of the reset that may follow it.
            cut: truncate every episode after this step.
            final: [B] bool, whose lifetime ends with this step: nothing that follows it there is of use, so that a
                reset may be left out. None: no one's.
        """

    def receive(self) -> Outcome:
        """Wait until the step is done."""

    def close(self) -> None:
        """Let go of processes and windows."""


@runtime_checkable
class HostFamily(Family, Protocol):
    """A family whose environments are Python objects. Its tasks are drawn by JAX all the same: pytrees of numbers."""

    @property
    def overlaps(self) -> bool:
        """Are environments stepped in other processes, so that some can act while others are stepped?"""

    def make_envs(self, count: int) -> Envs:
        """So many environments, not yet in any task."""


def on_host(family: Family) -> HostFamily | None:
    """The family, if its environments are outside JAX."""
    return family if hasattr(family, "make_envs") else None  # type: ignore[return-value]


def on_device(family: Family) -> DeviceFamily:
    """The family, which must be in pure JAX.

    Raises:
        UserError: its environments are outside JAX.
    """
    if not isinstance(family, DeviceFamily):
        raise UserError(f"{type(family).__name__} has no `reset` and `step` in JAX: expected a family on the device")
    return family


def batched(space: spaces.Space, observations: list[Any]) -> PyTree:
    """Observations [B] of one environment each as arrays [B, ...] in the types that JAX has."""
    if isinstance(space, spaces.Dict):
        return {name: batched(part, [obs[name] for obs in observations]) for name, part in space.items()}
    return np.asarray(observations, as_in_jax(space.dtype))


def as_in_jax(dtype: Any) -> np.dtype:
    """The type without what JAX does without: 64 bits."""
    dtype = np.dtype(dtype)
    return np.dtype(f"{dtype.kind}4") if dtype.kind in "iuf" and dtype.itemsize == 8 else dtype


def rows_of(tree: PyTree, index: int) -> PyTree:
    """One row of a batch of NumPy arrays."""
    if isinstance(tree, dict):
        return {name: rows_of(part, index) for name, part in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(rows_of(part, index) for part in tree))
    return tree[index]


def seeds_of(bits: Array | np.ndarray) -> np.ndarray:
    """Random bits [...] uint32 as seeds that every environment accepts."""
    return np.asarray(bits) >> 1
