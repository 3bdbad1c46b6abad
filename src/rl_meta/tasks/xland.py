"""`xland`: XLand-MiniGrid's rooms, where what is to be reached and what makes what are hidden, in pure JAX.

A task is a set of rules. Its goal is to hold a thing, to stand beside it, or to put two things beside each other. A
thing of the goal may be missing: then a chain of hidden rules makes it, of things that are put side by side, picked up
or come close to. Where everything lies is drawn anew in every episode. The sets of rules are drawn here, in the manner
of the paper's benchmarks, which would have to be downloaded.

Needs `pip install 'rl-meta[xland]'`. See Nikulin et al. (2024), "XLand-MiniGrid: Scalable Meta-Reinforcement Learning
Environments in JAX".
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.settings import Count, Range
from rl_meta.tasks.base import SPLITS, Transition, split_key
from rl_meta.types import Array, Key, PyTree

KINDS, COLOURS = 13, 12
"""Of a cell's contents, as XLand-MiniGrid counts them."""
THINGS = (3, 4, 5, 7, 11, 12)
"""Kinds that can be carried: ball, square, pyramid, key, hexagon, star."""
PAINTS = tuple(range(1, 11))
"""Colours of things."""
VIEW = 5
HOLD, NEAR, TOGETHER = 1, 3, 4
"""Goals, in XLand-MiniGrid's code."""
MADE_BY_HOLDING, MADE_BY_NEARNESS, MADE_OF_TWO = 1, 2, 3
"""Rules, in the same."""


class XLandTask(NamedTuple):
    """Hidden: a set of rules, in XLand-MiniGrid's code; zeros where there is nothing."""

    goal: Array
    """[5] What kind, and kind and colour of one thing or of two."""
    rules: Array
    """[rules, 7] What kind, the one or two things that are used up, and what comes of them."""
    objects: Array
    """[objects, 2] Kind and colour of what lies in the room at first."""


@dataclass(frozen=True)
class XLand:
    """Find out what pays, and how it is made: +1 less what the time costs, which ends the episode."""

    size: Annotated[int, Range(5)] = 9
    """Cells along a side of the room, walls included."""
    rules: Annotated[int, Range(0, 4)] = 1
    """The longest chain by which a thing of the goal is made; its length is drawn anew for every task."""
    distractors: Annotated[int, Range(0, 6)] = 3
    """Things that are good for nothing."""
    horizon: Count = 243
    """Steps after which an episode is truncated; XLand-MiniGrid's own limit is three for every cell."""
    episodes: Count = 4
    """Full-length episodes of an ordinary lifetime."""

    splits = SPLITS[:3]
    action_space: ClassVar[spaces.Discrete] = spaces.Discrete(6)  # ahead, turn right, turn left, pick up, put, open

    @property
    def observation_space(self) -> spaces.MultiDiscrete:
        """Kind and colour of every cell in view.

        Raises:
            UserError: XLand-MiniGrid is missing.
        """
        _xland()
        return spaces.MultiDiscrete([KINDS, COLOURS] * VIEW**2)

    @property
    def objects(self) -> int:
        """Things in the room at first, at most: two of the goal, one more for each rule, and distractors."""
        return 2 + self.rules + self.distractors

    @property
    def task_space(self) -> spaces.Dict:
        """See `XLandTask`."""
        tile = [KINDS, COLOURS]
        rows = lambda count, row: spaces.MultiDiscrete(np.tile(row, (count, 1)))
        return spaces.Dict(
            [
                ("goal", spaces.MultiDiscrete([TOGETHER + 1, *tile, *tile])),
                ("rules", rows(self.rules, [MADE_OF_TWO + 1, *tile, *tile, *tile])),
                ("objects", rows(self.objects, tile)),
            ]
        )

    def sample(self, key: Key, split: str = "train") -> XLandTask:
        """A goal, a chain of rules that can be followed, and distractors.

        There are so many sets of rules that the splits hardly share one, though they are drawn alike.
        """
        key_things, key_goal, key_depth, key_rules = jax.random.split(split_key(key, split, self.splits), 4)
        every = jnp.array([(kind, colour) for kind in THINGS for colour in PAINTS], jnp.int32)
        things = jax.random.permutation(key_things, every)
        goal_kind = jax.random.choice(key_goal, jnp.array([HOLD, NEAR, TOGETHER]))
        two = goal_kind == TOGETHER
        wanted, other = things[0], things[1]
        nothing = jnp.zeros(2, jnp.int32)
        goal = jnp.concatenate([goal_kind[None], wanted, jnp.where(two, other, nothing)])
        depth = jax.random.randint(key_depth, (), 0, self.rules + 1)
        rules, objects = [], [jnp.where(two, other, nothing)]
        made, spare = wanted, things[2:]
        for index, k in enumerate(jax.random.split(key_rules, self.rules)):
            used, partner = spare[2 * index], spare[2 * index + 1]
            kind = jax.random.choice(k, jnp.array([MADE_BY_HOLDING, MADE_BY_NEARNESS, MADE_OF_TWO]))
            needs_two, there = kind == MADE_OF_TWO, index < depth
            inputs = jnp.where(needs_two, jnp.stack([used, partner, made]), jnp.stack([used, made, nothing]))
            rules.append(jnp.where(there, jnp.concatenate([kind[None], inputs.ravel()]), 0))
            objects.append(jnp.where(there & needs_two, partner, nothing))
            made = jnp.where(there, used, made)
        idle = spare[2 * self.rules : 2 * self.rules + self.distractors]
        at_first = jnp.concatenate([jnp.stack([made, *objects]), idle])
        return XLandTask(goal, jnp.stack(rules) if rules else jnp.zeros((0, 7), jnp.int32), at_first)

    def reset(self, key: Key, task: XLandTask) -> tuple[PyTree, Array]:
        """A room, with everything anywhere in it."""
        start = _xland().env.reset(self._params(task), key)
        return start.state, _observed(start.observation)

    def step(self, key: Key, state: PyTree, action: Array, task: XLandTask) -> Transition:
        """XLand-MiniGrid's."""
        known, nothing = _xland(), jnp.array(0.0)
        before = known.time_step(state=state, step_type=None, reward=nothing, discount=nothing, observation=None)
        after = known.env.step(self._params(task), before, action)
        terminated = after.discount == 0
        truncated = (after.state.step_num >= self.horizon) & ~terminated
        obs = _observed(after.observation)
        return Transition(after.state, obs, jnp.asarray(after.reward, jnp.float32), terminated, truncated)

    def _params(self, task: XLandTask) -> Any:
        """XLand-MiniGrid's, in a task."""
        known, code = _xland(), lambda x: x.astype(jnp.uint8)
        empty = jnp.zeros((1, 7), jnp.int32)  # it wants one rule at least
        rules = known.rule_set(
            goal=code(task.goal),
            rules=code(jnp.concatenate([task.rules, empty]) if not self.rules else task.rules),
            init_tiles=code(task.objects),
        )
        shape = {"height": self.size, "width": self.size, "view_size": VIEW, "max_steps": self.horizon}
        return known.env.default_params(ruleset=rules, grid_type="R1", **shape)


class _Known(NamedTuple):
    """What is used of XLand-MiniGrid."""

    env: Any
    rule_set: Any
    time_step: Any


@cache
def _xland() -> _Known:
    """Imported here, for it is an extra."""
    try:
        with jax.ensure_compile_time_eval():  # it makes arrays when it is imported
            env, types = import_module("xminigrid.envs.xland"), import_module("xminigrid.types")
    except ImportError as error:
        raise UserError(f"XLand-MiniGrid is missing ({error}): pip install 'rl-meta[xland]'") from error
    return _Known(env.XLandMiniGrid(), types.RuleSet, types.TimeStep)


def _observed(view: Array) -> Array:
    """[VIEW, VIEW, 2] -> [2 VIEW²]."""
    return view.reshape(-1).astype(jnp.int32)
