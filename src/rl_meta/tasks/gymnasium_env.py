"""`gymnasium`: any environment of Gymnasium, some of whose parameters vary from task to task.

    GymnasiumFamily("Pendulum-v1", vary={"g": Uniform(5, 15), "m": LogUniform(0.5, 2)})

The environment is stepped on the host. What it draws in its own reset is drawn anew in every episode and is no part of
the task, which a reset leaves as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError, unknown
from rl_meta.settings import Count
from rl_meta.tasks.distributions import as_text, parse
from rl_meta.tasks.equality import same_values
from rl_meta.tasks.gymnasium_world import (
    Make,
    Simulated,
    TaskEnv,
    Way,
    World,
    find_environment,
    way_of,
)
from rl_meta.tasks.measures import parse_measures
from rl_meta.tasks.sources import Source, source_of, table_of
from rl_meta.tasks.told import check_observation
from rl_meta.types import Key, PyTree

DRAWN = 1000
"""Tasks that a sampler of the user's, or an environment's `sample_tasks`, is asked for."""


class _Known(NamedTuple):
    """What is found out about an environment by making it and trying some tasks."""

    world: World
    source: Source
    observation_space: spaces.Space
    action_space: spaces.Space
    horizon: int


@dataclass(frozen=True)
class GymnasiumFamily(Simulated):
    """An environment of Gymnasium as a family on the host.

    A parameter reaches the environment as an argument of its constructor (it is then made anew), as an attribute of
    `env.unwrapped` (`unwrapped.NAME`, or NAME where no argument is called so; it is read back), as an option of every
    reset (`reset.NAME`), or through `set_task`.
    """

    env: str | Callable[..., Any] = "CartPole-v1"
    """An id of Gymnasium's, or a class or function that makes the environment."""
    vary: Any = ("length=0.25:1.0", "gravity=5:15")
    """Parameters that differ between tasks: NAME=LOW:HIGH, NAME=log:LOW:HIGH or NAME=A,B,C; or distributions by name.
    Split by region; extrapolation goes a quarter beyond the ranges. NAME=A sets a parameter of all tasks."""
    tasks: Any = None
    """In the place of `vary`: a list of tasks as parameters by name, each with its `split` or split at random; or a
    function (NumPy generator) -> task, called a thousand times. Neither of both: the environment's own `sample_tasks`
    and `set_task`."""
    set_task: Callable[..., Any] | None = None
    """(environment, parameters by name) puts the environment into a task; in the place of arguments and attributes."""
    max_steps: Count | None = None
    """Steps after which an episode is truncated; without it, the environment's own limit."""
    episodes: Count = 2
    """Full-length episodes of an ordinary lifetime."""
    measures: tuple[str, ...] = ()
    """Numbers in the `info` of every step that evaluation reports, as NAME=HOW an episode sums them up: success=max,
    speed=mean; also sum and last."""

    def __post_init__(self) -> None:
        """Bring what varies into the form in which it is written down, and check it."""
        given = self.vary if self.tasks is None else ()
        vary = as_text(given) if isinstance(given, Mapping) else tuple(given)
        if isinstance(given, str) or not all(isinstance(entry, str) for entry in vary):
            raise UserError(f"`vary` must be a dictionary or a list like ['length=0.25:1.0'], got {given!r}")
        names = [parse(entry)[0] for entry in vary]
        if len(set(names)) < len(names):
            raise UserError(f"each parameter must be named once, got {', '.join(names)}")
        object.__setattr__(self, "vary", vary)
        if self.tasks is not None and not callable(self.tasks):
            object.__setattr__(self, "tasks", tuple(self.tasks))
        parse_measures(self.measures)

    @cached_property
    def _known(self) -> _Known:
        make, creator = find_environment(self.env, self.max_steps)
        source, set_task = self._source(make), self.set_task
        if not self.vary and self.tasks is None:
            set_task = lambda env, task: env.unwrapped.set_task(task)
        first = source.tried()[0]
        ways: dict[str, Way] = {}
        if set_task is None:
            if not isinstance(first, Mapping):
                raise UserError(f"tasks that are no parameters by name need `set_task`, got the task {first!r}")
            ways = self._ways(make, creator, first)
        world = World(make, ways, set_task, source.values, tuple(parse_measures(self.measures)))
        return self._try(world, source)

    def _source(self, make: Make) -> Source:
        """Where tasks come from."""
        if callable(self.tasks):
            rng = np.random.default_rng(0)
            return table_of([self.tasks(rng) for _ in range(DRAWN)])
        if self.tasks is not None:
            return table_of(self.tasks)
        if self.vary:
            return source_of(dict(map(parse, self.vary)))
        drawn = [_sampled(make), _sampled(make)]
        if not same_values(*drawn):
            raise UserError("`sample_tasks` does not follow the seed of `reset`: pass its tasks as `tasks`")
        return table_of(list(drawn[0]))

    def _ways(self, make: Make, creator: Make, first: Mapping[str, Any]) -> dict[str, Way]:
        """How each parameter reaches the environment."""
        known = {name: way_of(name, creator) for name in first}
        env = _made(make, {way.name: first[name] for name, way in known.items() if way and way.kind == "argument"})
        ways = {name: way or way_of(name, creator, env) for name, way in known.items()}
        env.close()
        return {name: way for name, way in ways.items() if way}

    def _try(self, world: World, source: Source) -> _Known:
        """Put an environment into several tasks: the spaces must be the same, and a reset must leave the task."""
        one, seen = TaskEnv(world), None
        for values in source.tried():
            try:
                one.put(values)
                obs = one.reset(0)
                one.check(values)
                found = one.env.observation_space, one.env.action_space
                _check_spaces(*found, seen or found, values)
                check_observation(found[0], obs)
                one.env.action_space.seed(0)
                info = one.env.step(one.env.action_space.sample())[-1]
                one.check(values)
                _check_measures(world.measures, info)
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"{self.env} fails in the task {values}: {type(error).__name__}: {error}") from error
            seen = seen or found
        horizon = self.max_steps or getattr(one.env.spec, "max_episode_steps", None) or _time_limit(one.env)
        one.close()
        if not horizon:
            raise UserError(f"{self.env} has no time limit: give the steps of its longest episode as `max_steps`")
        assert seen is not None
        return _Known(world, source, *seen, int(horizon))

    @property
    def observation_space(self) -> spaces.Space:
        """The environment's."""
        return self._known.observation_space

    @property
    def action_space(self) -> spaces.Space:
        """The environment's."""
        return self._known.action_space

    @property
    def task_space(self) -> spaces.Dict:
        """The parameters that vary; of tasks that are not all numbers, the row in their list."""
        return self._known.source.task_space

    @property
    def splits(self) -> tuple[str, ...]:
        """All four where a range varies; without extrapolation where tasks are finite."""
        return self._known.source.splits

    @property
    def horizon(self) -> int:
        """`max_steps`, or the environment's own limit."""
        return self._known.horizon

    def sample(self, key: Key, split: str = "train") -> PyTree:
        """Parameters in the split's region, or a row of its list."""
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        return self._known.source.sample(key, split)

    @property
    def world(self) -> World:
        """How the environment is made and gets its parameters."""
        return self._known.world


def _made(make: Make, arguments: Mapping[str, Any]) -> gymnasium.Env:
    try:
        return make(**arguments)
    except Exception as error:
        raise UserError(f"cannot make the environment: {type(error).__name__}: {error}") from error


def _sampled(make: Make) -> Sequence[Any]:
    """The tasks of an environment that has the protocol of learn2learn and RLlib."""
    env = _made(make, {})
    for name in ("sample_tasks", "set_task"):
        if not hasattr(env.unwrapped, name):
            raise UserError(f"nothing varies: give `vary` or `tasks`, for the environment has no `{name}`")
    env.reset(seed=0)
    tasks: Sequence[Any] = env.unwrapped.sample_tasks(DRAWN)  # type: ignore[attr-defined]
    env.close()
    return tasks


def _time_limit(env: gymnasium.Env) -> int | None:
    """Of a `TimeLimit` among the wrappers."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return env._max_episode_steps
        env = env.env
    return None


def _check_spaces(observation: spaces.Space, action: spaces.Space, first: tuple, values: Any) -> None:
    """Those of one task must be those of the first."""
    if _form(observation) != _form(first[0]) or action != first[1]:
        raise UserError(
            f"all tasks of a family must have the same spaces, but in {values} they are {observation} and {action}, "
            f"in another task {first[0]} and {first[1]}"
        )
    if not isinstance(action, spaces.Box | spaces.Discrete):
        raise UserError(f"action space must be Box or Discrete, got {action}")


def _form(space: spaces.Space) -> Any:
    """What observations must have in common: kind, shape and type, but not their bounds."""
    if isinstance(space, spaces.Dict):
        return {name: _form(part) for name, part in space.items()}
    if isinstance(space, spaces.Box):
        return space.shape, space.dtype
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return space
    raise UserError(f"observation space must be Box, Discrete, MultiDiscrete or Dict, got {space}")


def _check_measures(names: Sequence[str], info: Mapping[str, Any]) -> None:
    """Every step must tell them, as numbers."""
    for name in names:
        if name not in info:
            raise unknown("number in the `info` of a step", name, map(str, info))
        if np.ndim(info[name]) or np.asarray(info[name]).dtype.kind not in "biuf":
            raise UserError(f"what a step tells as {name!r} must be a number, got {info[name]!r}")
