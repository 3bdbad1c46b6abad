"""Where the tasks of a host family come from: ranges of named parameters, or a table.

Tasks are NamedTuples of numbers that JAX draws; `values` says what the environment is given for one of them.
"""

import itertools
import keyword
import math
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError, unknown
from rl_meta.tasks.base import SPLITS
from rl_meta.tasks.distributions import Choice, Distribution
from rl_meta.tasks.regions import sample_unit
from rl_meta.types import Array, Key, PyTree

MOST_ROWS = 100_000
TRIED = 4
"""Tasks that an environment is put into before anything else is done with it."""


@runtime_checkable
class Source(Protocol):
    """Of tasks."""

    @property
    def task_space(self) -> spaces.Dict:
        """See `Family`."""

    @property
    def splits(self) -> tuple[str, ...]:
        """See `Family`."""

    def sample(self, key: Key, split: str) -> PyTree:
        """See `Family`."""

    def values(self, task: PyTree) -> Any:
        """What the environment is given for a task: parameters by name, or an object that only it understands."""

    def tried(self) -> list[Any]:
        """Values of a few tasks, far apart."""


@cache
def _task_type(names: tuple[str, ...]) -> Any:
    """One NamedTuple type per set of names, so that tasks of equal families are equal pytrees."""
    return namedtuple("HostTask", names)


def _fields(names: Sequence[str]) -> tuple[str, ...]:
    """Fields of a task named after its parameters, as `m` of `unwrapped.m`."""
    fields = tuple(name.removeprefix("unwrapped.").removeprefix("reset.").replace(".", "_") for name in names)
    for name, field in zip(names, fields, strict=True):
        if not field.isidentifier() or keyword.iskeyword(field) or field.startswith("_"):
            raise UserError(f"a parameter must be named like a variable, got {name!r}")
    if len(set(fields)) < len(fields):
        raise UserError(f"each parameter must be named once, got {', '.join(names)}")
    return fields


def source_of(vary: Mapping[str, Distribution]) -> Source:
    """Tasks that differ in these parameters; single values are settings of all tasks."""
    fixed = {name: one.values[0] for name, one in vary.items() if isinstance(one, Choice) and len(one.values) == 1}
    free = {name: one for name, one in vary.items() if name not in fixed}
    if not free:
        raise UserError("nothing varies: name at least one parameter with a range or several values")
    choices = {name: one for name, one in free.items() if isinstance(one, Choice)}
    return _combinations(choices, fixed) if len(choices) == len(free) else Ranges(free, fixed)


class Ranges:
    """Parameters drawn one by one. Split by the region of the numbers; every choice is in every split."""

    splits = SPLITS

    def __init__(self, vary: Mapping[str, Distribution], fixed: Mapping[str, Any]) -> None:
        self._vary, self._fixed = dict(vary), dict(fixed)
        self._type = _task_type(_fields(list(vary)))
        self.task_space = spaces.Dict(
            [(field, one.space) for field, one in zip(self._type._fields, vary.values(), strict=True)]
        )

    def sample(self, key: Key, split: str) -> PyTree:
        """See `Source`."""
        key_unit, key_choices = jax.random.split(key)
        ranges = [name for name, one in self._vary.items() if not isinstance(one, Choice)]
        return self._at(sample_unit(key_unit, len(ranges), split), key_choices)

    def _at(self, unit: Array, key: Key) -> PyTree:
        drawn, numbers = [], iter(unit)
        for index, one in enumerate(self._vary.values()):
            if isinstance(one, Choice):
                drawn.append(jax.random.randint(jax.random.fold_in(key, index), (), 0, len(one.values)))
            else:
                drawn.append(one.at(next(numbers)).astype(jnp.float32))
        return self._type(*drawn)

    def values(self, task: PyTree) -> dict[str, Any]:
        """See `Source`."""
        given = {
            name: one.values[int(x)] if isinstance(one, Choice) else float(x)
            for (name, one), x in zip(self._vary.items(), task, strict=True)
        }
        return self._fixed | given

    def tried(self) -> list[dict[str, Any]]:
        """See `Source`. Both ends of all ranges, and between them."""
        ranges = sum(not isinstance(one, Choice) for one in self._vary.values())
        with jax.ensure_compile_time_eval():
            places = [self._at(jnp.full(ranges, x), jax.random.key(i)) for i, x in enumerate(np.linspace(0, 1, TRIED))]
            return [self.values(jax.tree.map(np.asarray, place)) for place in places]


Columns = dict[str, tuple[Any, np.ndarray]]
"""Space and values [n] of every field of a table."""


class Table:
    """A finite number of tasks, each of one split."""

    def __init__(
        self,
        columns: Columns,
        rows: Mapping[str, np.ndarray],
        values: Callable[[PyTree], Any],
    ) -> None:
        """columns: the tasks. rows: which of them each split has. values: see `Source`."""
        self.task_space = spaces.Dict([(name, space) for name, (space, _) in columns.items()])
        self._type = _task_type(tuple(columns))
        self._columns, self._rows = [column for _, column in columns.values()], dict(rows)
        self.splits = tuple(split for split in SPLITS if len(rows.get(split, ())))
        self.values = values

    def sample(self, key: Key, split: str) -> PyTree:
        """See `Source`."""
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        rows = self._rows[split]
        row = jnp.asarray(rows)[jax.random.randint(key, (), 0, len(rows))]
        return self._type(*(jnp.asarray(column)[row] for column in self._columns))

    def tried(self) -> list[Any]:
        """See `Source`."""
        several = np.unique(np.linspace(0, len(self._columns[0]) - 1, TRIED).astype(int))
        return [self.values(self._type(*(column[row] for column in self._columns))) for row in several]


def table_of(tasks: Sequence[Any]) -> Table:
    """Tasks of a list: parameters by name, each with its `split` where wanted; or objects of the environment's own.

    Where all parameters are numbers, they are the fields of a task; otherwise its only field is its `row`.
    """
    tasks = [dict(task) if isinstance(task, Mapping) else task for task in tasks]
    named = [task.pop("split", None) if isinstance(task, dict) else None for task in tasks]
    rows = split_rows(len(tasks), named)
    if all(isinstance(task, dict) for task in tasks):
        _check_rows(tasks)
        if tasks[0] and all(_is_number(value) for task in tasks for value in task.values()):
            return _numbers(tasks, rows)
    index: Columns = {"row": (spaces.Discrete(len(tasks)), np.arange(len(tasks), dtype=np.int32))}
    return Table(index, rows, lambda task: tasks[int(task.row)])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _check_rows(tasks: Sequence[dict[str, Any]]) -> None:
    """Equal names, finite numbers."""
    for task in tasks:
        if task.keys() != tasks[0].keys():
            raise UserError(f"all tasks must have the same parameters, got {list(tasks[0])} and {list(task)}")
        for name, value in task.items():
            if _is_number(value) and not math.isfinite(value):
                raise UserError(f"the parameters of a task must be finite, got {name} = {value} in {task}")


def _numbers(tasks: Sequence[dict[str, Any]], rows: Mapping[str, np.ndarray]) -> Table:
    """Tasks whose parameters are all numbers: these are the fields."""
    columns: Columns = {}
    kinds = []
    for field, name in zip(_fields(list(tasks[0])), tasks[0], strict=True):
        column = [task[name] for task in tasks]
        kinds.append(int if all(isinstance(value, int | np.integer) for value in column) else float)
        array = np.array(column, np.int32 if kinds[-1] is int else np.float32)
        columns[field] = spaces.Box(array.min(), array.max(), (), array.dtype), array  # type: ignore[arg-type]
    names = list(tasks[0])
    return Table(columns, rows, lambda task: {n: kind(x) for n, kind, x in zip(names, kinds, task, strict=True)})


def _combinations(choices: Mapping[str, Choice], fixed: Mapping[str, Any]) -> Table:
    """All combinations of choices."""
    sizes = [len(one.values) for one in choices.values()]
    if math.prod(sizes) > MOST_ROWS:
        raise UserError(f"expected at most {MOST_ROWS} combinations of choices, got {math.prod(sizes)}: use a range")
    indices = np.array(list(itertools.product(*map(range, sizes))), np.int32)
    spaces_of = [one.space for one in choices.values()]
    columns = dict(zip(_fields(list(choices)), zip(spaces_of, indices.T, strict=True), strict=True))

    def values(task: PyTree) -> dict[str, Any]:
        chosen = {name: one.values[int(x)] for (name, one), x in zip(choices.items(), task, strict=True)}
        return {**fixed, **chosen}

    return Table(columns, split_rows(len(indices), [None] * len(indices)), values)


def split_rows(count: int, named: Sequence[str | None]) -> dict[str, np.ndarray]:
    """Which rows each split has: as named, unnamed ones being for training; or, none being named, at random.

    A fifth of the rows are for testing and a tenth, where there are ten, for validation.
    """
    for split in named:
        if split is not None and split not in SPLITS:
            raise unknown("split", split, SPLITS)
    if any(named):
        of = lambda split: np.array([i for i, name in enumerate(named) if (name or "train") == split], np.int32)
        rows = {split: of(split) for split in SPLITS}
        if not (len(rows["train"]) and len(rows["test"])):
            raise UserError("tasks with a `split` must have one for `train` and one for `test` among them")
        return rows
    if count < 3:
        raise UserError(f"there must be at least 3 tasks, so that one can be held out, got {count}")
    order = np.random.default_rng(0).permutation(count).astype(np.int32)
    test, validation = max(1, count // 5), count // 10
    rest = order[test + validation :]
    return {"train": rest, "validation": order[test : test + validation], "test": order[:test]}
