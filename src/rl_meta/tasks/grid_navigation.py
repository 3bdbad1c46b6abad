"""`grid-navigation`: find a hidden goal cell in an empty grid, then go there straight in later episodes.

GridNavi of Zintgraf et al. (2020), "VariBAD: A Very Good Method for Bayes-Adaptive Deep RL via
Meta-Learning", section 5.1. In the default family one who knew the goal earns 11.0714 per episode; the
Bayes-optimal agent earns 4.0000 in the first episode, which searches 14 of the 21 goals, and 11.0714 in each
later one, because the other seven can lie on one shortest path.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.settings import Count, Range, check_settings
from rl_meta.tasks.base import SPLITS, Transition, split_key
from rl_meta.tasks.drawing import Disc, Line, Mark, Polygon, box
from rl_meta.types import Array, Key

MOVES = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
"""(x, y) of the actions stay, up, right, down, left."""
STEP_COST = 0.1
HELD_OUT_SEED = 0


class GridTask(NamedTuple):
    """Hidden parameters."""

    goal: Array
    """[2] Cell (x, y)."""


class GridState(NamedTuple):
    """Cell (x, y) [2], and the steps since the episode began."""

    position: Array
    time: Array


def move(position: Array, action: Array, size: int) -> Array:
    """The cell [2] that an action leads to; moves off the grid stay."""
    return jnp.clip(position + jnp.array(MOVES)[action], 0, size - 1)


@dataclass(frozen=True)
class GridNavigation:
    """Start in the corner (0, 0); reward 1 for every step that ends at the goal, -0.1 for any other."""

    size: Annotated[int, Range(3)] = 5
    """Cells along a side."""
    horizon: Count = 15
    """Steps after which an episode is truncated."""
    held_out: Annotated[int, Range(0)] = 0
    """Goals that only the test split has; with 0, as in VariBAD, all splits have all goals."""

    splits = SPLITS[:3]
    episodes = 4

    def __post_init__(self) -> None:
        """Refuse to hold out every goal."""
        check_settings(self)
        if self.held_out >= len(self.goals):
            most = len(self.goals) - 1
            raise UserError(f"GridNavigation.held_out must be at most {most}, got {self.held_out}")

    @property
    def goals(self) -> np.ndarray:
        """Every possible goal [goals, 2]: all cells but the start and its neighbours, diagonals included."""
        cells = [(x, y) for x in range(self.size) for y in range(self.size) if max(x, y) > 1]
        return np.array(cells, np.int32)

    @property
    def observation_space(self) -> spaces.MultiDiscrete:
        """The cell (x, y)."""
        return spaces.MultiDiscrete([self.size, self.size], dtype=np.int32)

    @property
    def action_space(self) -> spaces.Discrete:
        """See `MOVES`."""
        return spaces.Discrete(len(MOVES))

    @property
    def task_space(self) -> spaces.Dict:
        """See `GridTask`."""
        return spaces.Dict([("goal", spaces.Box(0, self.size - 1, (2,), np.int32))])

    def sample(self, key: Key, split: str = "train") -> GridTask:
        """Uniform over the split's goals."""
        key = split_key(key, split)
        goals = np.random.default_rng(HELD_OUT_SEED).permutation(self.goals)
        if self.held_out:
            goals = goals[: self.held_out] if split == "test" else goals[self.held_out :]
        return GridTask(jnp.array(goals)[jax.random.randint(key, (), 0, len(goals))])

    def reset(self, key: Key, task: GridTask) -> tuple[GridState, Array]:
        """In the corner."""
        start = jnp.zeros(2, jnp.int32)
        return GridState(start, jnp.array(0)), start

    def step(self, key: Key, state: GridState, action: Array, task: GridTask) -> Transition:
        """Move; being at the goal ends nothing."""
        position = move(state.position, action, self.size)
        reward = jnp.where((position == task.goal).all(), 1.0, -STEP_COST)
        time = state.time + 1
        return Transition(GridState(position, time), position, reward, jnp.zeros((), bool), time >= self.horizon)

    @property
    def window(self) -> tuple[float, float, float, float]:
        """The grid; a cell is one unit wide, and its coordinates are those of its middle."""
        return -0.6, self.size - 0.4, -0.6, self.size - 0.4

    def draw(self, state: GridState, task: GridTask) -> list[Mark]:
        """Grid, goal and agent."""
        edges, end = np.arange(self.size + 1) - 0.5, self.size - 0.5
        lines: list[Mark] = [Line([(-0.5, edge), (end, edge)], "scene") for edge in edges]
        lines += [Line([(edge, -0.5), (edge, end)], "scene") for edge in edges]
        return [*lines, Polygon(box(np.asarray(task.goal), 0.8, 0.8), "goal"), Disc(np.asarray(state.position), 0.28)]
