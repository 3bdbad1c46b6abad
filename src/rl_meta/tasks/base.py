"""What a family of tasks is, and how its splits are kept apart."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
from gymnasium import spaces

from rl_meta.errors import unknown
from rl_meta.types import Array, Key, PyTree

SPLITS = ("train", "validation", "test", "extrapolation")
"""Disjoint. `validation` is for tuning; `extrapolation`, where a family has it, lies outside of the
region of the other three."""


class Transition(NamedTuple):
    """What `Family.step` returns. `terminated` and `truncated` are never both true."""

    state: PyTree
    obs: PyTree
    reward: Array
    terminated: Array
    truncated: Array
    measured: PyTree = ()
    """By name, what the family measures beside the reward (`tasks.measures`); `()` where it measures nothing."""


@runtime_checkable
class Family(Protocol):
    """A distribution over tasks with one observation and one action space: all that a method knows of it.

    A family is a frozen dataclass; its fields are its settings (sizes, ranges, conventions) and appear
    on the command line as `--family.FIELD`. Where its environments are decides what it has besides: `reset` and
    `step` on the device (`DeviceFamily`), `make_envs` on the host (`tasks.envs.HostFamily`).
    """

    @property
    def observation_space(self) -> spaces.Space:
        """Of one observation: Box, Discrete, MultiDiscrete or a Dict of them."""

    @property
    def action_space(self) -> spaces.Space:
        """Of one action: Box or Discrete. Actions arrive inside it."""

    @property
    def task_space(self) -> spaces.Dict:
        """Name, shape and bounds of every hidden parameter, in the order of the task's fields."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Which of `SPLITS` this family has."""

    @property
    def horizon(self) -> int:
        """Steps after which `step` truncates an episode."""

    @property
    def episodes(self) -> int:
        """Full-length episodes of an ordinary lifetime, by the convention of the field."""

    def sample(self, key: Key, split: str = "train") -> PyTree:
        """One task of a split, by JAX: a NamedTuple with the fields of `task_space`."""


@runtime_checkable
class DeviceFamily(Family, Protocol):
    """A family in pure JAX. All methods are unbatched and free of side effects."""

    def reset(self, key: Key, task: PyTree) -> tuple[PyTree, PyTree]:
        """The state and observation at the start of an episode."""

    def step(self, key: Key, state: PyTree, action: PyTree, task: PyTree) -> Transition:
        """One step. After the end of an episode the state is not used again."""


def split_key(key: Key, split: str, known: tuple[str, ...] = SPLITS[:3]) -> Key:
    """A stream of random numbers of this split's own: for families whose splits differ by seed alone.

    Such a family draws every split from one distribution (so that exact values known for that
    distribution hold in the test split) and never the same task twice where the tasks are continuous.
    """
    if split not in known:
        raise unknown("split", split, known)
    return jax.random.fold_in(key, SPLITS.index(split))


def draw_tasks(family: Family, key: Key, count: int, split: str = "train") -> PyTree:
    """`count` independent tasks of a split, [count, ...]."""
    if split not in family.splits:
        raise unknown(f"split of {type(family).__name__}", split, family.splits)
    return jax.vmap(lambda k: family.sample(k, split))(jax.random.split(key, count))
