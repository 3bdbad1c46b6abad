"""Ranges of settings, as they are written and as values for trials: `method.learning-rate=log:1e-4:1e-2`.

LOW:HIGH and log:LOW:HIGH draw a number, whole where the setting is; choice:A,B,C draws a value, where 64x64 is the
tuple (64, 64).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from rl_meta.errors import UserError, unknown
from rl_meta.settings import Among, Around, Between, Range, check_settings, ranges, searched
from rl_meta.tasks.distributions import Choice, Distribution, LogUniform, Uniform, parse

CHOICE = "choice:"
Parts = Mapping[str, Any]
"""The settings of the family and of the method, under these names."""


def read_ranges(entries: Sequence[str], parts: Parts) -> dict[str, Distribution]:
    """Distributions of values by field, as in `method.learning_rate`; choices have the types of their fields.

    Raises:
        UserError: an unknown field, one that is not of that kind, or values that it does not allow.
    """
    found: dict[str, Distribution] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        name = name.replace("-", "_")
        part, _, field = name.partition(".")
        if not (equals and text and field):
            raise UserError(f"--range must be like method.learning-rate=log:1e-4:1e-2, got {entry!r}")
        if part not in parts:
            raise unknown("part of a run", part, parts)
        known = {f"{p}.{f.name}" for p, settings in parts.items() for f in dataclasses.fields(settings)}
        if name not in known:
            raise unknown("field", name.replace("_", "-"), (one.replace("_", "-") for one in known))
        if name in found:
            raise UserError(f"{name} has two ranges: give it one")
        _, drawn = parse(f"{name}={text.removeprefix(CHOICE)}")
        found[name] = _fitting(drawn, name, parts[part], is_choice=text.startswith(CHOICE))
    return found


def _fitting(drawn: Distribution, name: str, settings: Any, *, is_choice: bool) -> Distribution:
    """With values of the field's type, all of which it allows."""
    field = name.partition(".")[2]
    hint = get_type_hints(type(settings))[field]
    if isinstance(drawn, Choice):
        drawn = Choice(tuple(_typed(value, hint, name) for value in drawn.values))
    elif is_choice or not _takes(hint, int, float) or _takes(hint, tuple):
        raise UserError(f"{name} takes no numbers from a range: give {name}=choice:A,B with values for it")
    ends = drawn.values if isinstance(drawn, Choice) else (value_at(drawn, x, whole=_whole(hint)) for x in (0.0, 1.0))
    for value in ends:
        check_settings(dataclasses.replace(settings, **{field: value}))
    return drawn


def default_ranges(method: Any) -> dict[str, Distribution]:
    """What the method's settings declare beside their fields.

    Raises:
        UserError: they declare nothing.
    """
    found: dict[str, Distribution] = {}
    allowed = ranges(type(method))
    for field, where in searched(type(method)).items():
        value, limits = getattr(method, field), allowed.get(field, Range())
        if isinstance(where, Among):
            found[f"method.{field}"] = Choice(where.values)
        elif isinstance(where, Between):
            found[f"method.{field}"] = Uniform(where.low, where.high)
        elif isinstance(where, Around) and value:  # a weight of 0 stays off
            high = min(value * where.factor, math.inf if limits.high is None else limits.high)
            found[f"method.{field}"] = LogUniform(value / where.factor, high)
    if not found:
        raise UserError(f"{type(method).__name__} does not say where to look: give --range method.FIELD=LOW:HIGH")
    return found


def draw(drawn: Mapping[str, Distribution], parts: Parts, trials: int, seed: int) -> list[dict[str, Any]]:
    """Values of every field for each of the trials.

    A field's range is cut into as many strips as there are trials, and each trial has one of its own (a Latin
    hypercube; McKay et al. 1979): a few trials cover it better than independent draws.
    """
    random = np.random.default_rng(seed)
    columns = {}
    for name, distribution in drawn.items():
        part, _, field = name.partition(".")
        whole = _whole(get_type_hints(type(parts[part]))[field])
        units = (random.permutation(trials) + random.random(trials)) / trials
        columns[name] = [value_at(distribution, float(unit), whole=whole) for unit in units]
    return [{name: values[i] for name, values in columns.items()} for i in range(trials)]


def value_at(distribution: Distribution, unit: float, *, whole: bool) -> Any:
    """The value at a point of [0, 1]; numbers have four digits."""
    if isinstance(distribution, Choice):
        return distribution.values[min(int(unit * len(distribution.values)), len(distribution.values) - 1)]
    low, high = distribution.low, distribution.high
    above = math.floor(high) + 1 if whole else high  # all whole numbers are as wide
    low = math.ceil(low) if whole else low
    value = low * (above / low) ** unit if isinstance(distribution, LogUniform) else low + (above - low) * unit
    return min(math.floor(value), math.floor(high)) if whole else min(max(float(f"{value:.4g}"), low), high)


def as_written(distribution: Distribution) -> str:
    """As `read_ranges` reads it."""
    if not isinstance(distribution, Choice):
        return str(distribution)
    words = ("x".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in distribution.values)
    return CHOICE + ",".join("none" if word == "None" else word for word in words)


def _typed(value: Any, hint: Any, name: str) -> Any:
    """A value as written, in the type of its field."""
    if value == "none" and _takes(hint, NoneType):
        return None
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise unknown(f"value of {name}", str(value), map(str, get_args(hint)))
        return value
    if _takes(hint, tuple):
        try:
            return tuple(int(word) for word in str(value).split("x"))
        except ValueError:
            raise UserError(f"a value of {name} must be like 64 or 64x64, got {value!r}") from None
    if isinstance(value, int) and not isinstance(value, bool) and not _takes(hint, int) and _takes(hint, float):
        return float(value)
    if not _takes(hint, type(value), Any):
        raise UserError(f"{name} takes values of type {getattr(hint, '__name__', hint)}, got {value!r}")
    return value


def _takes(hint: Any, *kinds: Any) -> bool:
    """Is one of the types the hint, or a part of it where that is a union?"""
    parts = (hint, get_origin(hint), *(part for one in get_args(hint) for part in (one, get_origin(one))))
    return any(kind in parts for kind in kinds)


def _whole(hint: Any) -> bool:
    return _takes(hint, int) and not _takes(hint, float)
