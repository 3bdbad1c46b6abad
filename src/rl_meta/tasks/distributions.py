"""What a parameter of a task is drawn from, as objects and as they are written: `5:15`, `log:0.1:10`, `1,2,3`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.types import Array


@dataclass(frozen=True)
class Uniform:
    """Any number from `low` to `high`, written LOW:HIGH."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise UserError(f"a range must have a finite low below a finite high, got {self}")

    def __str__(self) -> str:
        return f"{float(self.low)!r}:{float(self.high)!r}"

    @property
    def space(self) -> spaces.Box:
        """Of a drawn value."""
        return spaces.Box(self.low, self.high, ())

    def at(self, unit: Array) -> Array:
        """The value at a point of [0, 1], or somewhat outside of it.

        What is positive all over the range stays positive outside: masses and lengths have to.
        """
        width = self.high - self.low
        value = self.low + width * unit
        if self.low <= 0:
            return value
        return jnp.where(unit < 0, self.low / (1 - jnp.minimum(unit, 0) * width / self.low), value)


@dataclass(frozen=True)
class LogUniform:
    """Any number from `low` to `high`, its logarithm uniform, written log:LOW:HIGH."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise UserError(f"a logarithmic range must have a positive low below a finite high, got {self}")

    def __str__(self) -> str:
        return f"log:{float(self.low)!r}:{float(self.high)!r}"

    @property
    def space(self) -> spaces.Box:
        """Of a drawn value."""
        return spaces.Box(self.low, self.high, ())

    def at(self, unit: Array) -> Array:
        """The value at a point of [0, 1], or somewhat outside of it."""
        value = self.low * jnp.exp(unit * math.log(self.high / self.low))
        inside = jnp.clip(value, np.float32(self.low), np.float32(self.high))  # rounding leads no point out of it
        return jnp.where((unit >= 0) & (unit <= 1), inside, value)


@dataclass(frozen=True)
class Choice:
    """One of several values, all equally likely, written A,B,C. Of one value: no choice, but a setting of all tasks."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values or len(set(self.values)) < len(self.values):
            raise UserError(f"a choice must have different values, and at least one, got {self.values}")
        for value in self.values:
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"a choice must have finite values, got {self.values}")

    def __str__(self) -> str:
        return ",".join(str(value) for value in self.values)

    @property
    def space(self) -> spaces.Discrete:
        """Of the chosen value's index."""
        return spaces.Discrete(len(self.values))


Distribution = Uniform | LogUniform | Choice


def parse(entry: str) -> tuple[str, Distribution]:
    """Name and distribution of one entry NAME=LOW:HIGH, NAME=log:LOW:HIGH or NAME=A,B,C."""
    name, equals, text = entry.partition("=")
    if not (name and equals and text):
        raise UserError(
            f"what varies must be like 'length=0.25:1.0', 'mass=log:0.1:10' or 'lanes=2,3,4', got {entry!r}"
        )
    kind: type[Uniform | LogUniform] = LogUniform if text.startswith("log:") else Uniform
    bounds = text.removeprefix("log:").split(":")
    if len(bounds) == 1 and kind is Uniform:
        return name, Choice(tuple(_value(word) for word in text.split(",")))
    try:
        low, high = (float(bound) for bound in bounds)
    except ValueError:
        raise UserError(f"a range must be two numbers LOW:HIGH, got {entry!r}") from None
    try:
        return name, kind(low, high)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def as_text(vary: Mapping[str, Any]) -> tuple[str, ...]:
    """Distributions by name as `parse` reads them. A list or tuple is a choice, another value a setting."""
    found = []
    for name, given in vary.items():
        one = given if isinstance(given, Uniform | LogUniform | Choice) else None
        values = tuple(given) if isinstance(given, list | tuple) else (given,)
        found.append(f"{name}={one or Choice(values)}")
        if parse(found[-1]) != (name, one or Choice(values)):
            raise UserError(f"{name}: choices must be numbers, true or false, or words without commas, got {given!r}")
    return tuple(found)


def _value(word: str) -> Any:
    """A whole number, a number, True or False, or a word."""
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word
