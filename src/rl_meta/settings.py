"""Frozen dataclasses as settings: ranges are part of the type, and stated once.

@dataclass(frozen=True)
class Example:
    rate: Rate = 0.1
    arms: Count = 5

check_settings(Example(rate=2.0))   # UserError: Example.rate must be in [0, 1], got 2.0
"""

import dataclasses
import math
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

from rl_meta.errors import UserError, unknown

T = TypeVar("T")


class Range(NamedTuple):
    """The values that a number may take; `None` is no bound."""

    low: float | None = None
    high: float | None = None
    open_low: bool = False

    def allows(self, value: float) -> bool:
        """Is `value` allowed? NaN never is."""
        above = self.low is None or (value > self.low if self.open_low else value >= self.low)
        return not math.isnan(value) and above and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        """As a person writes it."""
        if self.low is not None and self.high is not None:
            low, high = (x if isinstance(x, int) else f"{x:g}" for x in (self.low, self.high))
            return f"be in {'(' if self.open_low else '['}{low}, {high}]"
        if self.low is not None:
            return f"be {'more than' if self.open_low else 'at least'} {self.low:g}"
        return f"be at most {self.high:g}"


Rate = Annotated[float, Range(0, 1)]
Positive = Annotated[float, Range(0, None, open_low=True)]
NotNegative = Annotated[float, Range(0, None)]
Count = Annotated[int, Range(1, None)]
LARGEST_SEED = 2**32 - 1
"""Keys are made of 32 bits: a larger one would be the same as some smaller one."""


class Around(NamedTuple):
    """Where tuning looks unless told otherwise: within this factor of the default, by its logarithm."""

    factor: float


class Between(NamedTuple):
    """Where tuning looks unless told otherwise: from `low` to `high`."""

    low: float
    high: float


class Among(NamedTuple):
    """Where tuning looks unless told otherwise: these values."""

    values: tuple[Any, ...]


Searched = Around | Between | Among
LearningRate = Annotated[Positive, Around(5)]
BonusWeight = Annotated[NotNegative, Around(10)]
Trace = Annotated[Rate, Between(0.8, 1.0)]
Epochs = Annotated[Count, Among((2, 4, 8))]


def ranges(cls: type) -> dict[str, Range]:
    """The `Range` of every annotated field of a dataclass."""
    return _annotated(cls, Range)


def searched(cls: type) -> dict[str, Searched]:
    """Where tuning looks, of every field that says so."""
    return _annotated(cls, Searched)


def _annotated(cls: type, kind: Any) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    found = {}
    for field in dataclasses.fields(cls):
        for candidate in _annotations(hints[field.name], kind):
            found[field.name] = candidate
    return found


def _annotations(hint: Any, kind: Any) -> list[Any]:
    """What is annotated in a type, also inside a union such as `Count | None` or a `tuple[Count, ...]`."""
    own = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, kind)]
    return own + [r for part in getattr(hint, "__args__", ()) for r in _annotations(part, kind)]


def check_settings(settings: Any) -> None:
    """Raise `UserError` where a number (or one in a tuple) is outside of its field's range, or is no number.

    Values that are not Python objects of settings at all (tracers, in a sweep by `vmap`) pass.
    """
    hints = get_type_hints(type(settings))
    for name, allowed in ranges(type(settings)).items():
        value, where = getattr(settings, name), f"{type(settings).__name__}.{name}"
        if isinstance(value, list) or (_holds(hints[name], tuple) and isinstance(value, int | float)):
            wanted = "a tuple of numbers, such as (64, 64)" if _holds(hints[name], tuple) else "a number"
            raise UserError(f"{where} must be {wanted}, got {value!r}")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, str | bool | list | dict) or (number is None and not _holds(hints[name], type(None))):
                raise UserError(f"{where} must be a number, got {number!r}")
            if isinstance(number, float) and not _holds(hints[name], float):
                raise UserError(f"{where} must be a whole number, got {number!r}")
            if isinstance(number, int | float) and not allowed.allows(number):
                raise UserError(f"{where} must {allowed}, got {number!r}")


def is_off(weight: Any) -> bool:
    """Is a weight the number 0, so that what it weighs need not exist? A tracer never is."""
    return isinstance(weight, int | float) and weight == 0


def _holds(hint: Any, kind: type) -> bool:
    """Is `kind` the type, or a part of it, as of `float | None` or `tuple[int, ...]`?"""
    return (
        hint is kind
        or getattr(hint, "__origin__", None) is kind
        or any(_holds(part, kind) for part in getattr(hint, "__args__", ()))
    )


PYTHON = "python"
"""Key under which a function or class among the settings is named in JSON, by its path; it is never imported."""


def to_plain(settings: Any) -> dict[str, Any]:
    """The fields as JSON values."""
    return {f.name: plain_value(getattr(settings, f.name)) for f in dataclasses.fields(settings)}


def plain_value(value: Any) -> Any:
    """A setting as a JSON value; functions and classes as where they are from."""
    if isinstance(value, dict):
        return {name: plain_value(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(part) for part in value]
    if callable(value):
        return {PYTHON: f"{value.__module__}:{value.__qualname__}"}
    return value.tolist() if hasattr(value, "tolist") else value


def has_python(plain: Any) -> bool:
    """Is there a function or class among settings in JSON, which cannot be made from it?"""
    parts = plain.values() if isinstance(plain, dict) else plain if isinstance(plain, list) else ()
    return (isinstance(plain, dict) and PYTHON in plain) or any(map(has_python, parts))


def from_plain(cls: type[T], plain: dict[str, Any]) -> T:
    """The inverse of `to_plain`: lists become tuples, unknown fields are refused."""
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in plain:
        if name not in names:
            raise unknown(f"field of {cls.__name__}", name, names)
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()})
