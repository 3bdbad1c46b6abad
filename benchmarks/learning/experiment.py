"""Experiments: train over seeds, adapt to held-out tasks, write benchmarks/results/NAME.json.

A run that was cut off goes on where it was; one that is complete is only evaluated again.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rl_meta
from rl_meta.algorithms.base import Method
from rl_meta.numerics.statistics import summarise
from rl_meta.tasks.base import Family
from rl_meta.training.run import versions

HERE = Path(__file__).parent.parent
RESULTS = HERE / "results"
RUNS = HERE.parent / ".cache" / "benchmarks"
SEEDS = 5
SWING_UP: dict[str, Any] = {
    "meta_batch_size": 16,
    "epochs": 8,
    "learning_rate": 1e-3,
    "discount": 0.95,
    "trace": 0.9,
    "entropy_weight": 0.0,
}
"""For pendulums: lifetimes are 600 steps, so that few at once make many updates."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Who learns what for how long, and how it is tried."""

    family: Family
    method: Method
    steps: int
    """Environment steps of training, per seed."""
    tasks: int
    """Held out, on which each seed is tried."""
    known: dict[str, float] = field(default_factory=dict)
    """Reference values by name, such as the Bayes-optimal one; returns of a whole lifetime."""
    acting: str = "deterministic"
    stages: int | None = None
    """That agents live in evaluation, if not as in training."""
    sum_copies: bool = False
    """Over the episodes that a stage lives at once, where a lifetime's return is their sum and not their mean."""


def run_chosen(experiments: dict[str, Experiment]) -> None:
    """Those that the command line asks for: train all seeds, evaluate each, write the results."""
    for name in chosen(list(experiments)):
        one = experiments[name]
        print(f"{name}: {SEEDS} seeds of {one.steps:,} steps")
        result = trained_and_tried(name, one)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        by_seed = [round(total, 3) for total in result["lifetime_by_seed"]]
        print(f"  lifetime return {result['lifetime']['mean']:.3f} by seed {by_seed}; known {one.known}")


def trained_and_tried(name: str, one: Experiment) -> dict[str, Any]:
    """What there is to tell of an experiment."""
    began, runs = time.monotonic(), []
    for seed in range(SEEDS):
        out = RUNS / f"{name}-{seed}"
        runs.append(rl_meta.train(one.family, one.method, out=out, steps=one.steps, seed=seed))
        print(f"  seed {seed}: trained, {time.monotonic() - began:.0f} s", flush=True)
    config = json.loads((runs[0] / "config.json").read_text())
    lived = {"family": one.family, "tasks": one.tasks, "stages": one.stages, "acting": one.acting}
    evaluations = [rl_meta.evaluate(run, **lived, baselines=(), seed=1000) for run in runs]
    copies = getattr(one.method, "copies", 1) if one.sum_copies else 1
    totals = [copies * told["lifetime"]["mean"] for told in evaluations]
    return {
        "name": name,
        "family": config["family"],
        "method": config["method"],
        "env_steps": one.steps,
        "seeds": SEEDS,
        "tasks": one.tasks,
        "acting": one.acting,
        "copies_summed": copies,
        "lifetime_by_seed": totals,
        "lifetime": summarise([[total] for total in totals]),
        "first_episode": summarise([[told["episodes"][0]["mean"]] for told in evaluations]),
        "episodes_by_seed": [[row["mean"] for row in told["episodes"]] for told in evaluations],
        "stage_env_steps": [row["env_steps"] for row in evaluations[0]["stages"]],
        "stages_by_seed": [[row["mean"] for row in told["stages"]] for told in evaluations],
        "training_seconds": round(sum(line["seconds"] for run in runs for line in metrics_of(run))),
        "known": one.known,
        "versions": versions(),
    }


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """What a run wrote about its iterations."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def chosen(names: list[str]) -> list[str]:
    """Which of the script's experiments the command line asks for; all by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names)}")
    given = parser.parse_args().names
    for name in given:
        if name not in names:
            parser.error(f"unknown experiment {name!r}; known: {', '.join(names)}")
    return given or names
