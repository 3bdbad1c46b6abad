"""Are two things that a user's code made the same? By their values, however deep, and not by how they are written down.

- Mappings have the same keys, in any order, and the same values; lists and tuples the same elements in the same order.
- Arrays have the same shape, type and elements. NaN is the same as NaN, in arrays and out of them.
- Objects whose class says what `==` means are what it says; dataclasses and objects of other classes have the same
  attributes.
- What has neither, such as a function, is only the same as itself.

Nothing is the same as a thing of another type.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


def same_values(one: Any, other: Any) -> bool:
    """Are they the same, as this file means it?"""
    return _same(one, other, frozenset())


def _same(one: Any, other: Any, within: frozenset[tuple[int, int]]) -> bool:
    """within: what is being compared already, so that objects which lead back to themselves come to an end."""
    pair = id(one), id(other)
    if type(one) is not type(other):
        return False
    if one is other or pair in within:
        return True
    if hasattr(one, "__array__"):
        return _same_arrays(np.asarray(one), np.asarray(other), within | {pair})
    parts, others = _parts(one), _parts(other)
    if parts is None or others is None:
        return bool(one == other) or bool(one != one and other != other)  # only NaN is not itself
    return parts.keys() == others.keys() and all(_same(parts[name], others[name], within | {pair}) for name in parts)


def _same_arrays(one: np.ndarray, other: np.ndarray, within: frozenset[tuple[int, int]]) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype == object:
        return _same(one.ravel().tolist(), other.ravel().tolist(), within)
    return bool(np.all((one == other) | ((one != one) & (other != other))))  # as above


def _parts(thing: Any) -> Mapping[Any, Any] | None:
    """By name or number, what a thing consists of; None of what `==` is to compare."""
    if isinstance(thing, Mapping):
        return thing
    if isinstance(thing, list | tuple):
        return dict(enumerate(thing))
    if isinstance(thing, type) or callable(thing):
        return None
    if dataclasses.is_dataclass(thing):
        return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    return vars(thing) if type(thing).__eq__ is object.__eq__ and hasattr(thing, "__dict__") else None
