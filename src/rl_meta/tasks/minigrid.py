"""`minigrid`: a room of MiniGrid with objects, one of which pays; which one, a hidden rule of the task says.

A rule names a kind, a colour or both: any key pays, or anything red, or the red key alone. There are 27. Which
things there are, and where, is drawn anew in every episode; exactly one of them fits the rule.
Needs `pip install 'rl-meta[minigrid]'`. See Chevalier-Boisvert et al. (2023), "Minigrid & Miniworld".
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.settings import Count, Range
from rl_meta.tasks.gymnasium_world import Simulated, World
from rl_meta.tasks.sources import Columns, Table, split_rows
from rl_meta.types import Key, PyTree

KINDS = ("key", "ball", "box")
COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
VIEW = 5
"""Cells that the agent sees ahead, and to both sides together."""
RULES = [(kind, colour) for kind in range(len(KINDS) + 1) for colour in range(len(COLOURS) + 1) if kind or colour]
"""Kind and colour of what pays, counted from 1; 0: any."""


def fits(rule: tuple[int, int], kind: str, colour: str) -> bool:
    """Does an object pay?"""
    return rule[0] in (0, 1 + KINDS.index(kind)) and rule[1] in (0, 1 + COLOURS.index(colour))


@dataclass(frozen=True)
class MiniGridRules(Simulated):
    """Pick up the object that pays, by a rule to find out: +1 less what the time costs. Any object ends the episode."""

    size: Annotated[int, Range(5)] = 6
    """Cells along a side of the room, walls included."""
    objects: Annotated[int, Range(2, 8)] = 4
    """In the room, one of which pays."""
    horizon: Count = 40
    """Steps after which an episode is truncated."""
    episodes: Count = 6
    """Full-length episodes of an ordinary lifetime."""

    measures = ("success=max",)
    action_space: ClassVar[spaces.Discrete] = spaces.Discrete(4)  # turn left, turn right, go ahead, pick up

    @property
    def observation_space(self) -> spaces.MultiDiscrete:
        """Kind (0: nothing or unknown, 1: wall) and colour (0: none) of every cell in view.

        Raises:
            UserError: MiniGrid is missing.
        """
        if find_spec("minigrid") is None:
            raise UserError("MiniGrid is missing: pip install 'rl-meta[minigrid]'")
        return spaces.MultiDiscrete([2 + len(KINDS), 1 + len(COLOURS)] * VIEW**2)

    @property
    def _rules(self) -> Table:
        kinds, colours = np.array(RULES, np.int32).T
        columns: Columns = {
            "kind": (spaces.Discrete(1 + len(KINDS)), kinds),
            "colour": (spaces.Discrete(1 + len(COLOURS)), colours),
        }
        return Table(columns, split_rows(len(RULES), [None] * len(RULES)), lambda task: task._asdict())

    @property
    def task_space(self) -> spaces.Dict:
        """Kind and colour of what pays; 0: any."""
        return self._rules.task_space

    @property
    def splits(self) -> tuple[str, ...]:
        """Rules that are tested are not among those trained on."""
        return self._rules.splits

    def sample(self, key: Key, split: str = "train") -> PyTree:
        """A rule."""
        return self._rules.sample(key, split)

    @property
    def world(self) -> World:
        """A room."""
        make = partial(_made, self.size, self.objects, self.horizon)
        return World(make, {}, _set_rule, self._rules.values, measures=("success",))


def _made(size: int, objects: int, horizon: int) -> gymnasium.Env:
    return _room()(size, objects, horizon)


def _set_rule(env: gymnasium.Env, values: Mapping[str, Any]) -> None:
    env.unwrapped.rule = int(values["kind"]), int(values["colour"])  # type: ignore[attr-defined]


@cache
def _room() -> Callable[[int, int, int], gymnasium.Env]:
    """The environment, of size, objects and horizon.

    MiniGrid is imported here, for it is an extra. PyGame, which it brings, would greet.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    from minigrid.core.grid import Grid  # noqa: PLC0415 (an extra)
    from minigrid.core.mission import MissionSpace  # noqa: PLC0415
    from minigrid.core.world_object import Ball, Box, Key  # noqa: PLC0415
    from minigrid.minigrid_env import MiniGridEnv  # noqa: PLC0415

    things = dict(zip(KINDS, (Key, Ball, Box), strict=True))
    marks = {"wall": 1, **{kind: index for index, kind in enumerate(KINDS, 2)}}

    class RuleRoom(MiniGridEnv):
        """A room without walls inside. `rule` says what pays, and stays when it is reset."""

        rule = (1, 0)

        def __init__(self, size: int, objects: int, horizon: int) -> None:
            mission = MissionSpace(mission_func=lambda: "find out what pays")
            super().__init__(mission, grid_size=size, max_steps=horizon, see_through_walls=True, agent_view_size=VIEW)
            self._objects = objects

        def _gen_grid(self, width: int, height: int) -> None:
            self.grid = Grid(width, height)
            self.grid.wall_rect(0, 0, width, height)
            every = [(kind, colour) for kind in KINDS for colour in COLOURS]
            paying = [thing for thing in every if fits(self.rule, *thing)]
            others = [thing for thing in every if not fits(self.rule, *thing)]
            for kind, colour in (self._rand_elem(paying), *self._rand_subset(others, self._objects - 1)):
                self.place_obj(things[kind](colour))
            self.place_agent()

        def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
            obs: Any
            obs, _, _, truncated, info = super().step(action)
            held = self.carrying
            paid = held is not None and fits(self.rule, held.type, held.color)
            return obs, self._reward() if paid else 0.0, held is not None, truncated, {**info, "success": paid}

        def gen_obs(self) -> np.ndarray:
            """Kinds and colours, [2 x cells in view]."""
            grid, _ = self.gen_obs_grid()
            cells = [grid.get(x, y) for x in range(VIEW) for y in range(VIEW)]
            of = lambda cell: (marks[cell.type], 1 + COLOURS.index(cell.color) if cell.type != "wall" else 0)
            return np.array([of(cell) if cell else (0, 0) for cell in cells], np.int64).ravel()

    return RuleRoom
