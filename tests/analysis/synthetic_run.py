"""Run directories with made-up numbers, as `rl-meta train` and `rl-meta evaluate` would write them."""

import json

import numpy as np

from rl_meta.numerics.statistics import paired_difference, summarise


def curve(rng, levels, step, tasks, seeds, spread=12.0, cap=200.0):
    """Entries of a curve that goes through `levels`, and its scores [entries, seeds, tasks]."""
    hardness = spread * rng.normal(size=(1, 1, tasks))
    noise = spread * rng.normal(size=(len(levels), seeds, tasks))
    scores = np.clip(np.asarray(levels, float)[:, None, None] + hardness + noise, 0, cap)
    entries = [{"env_steps": step * (i + 1), **summarise(s)} for i, s in enumerate(scores)]
    return entries, scores


def add_short_episodes(evaluation):
    """As when early episodes end early: more episodes than stages."""
    episodes = [
        {**entry, "env_steps": entry["env_steps"] / 2, "iqm": entry["iqm"] - 3}
        for stage in evaluation["stages"]
        for entry in (stage, stage)
    ]
    evaluation["episodes"] = numbered("episode", episodes)
    return evaluation


def numbered(unit, entries):
    return [{unit: number, **entry} for number, entry in enumerate(entries)]


def synthetic_evaluation(*, seeds=1, episodes=2, tasks=200, reached=True, baselines=True):
    """An evaluation as `rl-meta evaluate` would write it: one stage per episode."""
    rng = np.random.default_rng(0)
    levels = 184 - 60 * np.exp(-np.arange(episodes) / 1.5)
    entries, scores = curve(rng, levels, 200, tasks, seeds)
    evaluation = {
        "format": 1,
        "family": "cartpole",
        "method": "rl2",
        "split": "test",
        "tasks": tasks,
        "seeds": seeds,
        "acting": "sampled",
        "stages": numbered("stage", entries),
        "episodes": numbered("episode", entries),
        "lifetime": summarise(scores.sum(0)),
        "delta": paired_difference(scores[-1], scores[0]),
        "baselines": {},
        "speedup": {},
        "scores": {"first": scores[0].mean(0).tolist(), "last": scores[-1].mean(0).tolist()},
    }
    if baselines:
        add_baselines(evaluation, rng, episodes, reached)
    return evaluation


def add_baselines(evaluation, rng, episodes, reached):
    best = 195 if reached else 100
    plans = {
        "scratch": (22 + (best - 22) / (1 + np.exp(-(np.arange(30) - 14) / 3)), 2000),
        "oracle": (np.full(episodes, 192.0), 200),
        "multitask": (np.full(episodes, 61.0), 200),
    }
    for name, (levels, step) in plans.items():
        entries, scores = curve(rng, levels, step, 32, 1)
        evaluation["baselines"][name] = {
            "tasks": 32,
            "stages": numbered("stage", entries),
            "episodes": numbered("episode", entries),
            "lifetime": summarise(scores.sum(0)),
        }
    target = evaluation["stages"][0]
    scratch = evaluation["baselines"]["scratch"]["stages"]
    there = next((e["env_steps"] for e in scratch if e["iqm"] >= target["iqm"]), None)
    evaluation["speedup"]["scratch"] = {
        "return": target["iqm"],
        "steps": target["env_steps"],
        "baseline_steps": there,
        "times": (there or scratch[-1]["env_steps"]) / target["env_steps"],
        "at_least": there is None,
    }


def synthetic_metrics(*, seeds=1, rows=120, stages=2):
    """A training log, with the gaps that real ones have."""
    rng = np.random.default_rng(1)
    for iteration in range(rows):
        part = iteration / rows
        level = 20 + 160 * (1 - np.exp(-5 * part)) + 6 * rng.normal(size=seeds)
        by_stage = level[:, None] - 25 * part * np.linspace(1, -1, stages)
        row = {
            "iteration": iteration,
            "env_steps": 25_600 * (iteration + 1),
            "total_env_steps": 25_600 * (iteration + 1) * seeds,
            "seconds": 0.8,
            "steps_per_second": 32_000 + 1500 * rng.normal(),
            "return": level.tolist(),
            "return_by_stage": by_stage.tolist(),
            "policy_loss": (-0.02 + 0.005 * rng.normal(size=seeds)).tolist(),
            "value_loss": (40 * np.exp(-3 * part) + rng.normal(size=seeds) ** 2).tolist(),
            "entropy": (0.69 * np.exp(-1.2 * part) + 0.01 * rng.normal(size=seeds)).tolist(),
            "approximate_kl": (4e-4 * rng.random(size=seeds)).tolist(),
            "clipped_share": [None] * seeds if iteration % 7 == 0 else rng.random(size=seeds).tolist(),
            "remark": "text is not a metric",
        }
        yield row


def write_run(directory, *, seeds=1, evaluation=None, rows=120, stages=2, method="rl2"):
    """A run's directory with everything in it."""
    config = {
        "format": 1,
        "family": {"name": "cartpole", "horizon": 200, "hide_direction": True},
        "method": {
            "name": method,
            "learning_rate": 3e-4,
            "widths": [64, 64],
            "gru": {"size": 128},
            "clip": None,
        },
        "seed": 0,
        "seeds": seeds,
        "steps": 3_000_000,
        "note": None,
    }
    versions = {"rl-meta": "0.1.0", "jax": "0.10.2", "python": "3.11.9", "device": "NVIDIA H200"}
    lines = [json.dumps(row) + "\n" for row in synthetic_metrics(seeds=seeds, rows=rows, stages=stages)]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "versions.json").write_text(json.dumps(versions))
    (directory / "metrics.jsonl").write_text("".join(lines))
    if evaluation is not None:
        (directory / "evaluation.json").write_text(json.dumps(evaluation))
    return directory
