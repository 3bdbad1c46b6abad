"""One experiment: train over seeds, adapt to held-out tasks, write benchmarks/results/NAME.json.

A run that was cut off goes on where it was; one that is complete is only evaluated again.
"""

import argparse
import json
import time
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


def experiment(
    name: str, family: Family, method: Method, *, steps: int, known: dict[str, float], **tried: Any
) -> dict[str, Any]:
    """Train all seeds, evaluate each on held-out tasks; the result is what is written.

    known: reference values by name, such as the Bayes-optimal one. tried: see `trained_and_tried`. Scores are returns
    of the whole lifetime.
    """
    print(f"{name}: {SEEDS} seeds of {steps:,} steps")
    result = trained_and_tried(name, family, method, steps=steps, **tried)
    result["known"] = known
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    by_seed = [round(total, 3) for total in result["lifetime_by_seed"]]
    print(f"  lifetime return {result['lifetime']['mean']:.3f} by seed {by_seed}; known {known}")
    return result


def trained_and_tried(
    name: str,
    family: Family,
    method: Method,
    *,
    steps: int,
    tasks: int,
    acting: str = "deterministic",
    stages: int | None = None,
    copies: int = 1,
) -> dict[str, Any]:
    """Train all seeds, evaluate each on `tasks` held-out tasks; what there is to tell of it.

    stages: that agents live in evaluation, if not as in training. copies: of the episodes that a stage lives at once,
    over how many of them a lifetime's return is summed.
    """
    began, runs = time.monotonic(), []
    for seed in range(SEEDS):
        out = RUNS / f"{name}-{seed}"
        runs.append(rl_meta.train(family, method, out=out, steps=steps, seed=seed))
        print(f"  seed {seed}: trained, {time.monotonic() - began:.0f} s", flush=True)
    config = json.loads((runs[0] / "config.json").read_text())
    lived = {"family": family, "tasks": tasks, "stages": stages, "acting": acting}
    evaluations = [rl_meta.evaluate(run, **lived, baselines=(), seed=1000) for run in runs]
    totals = [copies * one["lifetime"]["mean"] for one in evaluations]
    return {
        "name": name,
        "family": config["family"],
        "method": {"class": type(method).__name__, **config["method"]},
        "env_steps": steps,
        "seeds": SEEDS,
        "tasks": tasks,
        "acting": acting,
        "copies_summed": copies,
        "lifetime_by_seed": totals,
        "lifetime": summarise([[total] for total in totals]),
        "first_episode": summarise([[one["episodes"][0]["mean"]] for one in evaluations]),
        "episodes_by_seed": [[row["mean"] for row in one["episodes"]] for one in evaluations],
        "stage_env_steps": [row["env_steps"] for row in evaluations[0]["stages"]],
        "stages_by_seed": [[row["mean"] for row in one["stages"]] for one in evaluations],
        "training_seconds": round(sum(line["seconds"] for run in runs for line in metrics_of(run))),
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
