"""Reptile: how many environment steps in a new task until PPO, begun from the meta-model, reaches a return?

    python benchmarks/learning/reptile.py                      all three
    python benchmarks/learning/reptile.py reptile-cartpole     one of them

Beside it on the same held-out tasks: the same PPO begun from a multi-task policy that was trained for as many steps,
and from a random start. Target: at most a third of the steps from a random start, and fewer than from the multi-task
policy. Where the push direction is known one policy balances every pole, so that there is nothing to gain over
multi-task learning; that experiment is here for comparison.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from experiment import RESULTS, RUNS, SEEDS, chosen

import rl_meta
from rl_meta.algorithms.base import Adapter
from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.reptile import Reptile
from rl_meta.algorithms.scratch import Scratch
from rl_meta.evaluation.lifetimes import live_through
from rl_meta.numerics.statistics import summarise
from rl_meta.tasks.base import Family, draw_tasks
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.training.config import read_config
from rl_meta.training.run import load_params, versions
from rl_meta.types import PyTree

TASKS = 16
"""Held-out tasks, the same for all seeds and agents."""


@dataclass(frozen=True)
class Experiment:
    """Who learns what for how long, and which return is to be reached."""

    family: Family
    reptile: Reptile
    train_steps: int
    targets: tuple[float, ...]
    """Returns, from modest to as good as PPO from a random start becomes."""
    stages: int
    """Improvements in a new task; of 512 steps each."""


INNER = {"learning_rate": 3e-3, "epochs": 8, "discount": 0.95}
EXPERIMENTS = {
    "reptile-cartpole": Experiment(CartPole(), Reptile(), 2_000_000, (190.0,), 60),
    "reptile-cartpole-fixed-push": Experiment(CartPole(hide_direction=False), Reptile(), 2_000_000, (190.0,), 60),
    "reptile-pendulum": Experiment(
        Pendulum(), Reptile(improvements=16, **INNER), 8_000_000, (-400.0, -350.0, -300.0), 80
    ),
}
PPO = ("learning_rate", "epochs", "discount", "trace", "hidden", "copies", "rollout_steps")
"""Settings that all have in common."""


def run(name: str) -> None:
    """Train, adapt to the held-out tasks, write the result."""
    experiment = EXPERIMENTS[name]
    family, reptile = experiment.family, experiment.reptile
    shared = {field: getattr(reptile, field) for field in PPO}
    scratch = Scratch(improvements=experiment.stages, **shared)
    multitask = MultiTask(hidden=reptile.hidden, discount=reptile.discount, rollout_steps=family.horizon)
    from_model, from_nothing = (method.build(family, 1).adapter for method in (reptile, scratch))
    curves: dict[str, list[np.ndarray]] = {"reptile": [], "multi-task": [], "scratch": []}
    for seed in range(SEEDS):
        models = [
            trained(f"{name}-{part}-{seed}", family, method, experiment.train_steps, seed)
            for part, method in (("reptile", reptile), ("multitask", multitask))
        ]
        for agent, (adapter, params) in zip(
            curves, [*((from_model, model) for model in models), (from_nothing, ())], strict=True
        ):
            steps, returns = learning_curve(adapter, params, experiment, seed)
            curves[agent].append(returns)
            needed = {target: reached(steps, returns, target) for target in experiment.targets}
            print(f"  seed {seed}, {agent}: steps until a return {needed}", flush=True)
    write(name, experiment, steps, curves)


def trained(name: str, family: Family, method: Any, steps: int, seed: int) -> PyTree:
    """The meta-parameters of a run; one that was cut off goes on where it was."""
    directory = rl_meta.train(family, method, out=RUNS / name, steps=steps, seed=seed)
    params = load_params(read_config(directory / "config.json"), directory)
    return jax.tree.map(lambda x: x[0], params)


def learning_curve(
    adapter: Adapter, params: PyTree, experiment: Experiment, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps in the task [G], and mean return over the held-out tasks by then."""
    family, shape = experiment.family, experiment.reptile.shape(experiment.family)
    tasks = draw_tasks(family, jax.random.key(1000), TASKS, "test")
    lived = live_through(adapter, params, family, replace(shape, stages=experiment.stages), tasks, jax.random.key(seed))
    return lived.stage_env_steps, lived.stages.mean(0)


def reached(steps: np.ndarray, returns: np.ndarray, target: float) -> int | None:
    """Steps to the end of the first stage with that return."""
    return next((int(s) for s, r in zip(steps, returns, strict=True) if r >= target), None)


def write(name: str, experiment: Experiment, steps: np.ndarray, curves: dict[str, list[np.ndarray]]) -> None:
    """benchmarks/results/NAME.json."""
    needed = {
        f"{target:g}": {agent: [reached(steps, c, target) for c in by_seed] for agent, by_seed in curves.items()}
        for target in experiment.targets
    }
    until = lambda by_seed: interval(by_seed, int(steps[-1]))
    result = {
        "name": name,
        "family": {"class": type(experiment.family).__name__, **dataclasses.asdict(experiment.family)},
        "method": {"class": "Reptile", **dataclasses.asdict(experiment.reptile)},
        "env_steps": experiment.train_steps,
        "seeds": SEEDS,
        "tasks": TASKS,
        "returns": experiment.targets,
        "steps_to_return_by_seed": needed,
        "steps_to_return": {
            target: {agent: until(by_seed) for agent, by_seed in found.items()} for target, found in needed.items()
        },
        "curve_env_steps": steps.tolist(),
        "curves": {agent: np.round(by_seed, 2).tolist() for agent, by_seed in curves.items()},
        "versions": versions(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"{name}: steps until a return {needed}")


def interval(by_seed: Sequence[int | None], longest: int) -> dict[str, Any]:
    """Over seeds; those that never got there count with all steps they had, and make it a lower bound."""
    numbers = [[longest if steps is None else steps] for steps in by_seed]
    return {**summarise(numbers), "at_least": None in by_seed}


def main() -> None:
    """The experiments that the command line asks for."""
    for name in chosen(list(EXPERIMENTS)):
        run(name)


if __name__ == "__main__":
    main()
