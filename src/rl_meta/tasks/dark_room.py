"""`dark-room`: find the one cell of a room that pays, seeing nothing but one's own position.

Laskin et al. (2022), "In-context Reinforcement Learning with Algorithm Distillation". One who
knew that the goal is d moves away earns `horizon + 1 - d` per episode, 16.5 on average in the default room.
"""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.settings import Count, Range, check_settings
from rl_meta.tasks.base import SPLITS, Transition, split_key
from rl_meta.tasks.grid_navigation import MOVES, GridState, GridTask, move
from rl_meta.types import Array, Key

SHARES = {"train": (0.0, 0.8), "validation": (0.8, 0.88), "test": (0.88, 1.0)}
"""Where each split begins and ends among the shuffled goals."""
SHUFFLE_SEED = 0


@dataclass(frozen=True)
class DarkRoom:
    """Start in the middle; reward 1 for every step that ends at the goal."""

    size: Annotated[int, Range(3)] = 9
    """Cells along a side."""
    horizon: Count = 20
    """Steps after which an episode is truncated."""

    splits = SPLITS[:3]
    episodes = 10

    def __post_init__(self) -> None:
        """Refuse rooms too small for three splits."""
        check_settings(self)

    def goals(self, split: str) -> np.ndarray:
        """The goals [goals, 2] of a split, together every cell but the start, each in one split."""
        middle = self.size // 2
        cells = [(x, y) for x in range(self.size) for y in range(self.size) if (x, y) != (middle, middle)]
        shuffled = np.random.default_rng(SHUFFLE_SEED).permutation(np.array(cells, np.int32))
        first, last = (round(share * len(cells)) for share in SHARES[split])
        return shuffled[first:last]

    @property
    def observation_space(self) -> spaces.MultiDiscrete:
        """The cell (x, y)."""
        return spaces.MultiDiscrete([self.size, self.size], dtype=np.int32)

    @property
    def action_space(self) -> spaces.Discrete:
        """See `grid_navigation.MOVES`."""
        return spaces.Discrete(len(MOVES))

    @property
    def task_space(self) -> spaces.Dict:
        """See `GridTask`."""
        return spaces.Dict([("goal", spaces.Box(0, self.size - 1, (2,), np.int32))])

    def sample(self, key: Key, split: str = "train") -> GridTask:
        """Uniform over the split's goals."""
        key = split_key(key, split)
        goals = self.goals(split)
        return GridTask(jnp.array(goals)[jax.random.randint(key, (), 0, len(goals))])

    def reset(self, key: Key, task: GridTask) -> tuple[GridState, Array]:
        """In the middle."""
        start = jnp.full(2, self.size // 2, jnp.int32)
        return GridState(start, jnp.array(0)), start

    def step(self, key: Key, state: GridState, action: Array, task: GridTask) -> Transition:
        """Move; being at the goal ends nothing."""
        position = move(state.position, action, self.size)
        reward = (position == task.goal).all().astype(float)
        time = state.time + 1
        return Transition(GridState(position, time), position, reward, jnp.zeros((), bool), time >= self.horizon)
