"""All that determines a run, as one frozen value that survives a round trip through JSON."""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rl_meta.algorithms.base import Method, Shape
from rl_meta.errors import UserError
from rl_meta.settings import (
    LARGEST_SEED,
    Count,
    Range,
    check_settings,
    from_plain,
    has_python,
    plain_value,
    to_plain,
)
from rl_meta.tasks.base import Family
from rl_meta.tasks.envs import on_host
from rl_meta.training.catalogue import Kind, families, methods

FORMAT = 1
LEARNER = "learner.json"
"""In the place of config.json, where a learner of another library was trained."""
CALLS = 200
"""Into how many compiled calls a run is cut, each with a line of metrics, ..."""
MOST_STEPS_PER_CALL = 400_000
"""... unless they would be longer than this."""
STEPS_TO_LEARN_FROM = 6_400
"""Of all lifetimes of an iteration, about: where lifetimes are long, many at once would leave few updates."""
FEWEST_TASKS, MOST_TASKS = 16, 64
MOST_ITERATIONS = 2**31
"""They are counted in 32 bits."""


def tasks_at_once(steps: int) -> int:
    """How many lifetimes (or segments) of so many steps to learn from at once: a multiple of `FEWEST_TASKS`."""
    enough = STEPS_TO_LEARN_FROM // steps // FEWEST_TASKS * FEWEST_TASKS
    return min(max(enough, FEWEST_TASKS), MOST_TASKS)


@dataclass(frozen=True)
class RunConfig:
    """A method, a family, and how much of them."""

    family: Family
    method: Method
    steps: Count = 3_000_000
    """Environment steps of training, over all lifetimes, per seed."""
    seed: Annotated[int, Range(0, LARGEST_SEED)] = 0
    """The first seed; everything random follows from it."""
    seeds: Count = 1
    """How many seeds are trained at once."""

    def __post_init__(self) -> None:
        for part in (self, self.family, self.method):
            check_settings(part)
        if self.method.meta_batch_size is None:
            settled: Any = self.method
            settled = dataclasses.replace(settled, meta_batch_size=tasks_at_once(self.shape.steps_per_call))
            object.__setattr__(self, "method", settled)
        _ = self.shape  # contradictory sizes are an error now, not after compiling
        if self.iterations >= MOST_ITERATIONS:
            raise UserError(
                f"steps must be fewer than {MOST_ITERATIONS * self.steps_per_iteration:,}, got {self.steps:,}"
            )

    @property
    def shape(self) -> Shape:
        """How long tasks are lived in."""
        return self.method.shape(self.method.view(self.family))

    @property
    def tasks(self) -> int:
        """Lived in at the same time: the method's `meta_batch_size`, which is settled here if it was None."""
        assert self.method.meta_batch_size is not None
        return self.method.meta_batch_size

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps between two updates."""
        return self.shape.steps_per_call * self.tasks

    @property
    def iterations(self) -> int:
        """Updates in the whole run: as many as it takes to reach `steps`."""
        return math.ceil(self.steps / self.steps_per_iteration)

    @property
    def iterations_per_call(self) -> int:
        """Iterations between two lines of metrics; simulators are slow, and nobody wants to lose several."""
        if on_host(self.method.view(self.family)):
            return 1
        most = max(1, MOST_STEPS_PER_CALL // self.steps_per_iteration)
        return max(1, min(math.ceil(self.iterations / CALLS), most))

    def to_json(self) -> str:
        """Readable, and read by `from_json`."""
        plain = {
            "format": FORMAT,
            "family": described(families, self.family),
            "method": described(methods, self.method),
            **{name: plain_value(getattr(self, name)) for name in ("steps", "seed", "seeds")},
        }
        return json.dumps(plain, indent=2) + "\n"


def described(kind: Kind, settings: Any) -> dict[str, Any]:
    """The settings with their name; a class of the user's own goes by its Python path, which is never imported."""
    own = f"{type(settings).__module__}:{type(settings).__qualname__}"
    return {"name": kind.name_of(settings) or own, **to_plain(settings)}


def read_config(path: Path, *, family: Family | None = None, method: Method | None = None) -> RunConfig:
    """The inverse of `RunConfig.to_json`. A family or method of the user's own has to be given.

    Raises:
        UserError: no such file, not a configuration, of a newer version, or with unknown names or fields.
    """
    try:
        plain = json.loads(path.read_text())
    except OSError as error:
        foreign = (path.parent / LEARNER).exists()
        what = "holds a model of another library, which loads it" if foreign else "is not a run directory"
        raise UserError(f"{path.parent} {what}: cannot read {path.name} ({error.strerror})") from None
    except ValueError:
        raise UserError(f"{path} is not a run configuration") from None
    return config_from(plain, path, family=family, method=method)


def config_from(plain: Any, path: Path, *, family: Family | None = None, method: Method | None = None) -> RunConfig:
    """The inverse of `RunConfig.to_json`, after `json.loads`. path: of the file it is from; see `read_config`."""
    try:
        plain = dict(plain)
        version = plain.pop("format")
        parts = dict(plain.pop("family")), dict(plain.pop("method"))
        stored = [{"name": str(part.pop("name")), **part} for part in parts]
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UserError(f"{path} is not a run configuration") from None
    if version != FORMAT:
        raise UserError(
            f"{path} has format {version}, this version of RL-Meta reads format {FORMAT}: "
            "install the version named in versions.json"
        )
    own: dict[str, Any] = {
        "family": restored(families, family, stored[0], path),
        "method": restored(methods, method, stored[1], path),
    }
    known = {field.name for field in dataclasses.fields(RunConfig)} - own.keys()
    for name in plain.keys() - known:
        raise UserError(f"{path} has the unknown field {name!r}; known: {', '.join(sorted(known))}")
    return RunConfig(**own, **plain)


def restored(kind: Kind, given: Any, stored: dict[str, Any], path: Path) -> Any:
    """The inverse of `described`. given: one of the user's own, as which nothing is imported; None: there is none.

    Raises:
        UserError: what is given is another one, or one has to be given.
    """
    if given is not None:
        if json.loads(json.dumps(described(kind, given))) != stored:
            raise UserError(f"{path} was made with the {kind.name} {stored}, got {described(kind, given)}")
        return given
    fields = dict(stored)
    name = str(fields.pop("name"))
    if ":" in name or has_python(fields):
        raise UserError(
            f"{path} was made with a {kind.name} of your own, {name}; give it as the argument `{kind.name}`"
        )
    return from_plain(kind.load(name), fields)
