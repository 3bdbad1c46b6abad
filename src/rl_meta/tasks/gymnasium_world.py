"""One environment of Gymnasium that can be put into one task after another, and many of them stepped in turn."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.registration import load_env_creator

from rl_meta.errors import UserError, unknown
from rl_meta.settings import Positive, Range
from rl_meta.tasks.envs import Envs, Outcome, batched, rows_of
from rl_meta.tasks.old_gym import in_new_api
from rl_meta.tasks.told import finite, observations_of, rewards_of
from rl_meta.tasks.workers import WorkerEnvs
from rl_meta.types import Key, PyTree

Values = Mapping[str, Any]
"""The parameters of one task by name."""
Make = Callable[..., gymnasium.Env]
SetTask = Callable[[gymnasium.Env, Values], None]

DERIVED = {
    "total_mass": lambda env: env.masspole + env.masscart,
    "polemass_length": lambda env: env.masspole * env.length,
}
"""Attributes of Gymnasium's CartPole that it does not update when those they are computed from change."""


MOST_DEATHS = 10
"""Of one environment, without an episode in between that it outlived: the run ends."""


class Way(NamedTuple):
    """How a parameter reaches the environment."""

    kind: str
    """`argument` of the constructor, `attribute` of the unwrapped environment, or `option` of every reset."""
    name: str


def find_environment(env: str | Make, max_steps: int | None) -> tuple[Make, Make]:
    """(what makes it, what takes its arguments) of an id of Gymnasium, or of a class or function.

    Raises:
        UserError: no such id, or what it needs is not installed.
    """
    if not isinstance(env, str):
        return lambda **arguments: _limited(in_new_api(env(**arguments)), max_steps), env
    try:
        spec = gymnasium.spec(env)
        creator: Any = spec.entry_point if callable(spec.entry_point) else load_env_creator(str(spec.entry_point))
    except (gymnasium.error.Error, ImportError, AttributeError) as error:
        unknown_id = isinstance(error, gymnasium.error.UnregisteredEnv)
        hint = "; what a module of yours registers is known after `rl-meta --import MODULE ...`" if unknown_id else ""
        raise UserError(f"cannot make the environment {env!r}: {error}{hint}") from None
    limit = {"max_episode_steps": max_steps} if max_steps else {}  # and not the id: workers may not know it
    return lambda **arguments: gymnasium.make(spec, disable_env_checker=True, **limit, **arguments), creator


def _limited(env: gymnasium.Env, max_steps: int | None) -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(env, max_steps) if max_steps else env


def way_of(name: str, creator: Make, env: gymnasium.Env | None = None) -> Way | None:
    """How the parameter `name` reaches the environment: `unwrapped.X`, `reset.X`, or whichever has the name.

    Without an environment to look at, None where it is no option and no named argument.

    Raises:
        UserError: nothing has it, with the nearest name that something has.
    """
    arguments = inspect.signature(creator).parameters
    if name.startswith("reset."):
        return Way("option", name.removeprefix("reset."))
    if name in arguments:
        return Way("argument", name)
    if env is None:
        return None
    path = name.removeprefix("unwrapped.")
    *holders, last = path.split(".")
    try:
        before = getattr(_follow(env.unwrapped, holders), last)
    except AttributeError:
        if name == path and any(p.kind is p.VAR_KEYWORD for p in arguments.values()):
            return Way("argument", name)
        known = [p.name for p in arguments.values() if p.kind is not p.VAR_KEYWORD and p.name != "self"]
        numbers = [k for k, v in vars(env.unwrapped).items() if isinstance(v, int | float) and not k.startswith("_")]
        raise unknown("parameter of the environment", path, {*known, *numbers}) from None
    if callable(before) or (isinstance(before, np.ndarray) and before.ndim):
        raise UserError(f"{name} is not a number but {before!r}: set it in a function `set_task(env, values)`")
    return Way("attribute", path)


def _follow(thing: Any, path: Sequence[str]) -> Any:
    for name in path:
        thing = getattr(thing, name)
    return thing


class World(NamedTuple):
    """All that is needed to make environments and put them into tasks; goes to other processes as it is."""

    make: Make
    ways: Mapping[str, Way]
    set_task: SetTask | None
    """In the place of ways."""
    values: Callable[[PyTree], Any]
    """(task) -> its parameters by name."""
    measures: tuple[str, ...] = ()
    """Names of numbers in the `info` of every step that evaluation is to report."""


class TaskEnv:
    """One environment, in one task at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._arguments: dict[str, Any] | None = None
        self._options: dict[str, Any] | None = None
        self.env: gymnasium.Env = None  # type: ignore[assignment]

    def put(self, values: Values) -> None:
        """Into the task that has these parameters; `reset` has to follow.

        Raises:
            UserError: an attribute does not keep what it was set to.
        """
        self.make_room(values)
        if self.env is None:
            self._arguments = self._given(values, "argument")
            self.env = self._world.make(**self._arguments)
        for path, value in self._given(values, "attribute").items():
            *holders, last = path.split(".")
            setattr(_follow(self.env.unwrapped, holders), last, value)
        if isinstance(self.env.unwrapped, CartPoleEnv):
            for name, rule in DERIVED.items():
                if name not in self._world.ways:
                    setattr(self.env.unwrapped, name, rule(self.env.unwrapped))
        self._options = self._given(values, "option") or None
        if self._world.set_task:
            self._world.set_task(self.env, values)
        self.check(values)

    def make_room(self, values: Values) -> None:
        """Close what is here if the task needs one that is made with other arguments."""
        if self._arguments != self._given(values, "argument"):
            self.close()

    def _given(self, values: Values, kind: str) -> dict[str, Any]:
        """The parameters that reach the environment in one way, by what they are called there."""
        return {way.name: values[name] for name, way in self._world.ways.items() if way.kind == kind}

    def check(self, values: Values) -> None:
        """Do the attributes still have these values?"""
        for name, way in self._world.ways.items():
            if way.kind == "attribute":
                *holders, last = way.name.split(".")
                got = getattr(_follow(self.env.unwrapped, holders), last)
                if got != values[name]:
                    raise UserError(f"{name} was set to {values[name]!r}, but the environment has made {got!r} of it")

    def reset(self, seed: int | None = None) -> Any:
        """The first observation of an episode of the task."""
        options = None if self._options is None else dict(self._options)
        return self.env.reset(seed=seed, options=options)[0]

    def close(self) -> None:
        """Close what there is."""
        if self.env is not None:
            self.env.close()
        self.env, self._arguments = None, None  # type: ignore[assignment]


class EnvList:
    """Environments stepped one after another in this process; see `tasks.envs.Envs`.

    One that raises an error is made anew in its task, and its step is told as lost.
    """

    wants_keys = False

    def __init__(self, world: World, count: int, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self._world, self._space, self._action_space = world, observation_space, action_space
        self._envs = [TaskEnv(world) for _ in range(count)]
        self._obs: list[Any] = [None] * count
        self._born: list[tuple[Any, int]] = [({}, 0)] * count
        self._deaths = np.zeros(count, int)
        self._died = np.zeros(count, bool)  # in the episode that it is in
        self._sent: tuple[np.ndarray, bool, np.ndarray] | None = None

    def begin(self, born: np.ndarray, tasks: PyTree, seeds: np.ndarray, keys: Key | None) -> PyTree:
        """See `Envs`."""
        which = np.flatnonzero(born).tolist()
        for index in which:
            values = self._world.values(rows_of(tasks, index))
            self._born[index] = values, int(seeds[index])
            with suppress(Exception):  # which comes again below, and is dealt with there
                self._envs[index].make_room(values)  # all of them first: a world may give on what one lets go of
        for index in which:
            self._obs[index] = self._alive(index, self._first)[0]
        return observations_of(self._space, self._obs)

    def send(self, action: np.ndarray, keys: Key | None, *, cut: bool, final: np.ndarray | None = None) -> None:
        """See `Envs`."""
        self._sent = action, cut, np.zeros(len(action), bool) if final is None else final

    def receive(self) -> Outcome:
        """See `Envs`."""
        action, cut, final = self._sent  # type: ignore[misc]
        after: list[Any] = []
        rewards, ended, stopped, over, lost = [], [], [], [], []
        measured = np.zeros((len(self._world.measures), len(self._envs)), np.float32)
        for index, (one, act) in enumerate(zip(self._envs, self._in_space(action), strict=True)):
            try:
                obs, reward, terminated, truncated, info = one.env.step(act)
                if self._world.measures:
                    measured[:, index] = [info[name] for name in self._world.measures]
            except Exception as error:
                lost.append(index)
                obs, reward, terminated, truncated = self._die(index, error)
            after.append(obs)
            rewards.append(reward)
            ended.append(terminated)
            stopped.append((truncated or cut) and not terminated)
            if (terminated or truncated or cut) and not final[index]:
                over.append(index)
        paid, next_obs = rewards_of(rewards), observations_of(self._space, after)
        for index in np.flatnonzero(~(np.isfinite(paid) & finite(next_obs))).tolist():
            cause = f"it told the reward {rewards[index]} and the observation {after[index]}, which are not finite"
            after[index], paid[index], ended[index], stopped[index] = self._die(index, FloatingPointError(cause))
            lost, over = [*lost, index], [i for i in over if i != index]
            next_obs = observations_of(self._space, after)
        for index in over:
            after[index], dead = self._alive(index, lambda one, index: self._sound(one.reset()))
            lost += [index] if dead else []
        obs, self._obs = observations_of(self._space, after) if over else next_obs, after
        told = paid, np.array(ended, bool), np.array(stopped, bool)
        died = np.isin(np.arange(len(after)), lost) if lost else None
        return Outcome(obs, next_obs, *told, died, dict(zip(self._world.measures, measured, strict=True)))

    def _first(self, one: TaskEnv, index: int) -> Any:
        """Into the task that was last given; the first observation. After a death, with random numbers that are new."""
        values, seed = self._born[index]
        one.put(values)
        return self._sound(one.reset((seed + int(self._deaths[index])) % 2**31))

    def _sound(self, obs: Any) -> Any:
        """The first observation of an episode, if its numbers are finite."""
        with suppress(KeyError, TypeError):  # of another kind than the space: this is said elsewhere
            if not finite(batched(self._space, [obs])).all():
                raise FloatingPointError(f"a reset told the observation {obs}, which is not finite")
        return obs

    def _alive(self, index: int, reset: Callable[[TaskEnv, int], Any]) -> tuple[Any, bool]:
        """The first observation of an episode, and whether the environment died before it."""
        try:
            obs = reset(self._envs[index], index)
        except UserError:
            raise
        except Exception as error:
            return self._die(index, error)[0], True
        if not self._died[index]:
            self._deaths[index] = 0
        self._died[index] = False
        return obs, False

    def _die(self, index: int, error: Exception) -> tuple[Any, float, bool, bool]:
        """Make an environment anew after an error; a step that never was: observation, reward, no end."""
        while True:
            self._deaths[index] += 1
            self._died[index] = True
            if self._deaths[index] >= MOST_DEATHS:
                raise UserError(
                    f"an environment has died {MOST_DEATHS} times in a row in the task {self._born[index][0]}: "
                    f"{type(error).__name__}: {error}"
                ) from error
            self._envs[index] = TaskEnv(self._world)
            try:
                return self._first(self._envs[index], index), 0.0, False, False
            except UserError:
                raise
            except Exception as again:
                error = again

    def _in_space(self, action: np.ndarray) -> Any:
        """One action per environment, as it expects them: a Python integer, or an array that it may write to."""
        if isinstance(self._action_space, spaces.Discrete):
            return action.tolist()
        return np.array(action, self._action_space.dtype)

    def close(self) -> None:
        """See `Envs`."""
        for one in self._envs:
            one.close()


@dataclass(frozen=True, kw_only=True)
class Simulated(ABC):
    """The base of families whose environments are Gymnasium's: a `HostFamily`, but for tasks and spaces."""

    workers: Annotated[int, Range(0)] = 0
    """Processes that step the environments, several in each; 0: this one does. For environments slower than a
    millisecond per step: the others are stepped faster in this process."""
    patience_seconds: Positive = 60.0
    """After so long a step counts as hung, and its worker is started again."""

    @property
    @abstractmethod
    def observation_space(self) -> spaces.Space:
        """See `Family`."""

    @property
    @abstractmethod
    def action_space(self) -> spaces.Space:
        """See `Family`."""

    @property
    @abstractmethod
    def world(self) -> World:
        """How to make an environment, and how a task gets into it."""

    @property
    def overlaps(self) -> bool:
        """Half of them are stepped while the other half acts, where there are workers for both."""
        return self.workers > 1

    def make_envs(self, count: int) -> Envs:
        """So many environments, in this process or in workers; each half of the environments has half of these."""
        world, observation, action = self.world, self.observation_space, self.action_space
        make = lambda count: EnvList(world, count, observation, action)
        if not self.workers:
            return make(count)
        patience, workers = self.patience_seconds, max(1, self.workers // 2)
        return WorkerEnvs(make, count, workers, patience_seconds=patience, measures=world.measures)
