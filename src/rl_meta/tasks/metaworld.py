"""`metaworld`: the benchmarks of Meta-World, in which a robot arm learns to handle objects.

    MetaWorld("ML10")           MetaWorld("reach-v3")  (ML1)           MetaWorld("custom", ("push-v3",), ("sweep-v3",))

A task is a class of environments (push, open a drawer, ...) and where its goal and objects are; neither is shown.
Needs `pip install 'rl-meta[metaworld]'`. See Yu et al. (2019), "Meta-World: A Benchmark and Evaluation for Multi-Task
and Meta Reinforcement Learning", and McLean et al. (2025), "Meta-World+: An Improved, Standardized, RL Benchmark".
"""

import hashlib
import importlib
import os
import pickle
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from zipfile import BadZipFile

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError, unknown
from rl_meta.settings import Count, Range
from rl_meta.tasks.gymnasium_world import Simulated, Way, World
from rl_meta.types import Array, Key, PyTree

BENCHMARKS = ("ML10", "ML25", "ML45")
HORIZON = 500
"""Steps after which an environment of Meta-World must be reset."""
OBSERVATION = 39
"""Numbers that it shows: hand, gripper and objects, now and one step before; the last three are a hidden goal's."""
PLACES = 6
"""Numbers that a task has at most, beside its class."""


class MetaWorldTask(NamedTuple):
    """What is hidden."""

    environment: Array
    """Index among the classes of the benchmark, those for training first."""
    places: Array
    """[6] Meta-World's random vector: where objects and goal are; zeros where a class has fewer numbers."""


class TaskTable(NamedTuple):
    """All tasks of a benchmark, as plain arrays. K classes, n tasks in a split."""

    classes: np.ndarray
    """[K] Names, those for training first."""
    sizes: np.ndarray
    """[K] How many of the places each class uses."""
    train_environment: np.ndarray
    """[n]"""
    train_places: np.ndarray
    """[n, 6] float64"""
    test_environment: np.ndarray
    """[n]"""
    test_places: np.ndarray
    """[n, 6] float64"""


@dataclass(frozen=True)
class MetaWorld(Simulated):
    """Meta-World with hidden goals: 50 tasks of each class. Training and test tasks are those of the benchmark."""

    benchmark: str = "ML10"
    """ML10, ML25 or ML45; the name of a class, for ML1 of it; or custom."""
    train_classes: tuple[str, ...] = ()
    """Of the benchmark `custom`."""
    test_classes: tuple[str, ...] = ()
    """Of the benchmark `custom`: others than those for training."""
    reward: Literal["v1", "v2"] = "v2"
    """Version of the reward functions. Results with different ones cannot be compared."""
    tasks_seed: Annotated[int, Range(0)] = 0
    """Decides the goals, as the seed of Meta-World's own benchmarks does."""
    horizon: Annotated[int, Range(1, HORIZON)] = HORIZON
    """Steps of an episode."""
    episodes: Count = 10
    """Full-length episodes of an ordinary lifetime."""

    splits = ("train", "test")
    measures = ("success=max",)
    observation_space = spaces.Box(-np.inf, np.inf, (OBSERVATION,))
    action_space = spaces.Box(-1, 1, (4,))

    @cached_property
    def table(self) -> TaskTable:
        """The tasks of both splits, drawn by Meta-World itself; from then on kept in the user's cache directory.

        Raises:
            UserError: Meta-World is missing, or has no such benchmark or class.
        """
        package, kept = _metaworld(), self._kept
        try:
            with kept.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return TaskTable(**arrays)
        except (OSError, EOFError, ValueError, TypeError, BadZipFile):  # there is none, or it is not one
            table = self._drawn(package)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as new:
            np.savez_compressed(new, **table._asdict())
        os.replace(new.name, kept)
        return table

    @property
    def _kept(self) -> Path:
        """The file of all that decides the tasks."""
        decides = version("metaworld"), self.benchmark, self.train_classes, self.test_classes, self.tasks_seed
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rl-meta" / "metaworld"
        return cache / f"{self.benchmark}-{hashlib.sha256(repr(decides).encode()).hexdigest()[:16]}.npz"

    def _drawn(self, package: Any) -> TaskTable:
        """By Meta-World, which takes seconds to a minute."""
        known = package.ALL_V3_ENVIRONMENTS
        given = self.train_classes, self.test_classes
        for name in (*self.train_classes, *self.test_classes):
            if name not in known:
                raise unknown("class of Meta-World", name, known)
        if (self.benchmark == "custom") != all(given) or (self.benchmark != "custom" and any(given)):
            raise UserError(
                f"the benchmark custom, and no other one, needs train_classes and test_classes; got {self.benchmark} "
                f"with {given[0]} and {given[1]}"
            )
        if set(given[0]) & set(given[1]):
            raise UserError(f"no class may be both for training and for testing, got {set(given[0]) & set(given[1])}")
        if self.benchmark == "custom":
            made = package.CustomML(*map(list, given), seed=self.tasks_seed)
        elif self.benchmark in BENCHMARKS:
            made = getattr(package, self.benchmark)(seed=self.tasks_seed)
        elif self.benchmark in known:
            made = package.ML1(self.benchmark, seed=self.tasks_seed)
        else:
            raise unknown("benchmark or class of Meta-World", self.benchmark, [*BENCHMARKS, "custom", *known])
        return _table_of(made)

    @property
    def task_space(self) -> spaces.Dict:
        """Which class, and where things are."""
        table = self.table
        places = np.concatenate([table.train_places, table.test_places]).astype(np.float32)
        bounds = spaces.Box(places.min(0), places.max(0))
        return spaces.Dict([("environment", spaces.Discrete(len(table.classes))), ("places", bounds)])

    def sample(self, key: Key, split: str = "train") -> PyTree:
        """One of the benchmark's tasks: every class and every goal is equally likely."""
        environment, places = self._tasks(split)
        row = jax.random.randint(key, (), 0, len(environment))
        return MetaWorldTask(jnp.asarray(environment, jnp.int32)[row], jnp.asarray(places, jnp.float32)[row])

    def all_tasks(self, split: str = "train") -> MetaWorldTask:
        """All tasks of a split [n], class by class."""
        environment, places = self._tasks(split)
        return MetaWorldTask(jnp.asarray(environment, jnp.int32), jnp.asarray(places, jnp.float32))

    def _tasks(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        table = self.table
        both = {"train": (table.train_environment, table.train_places)}
        return (both | {"test": (table.test_environment, table.test_places)})[split]

    @property
    def world(self) -> World:
        """Environments of all classes of the benchmark."""
        return World(
            make=_Shelf(self.reward, self.horizon),
            ways={"environment": Way("argument", "environment")},
            set_task=_set_task,
            values=_Values(self.table),
            measures=("success",),
        )


def _metaworld() -> Any:
    """The package, which is slow to import."""
    try:
        return importlib.import_module("metaworld")
    except ImportError as error:
        raise UserError(f"Meta-World is missing ({error}): pip install 'rl-meta[metaworld]'") from error


def _table_of(benchmark: Any) -> TaskTable:
    """Of a benchmark of Meta-World's, which has just drawn its tasks: they hold pickles of this process's own."""
    classes = list(dict.fromkeys([*benchmark.train_classes, *benchmark.test_classes]))
    sizes = np.zeros(len(classes), np.int32)
    columns: list[np.ndarray] = []
    for tasks in (benchmark.train_tasks, benchmark.test_tasks):
        environment = np.array([classes.index(task.env_name) for task in tasks], np.int32)
        places = np.zeros((len(tasks), PLACES))
        for row, task in enumerate(tasks):
            vector = pickle.loads(task.data)["rand_vec"]
            places[row, : len(vector)], sizes[environment[row]] = vector, len(vector)
        columns += [environment, places]
    return TaskTable(np.array(classes), sizes, *columns)


class _Values:
    """The parameters of a task: its class, and the vector as Meta-World drew it, in double precision."""

    def __init__(self, table: TaskTable) -> None:
        self._classes, self._sizes = table.classes.tolist(), table.sizes.tolist()
        environments = np.concatenate([table.train_environment, table.test_environment])
        places = np.concatenate([table.train_places, table.test_places])
        self._exact = {_name(e, row): row for e, row in zip(environments, places, strict=True)}

    def __call__(self, task: PyTree) -> dict[str, Any]:
        """See `World.values`. A task that is in no table is taken as it is."""
        vector = self._exact.get(_name(task.environment, task.places), np.asarray(task.places, np.float64))
        index = int(task.environment)
        return {"environment": self._classes[index], "places": vector[: self._sizes[index]]}


def _name(environment: np.ndarray | np.integer, places: np.ndarray) -> tuple[int, bytes]:
    return int(environment), np.asarray(places, np.float32).tobytes()


def _set_task(env: gymnasium.Env, values: Mapping[str, Any]) -> None:
    """Put an environment of the right class into a task. Its protocol is a pickle, made here and read at once."""
    of = {"env_cls": type(env.unwrapped), "rand_vec": values["places"], "partially_observable": True}
    task = importlib.import_module("metaworld.types").Task(values["environment"], pickle.dumps(of))
    env.unwrapped.set_task(task)  # type: ignore[attr-defined]


class _Shelf:
    """Makes environments of all classes. To make one takes a third of a second: one that is not needed is kept."""

    def __init__(self, reward: str, horizon: int) -> None:
        self._reward, self._horizon = reward, horizon
        self.kept: dict[str, list[gymnasium.Env]] = defaultdict(list)

    def __call__(self, *, environment: str) -> gymnasium.Env:
        """One of a class."""
        kept = self.kept[environment]
        return _Kept(kept.pop() if kept else self._made(environment), kept)

    def _made(self, environment: str) -> gymnasium.Env:
        env = _metaworld().ALL_V3_ENVIRONMENTS[environment](reward_function_version=self._reward)
        return gymnasium.wrappers.TimeLimit(env, self._horizon) if self._horizon < HORIZON else env


class _Kept(gymnasium.Wrapper):
    """An environment that goes back to its shelf when it is closed."""

    def __init__(self, env: gymnasium.Env, shelf: list[gymnasium.Env]) -> None:
        super().__init__(env)
        self._shelf = shelf

    def close(self) -> None:
        """Put it back."""
        self._shelf.append(self.env)
