from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from rl_meta.tasks.equality import same_values


class Task(NamedTuple):
    name: str
    data: bytes


@dataclass
class Goal:
    place: np.ndarray


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Named:
    """Its class says what is equal: the name, whatever the rest."""

    def __init__(self, name, rest):
        self.name, self.rest = name, rest

    def __eq__(self, other):
        return self.name == other.name


def circle():
    """An object that leads back to itself."""
    thing = Plain(number=1)
    thing.me = [thing]
    return thing


SAME = [
    lambda: 1,
    lambda: "word",
    lambda: None,
    lambda: float("nan"),
    lambda: {1, 2},
    lambda: [{"goal": (1, 2.5)}, {"goal": (3, 4.5)}],
    lambda: {"goal": np.array([1.0, np.nan])},
    lambda: np.float32(0.5),
    lambda: np.array([None, {"deep": np.zeros(2)}], dtype=object),
    lambda: Task("reach", b"\x80\x04"),
    lambda: Goal(np.arange(3)),
    lambda: Plain(goal=np.arange(3), parent=Plain(name="world")),
    lambda: Named("a", object()),
    circle,
]


@pytest.mark.parametrize("make", SAME)
def test_what_is_made_twice_in_the_same_way_is_the_same(make):
    assert same_values(make(), make())


def test_the_order_of_a_mapping_does_not_matter():
    assert same_values({"a": 1, "b": 2}, {"b": 2, "a": 1})


DIFFERENT = [
    (1, 2),
    (1, True),
    (1, 1.0),
    (float("nan"), 1.0),
    ([1, 2], (1, 2)),
    ([1, 2], [2, 1]),
    ([1, 2], [1, 2, 3]),
    ({"a": 1}, {"b": 1}),
    ({"a": {"b": [1]}}, {"a": {"b": [2]}}),
    (np.zeros(2), np.zeros(3)),
    (np.zeros(2, np.float32), np.zeros(2)),
    (np.array([0.0, 1.0]), np.array([0.0, np.nan])),
    (np.array([[1]], dtype=object), np.array([[2]], dtype=object)),
    (Task("reach", b"1"), Task("reach", b"2")),
    (Goal(np.zeros(2)), Goal(np.ones(2))),
    (Plain(a=1), Plain(a=2)),
    (Plain(a=1), Plain()),
    (Named("a", 1), Named("b", 1)),
    (object(), object()),
    (lambda: 1, lambda: 1),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_differs_anywhere_is_not_the_same(one, other):
    assert not same_values(one, other)
    assert not same_values(other, one)


def test_a_function_is_the_same_as_itself():
    assert same_values([len, np.mean], [len, np.mean])
