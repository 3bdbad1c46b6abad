"""Trials, what came of them, and DIR/trials.json, from which tuning goes on.

DIR/trials.json    every trial's values, state and scores        DIR/trials/000, ...    the runs
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax

from rl_meta.algorithms.base import Method
from rl_meta.errors import UserError, unknown
from rl_meta.settings import Count, check_settings
from rl_meta.tasks.base import Family
from rl_meta.training.checkpoints import write_whole
from rl_meta.training.config import RunConfig, config_from
from rl_meta.training.metrics import plain
from rl_meta.training.run import program_of, root_keys
from rl_meta.tuning.trial import SPLIT

FORMAT = 1
SCHEDULES = ("asha", "none")
OVER = ("finished", "stopped")
"""States of trials that are not run again: at the end of their steps, or stopped because others were better."""


@dataclass
class Trial:
    """A run with values of its own."""

    number: int
    values: dict[str, Any]
    """By field, as in `method.learning_rate`."""
    state: str = "waiting"
    """waiting, running, interrupted, failed, or of `OVER`."""
    scores: list[dict[str, Any]] = field(default_factory=list)
    """`env_steps` and `score` by then, in the order of time."""
    error: str | None = None

    @property
    def env_steps(self) -> int:
        """By the last score."""
        return self.scores[-1]["env_steps"] if self.scores else 0

    @property
    def score(self) -> float | None:
        """The last one; None: there is none, or it is not a number."""
        return self.scores[-1]["score"] if self.scores else None


@dataclass(frozen=True)
class Search:
    """All that determines what is tried."""

    base: RunConfig
    """What all trials have in common."""
    trials: Count
    ranges: dict[str, str]
    """By field, as written."""
    tasks: Count = 100
    """Of the validation split, the same for all trials."""
    schedule: str = "asha"

    def __post_init__(self) -> None:
        check_settings(self)
        if self.schedule not in SCHEDULES:
            raise unknown("schedule", self.schedule, SCHEDULES)
        if SPLIT not in self.base.family.splits:
            raise UserError(f"trials are scored in {SPLIT} tasks, and {type(self.base.family).__name__} has none")

    def config(self, values: dict[str, Any]) -> RunConfig:
        """A trial's run. Raises `UserError` where the values contradict each other."""
        parts = {
            part: replace(
                getattr(self.base, part), **{n[len(part) + 1 :]: v for n, v in values.items() if _of(part, n)}
            )
            for part in ("family", "method")
        }
        return replace(self.base, **parts)


def _of(part: str, name: str) -> bool:
    return name.startswith(part + ".")


@dataclass(frozen=True)
class Results:
    """A search and its trials, in a directory."""

    directory: Path
    search: Search
    trials: list[Trial]

    def run_of(self, trial: Trial) -> Path:
        """The run directory of a trial."""
        return self.directory / "trials" / f"{trial.number:03d}"

    @property
    def best(self) -> Trial | None:
        """The trial with the best last score of those that went the farthest; None: there are no scores."""
        scored = [trial for trial in self.trials if trial.score is not None]
        finished = [trial for trial in scored if trial.state == "finished"]
        return max(finished or scored, key=lambda trial: trial.score, default=None)  # type: ignore[arg-type, return-value]

    def to_plain(self) -> dict[str, Any]:
        """What is in trials.json."""
        base = json.loads(self.search.base.to_json())
        best = self.best
        rows = [{**asdict(one), "score": one.score, "run": str(self.run_of(one))} for one in self.trials]
        return {
            "format": FORMAT,
            "base": base,
            "ranges": self.search.ranges,
            "tasks": self.search.tasks,
            "schedule": self.search.schedule,
            "best": None if best is None else best.number,
            "trials": rows,
        }

    def write(self) -> None:
        """DIR/trials.json, whole or not at all."""
        write_whole(self.directory / "trials.json", (json.dumps(self.to_plain(), indent=1) + "\n").encode())

    def add_score(self, trial: Trial, env_steps: int, score: float) -> None:
        """One more; those of before an interruption, told again, are left out."""
        if env_steps > trial.env_steps:
            trial.scores.append({"env_steps": env_steps, "score": plain(score)})


def begin(directory: Path, search: Search, values: list[dict[str, Any]]) -> Results:
    """A new search, checked as far as it can be without training; where the directory holds this very one, that.

    Raises:
        UserError: the directory holds another search, or a trial's values contradict each other.
    """
    if (directory / "trials.json").exists():
        found = read(directory, family=search.base.family, method=search.base.method)
        if (found.search, [trial.values for trial in found.trials]) != (search, values):
            raise UserError(f"{directory} holds other trials: go on with --resume {directory}, or choose another")
        return found
    trials = [Trial(number, one) for number, one in enumerate(values)]
    _check(search, trials)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the directory {directory}: {error.strerror}") from None
    results = Results(directory, search, trials)
    results.write()
    return results


def _check(search: Search, trials: list[Trial]) -> None:
    """Make every trial's run as far as its shapes, once for all that differ by numbers that set none."""
    seen = set()
    for trial in trials:
        try:
            config = search.config(trial.values)
            sizes = repr({name: value for name, value in trial.values.items() if not isinstance(value, float)})
            if sizes in seen:
                continue
            seen.add(sizes)
            program = program_of(config)
            program.close()
            jax.block_until_ready(program.shapes(root_keys(config)))
        except UserError as error:
            told = ", ".join(f"{name}={value}" for name, value in trial.values.items())
            raise UserError(f"trial {trial.number} ({told}): {error}") from None


def read(directory: Path, *, family: Family | None = None, method: Method | None = None) -> Results:
    """What is in a directory. A family or method of the user's own has to be given.

    Raises:
        UserError: there are no trials that this version reads.
    """
    path = directory / "trials.json"
    try:
        told = json.loads(path.read_text())
        rows, version = told["trials"], told["format"]
    except OSError as error:
        raise UserError(f"{directory} has no trials: cannot read trials.json ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is not what `rl-meta tune` writes") from None
    if version != FORMAT:
        raise UserError(f"{path} has format {version}, this version of RL-Meta reads format {FORMAT}")
    base = config_from(told["base"], path, family=family, method=method)
    search = Search(base, len(rows), told["ranges"], told["tasks"], told["schedule"])
    return Results(directory, search, [_trial(row) for row in rows])


def _trial(row: dict[str, Any]) -> Trial:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in row["values"].items()}
    return Trial(row["number"], values, row["state"], row["scores"], row["error"])
