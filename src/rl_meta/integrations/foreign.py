"""Reptile over learners of other libraries: all that it has to know of one is in `ForeignLearner`.

In each task the learner goes on from the meta-model for some steps; then the meta-model moves toward the weighted mean
of the models that came of it, as in `algorithms.reptile`: θ ← θ + ε Σ wᵢ (θᵢ − θ).
"""

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.collection.crew import Crew, Work
from rl_meta.errors import UserError, unknown
from rl_meta.numerics.aggregation import return_weights, towards
from rl_meta.settings import Count, Positive, Rate, check_settings, to_plain
from rl_meta.tasks.base import Family, draw_tasks
from rl_meta.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint, write_whole
from rl_meta.training.config import LEARNER
from rl_meta.training.metrics import MetricsFiles, plain
from rl_meta.types import Array, PyTree

CHECKPOINTS = "checkpoints"
WEIGHTINGS = ("uniform", "return")


@runtime_checkable
class ForeignLearner(Protocol):
    """A learner of another library, for the tasks of one family."""

    def get_parameters(self) -> PyTree:
        """What is averaged, as NumPy arrays."""

    def set_parameters(self, parameters: PyTree) -> None:
        """Begin a task with these: nothing of the last one is left, neither in an optimiser nor in a replay."""

    def learn(self, task: PyTree, steps: int) -> float:
        """Learn for about so many environment steps in a task; the mean return of its episodes, NaN if none ended."""

    def evaluate(self, task: PyTree) -> float:
        """The mean return in a task, without learning."""

    def save(self, path: Path) -> None:
        """Write the model as its own library does."""


@runtime_checkable
class RepeatableLearner(ForeignLearner, Protocol):
    """One whose learning in a task is a function of (parameters, task, seed), so that anybody may do it."""

    def reseed(self, seed: int) -> None:
        """After `set_parameters`: all that is drawn from now on follows from this."""


@runtime_checkable
class BatchLearner(ForeignLearner, Protocol):
    """One that cannot learn from fewer steps than these, and takes whole multiples of them."""

    @property
    def update_steps(self) -> int:
        """Environment steps between two of its updates."""


class Lesson(NamedTuple):
    """What a learner is to do in one task."""

    task: PyTree
    steps: int
    seed: int


def lessons_of(make: Callable[[], ForeignLearner]) -> Work:
    """The work of a worker, with a learner of its own: (meta-model, lesson) -> model, return.

    Raises:
        UserError: a learner whose learning depends on what it has learned before.
    """
    learner = make()
    if not isinstance(learner, RepeatableLearner):
        raise UserError(f"{type(learner).__name__} has no `reseed`: it cannot learn on several workers, train without")
    return partial(take, learner)


def take(learner: ForeignLearner, theta: PyTree, lesson: Lesson) -> tuple[PyTree, float]:
    """Learn in a task from the meta-model: the model that came of it, and what it earned."""
    learner.set_parameters(theta)
    if isinstance(learner, RepeatableLearner):
        learner.reseed(lesson.seed)
    earned = learner.learn(lesson.task, lesson.steps)
    return learner.get_parameters(), earned


@dataclass(frozen=True)
class ForeignReptile:
    """Weights from which a learner of another library learns a new task fast."""

    meta_batch_size: Count = 8
    """Tasks per iteration."""
    task_steps: Count = 2048
    """Environment steps of learning in each."""
    outer_rate: Rate = 1.0
    """ε: how far the meta-model moves toward the mean of the tasks' models."""
    outer_anneal_to: Rate = 0.1
    """Fraction of `outer_rate` that it falls to, linearly, by the end of training."""
    weighting: Literal["uniform", "return"] = "uniform"
    """What a task's model counts. uniform: all the same; return: more, the higher its return."""
    temperature: Positive = 1.0
    """Of the weighting by return: standard deviations of the tasks' returns that make a weight e times as large."""

    def weights(self, returns: Array) -> Array:
        """[N], with sum 1. returns: [N]."""
        if self.weighting == "return":
            return return_weights(returns, temperature=self.temperature)
        return jnp.full(len(returns), 1 / len(returns))


def meta_train(  # noqa: PLR0913 (all of them are the caller's to choose)
    learner: ForeignLearner,
    family: Family,
    settings: ForeignReptile,
    *,
    out: Path,
    steps: int,
    seed: int = 0,
    model: str = "model.zip",
    about: dict[str, Any] | None = None,
    crew: Crew | None = None,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
) -> Path:
    """Meta-train on the train split for about so many environment steps; write OUT/MODEL, as the learner does.

    `crew` are workers whose work is `lessons_of` the same learner: tasks are learned on them side by side, to the same
    numbers; None: one after the other in this process. OUT/learner.json says what it was made with, OUT/metrics.jsonl
    has a line per iteration.

    Where OUT holds this very run, it goes on after its last whole iteration, which is where Ctrl-C leaves it: to the
    same numbers as without a stop, if the learner is a `RepeatableLearner`.

    Raises:
        UserError: settings out of range, or a directory that holds something else.
    """
    check_settings(settings)
    if settings.weighting not in WEIGHTINGS:
        raise unknown("weighting", settings.weighting, WEIGHTINGS)
    task_steps = _steps_taken(learner, settings.task_steps)
    _prepare(out, {**(about or {}), "settings": to_plain(settings), "steps": steps, "seed": seed})
    per_iteration = settings.meta_batch_size * task_steps
    iterations = max(1, -(-steps // per_iteration))
    outer_step = jax.jit(towards)
    teach = crew.do if crew else lambda theta, lessons: [take(learner, theta, lesson) for lesson in lessons]

    def improved(theta: PyTree, iteration: int, rate: float) -> tuple[PyTree, float]:
        """The next meta-model, and what was earned on the way."""
        tasks = draw_tasks(family, jax.random.fold_in(jax.random.key(seed), iteration), settings.meta_batch_size)
        models, returns = zip(*teach(theta, _lessons(tasks, settings, seed, iteration)), strict=True)
        if settings.weighting == "return" and np.isnan(returns).any():
            raise UserError(f"no episode ended within {settings.task_steps} steps: give more task_steps")
        weights = settings.weights(jnp.asarray(returns))
        stacked = jax.tree.map(lambda *x: np.stack(x), *models)
        theta = jax.tree.map(np.asarray, outer_step(theta, stacked, weights, jnp.float32(rate)))
        if not all(np.isfinite(x).all() for x in jax.tree.leaves(theta)):
            raise UserError("the run has diverged: a model is not finite any more; lower the learning rate")
        return theta, float(np.mean(returns))

    theta, done = _newest(out / CHECKPOINTS, learner.get_parameters())
    if done:
        learner.set_parameters(theta)
        learner.save(out / model)  # what is there may be the model before
    with closing(MetricsFiles(out, iteration=done)) as metrics:
        for iteration in range(done, iterations):
            began = time.monotonic()
            rate = settings.outer_rate * (1 - iteration / iterations * (1 - settings.outer_anneal_to))
            theta, earned = improved(theta, iteration, rate)
            save_checkpoint(out / CHECKPOINTS, iteration + 1, theta)
            learner.set_parameters(theta)
            learner.save(out / model)
            line = {
                "iteration": iteration + 1,
                "env_steps": (iteration + 1) * per_iteration,
                "total_env_steps": iterations * per_iteration,
                "steps_per_second": round(per_iteration / (time.monotonic() - began), 1),
                "return": [plain(earned)],
                "outer_rate": rate,
                **({"worker_deaths": crew.deaths, "tasks_done_again": crew.redone} if crew else {}),
            }
            metrics.write(line)
            report(line)
    return out


def _steps_taken(learner: ForeignLearner, wanted: int) -> int:
    """In a task, by a learner that is to take so many steps.

    Raises:
        UserError: it cannot learn from so few.
    """
    at_least = learner.update_steps if isinstance(learner, BatchLearner) else 1
    if at_least > wanted:
        raise UserError(
            f"an update of this learner takes {at_least:,} steps, a task has {wanted:,}: give more task_steps, or let "
            "it update earlier (n_steps times n_envs in Stable-Baselines3, train_batch_size_per_learner in RLlib)"
        )
    return -(-wanted // at_least) * at_least


def _prepare(out: Path, described: dict[str, Any]) -> None:
    """Write down what is trained, or make sure that the directory holds that very run."""
    text, path = json.dumps(described, indent=1) + "\n", out / LEARNER
    if path.exists():
        if path.read_text() != text:
            raise UserError(
                f"{out} holds a run with other settings: continue it with --resume {out}, or choose another directory"
            )
        return
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty: choose another directory")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())


def _newest(checkpoints: Path, begun: PyTree) -> tuple[PyTree, int]:
    """The meta-model so far, and after how many iterations. begun: before the first one."""
    if not any(checkpoints.glob("*.safetensors")):
        return begun, 0
    newest = newest_checkpoint(checkpoints)
    return jax.tree.map(np.asarray, load_checkpoint(newest, jax.tree.map(jnp.asarray, begun))), int(newest.stem)


def _lessons(tasks: PyTree, settings: ForeignReptile, seed: int, iteration: int) -> list[Lesson]:
    """One for each of the tasks [N]."""
    tasks = jax.tree.map(np.asarray, tasks)
    seeds = np.random.SeedSequence([seed, iteration]).generate_state(settings.meta_batch_size) >> 1
    return [
        Lesson(jax.tree.map(lambda x, i=index: x[i], tasks), settings.task_steps, int(seeds[index]))
        for index in range(settings.meta_batch_size)
    ]
