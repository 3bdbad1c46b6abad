"""RLlib's PPO, begun from aggregated weights: how many environment steps until a new task is mastered?

    python benchmarks/learning/reptile_rllib.py                                   5 seeds, 50 tasks: many hours
    python benchmarks/learning/reptile_rllib.py --seeds 1 --tasks 2 --steps 20000 a trial run; nothing is written

Beside it, in the same held-out tasks: the same PPO begun from a policy that was trained on pooled tasks for as many
steps, and from its own random start. Target: at most half of the steps from a random start, and fewer than from pooled
tasks.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from experiment import RESULTS, RUNS, SEEDS

from rl_meta.integrations.foreign import ForeignReptile, meta_train
from rl_meta.integrations.rllib import RLlibLearner
from rl_meta.numerics.statistics import summarise
from rl_meta.settings import to_plain
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.cartpole import CartPole
from rl_meta.training.run import versions
from rl_meta.types import PyTree

NAME = "reptile-rllib-cartpole"
TASKS = 50
"""Held-out, the same for all seeds and starts."""
TRAIN_STEPS = 1_000_000
TARGET = 190.0
"""Mean return of the episodes that end in an iteration of PPO; 200 is the longest."""
LONGEST = 40_960
"""Steps in a new task, after which it is given up."""
ITERATION = 512
SETTINGS = {
    "lr": 1e-3,
    "gamma": 0.99,
    "train_batch_size_per_learner": ITERATION,
    "minibatch_size": 128,
    "num_epochs": 8,
    "model_config": {"fcnet_hiddens": [64, 64], "fcnet_activation": "tanh", "vf_share_layers": False},
}
OUTER = ForeignReptile(meta_batch_size=8, task_steps=8 * ITERATION)
STARTS = ("reptile", "pooled", "random")


def start_of(name: str, learner: RLlibLearner, family: CartPole, seed: int, steps: int) -> PyTree:
    """The weights to begin new tasks with; what was trained before is not trained again."""
    kept = RUNS / f"{NAME}-{name}-{seed}-{steps}.npz"
    if name == "random":
        return learner.get_parameters()
    if not kept.exists():
        RUNS.mkdir(parents=True, exist_ok=True)
        if name == "reptile":
            out = RUNS / f"{NAME}-{seed}-{steps}-{np.random.default_rng().integers(2**31)}"
            meta_train(learner, family, OUTER, out=out, steps=steps, seed=seed, model="model")
        else:
            learner.env.tasks.every_episode = True
            learner.learn(family.sample(jax.random.key(seed)), steps)
            learner.env.tasks.every_episode = False
        np.savez(kept, **learner.get_parameters())
    return dict(np.load(kept))


def needed(learner: RLlibLearner, start: PyTree, task: PyTree) -> int | None:
    """Steps in a task until the target; None: it was not reached."""
    learner.set_parameters(start)
    for iteration in range(LONGEST // ITERATION):
        if learner.learn(task, ITERATION) >= TARGET:
            return (iteration + 1) * ITERATION
    return None


def run(seeds: int, count: int, steps: int) -> dict[str, Any]:
    """By start: steps needed, by seed and task."""
    family = CartPole()
    tasks = draw_tasks(family, jax.random.key(1000), count, "test")
    found: dict[str, list[list[int | None]]] = {name: [] for name in STARTS}
    for seed in range(seeds):
        for name in STARTS:
            learner = RLlibLearner("PPO", family, n_envs=8, seed=seed, **SETTINGS)
            start = start_of(name, learner, family, seed, steps)
            own = [needed(learner, start, jax.tree.map(lambda x, i=i: x[i], tasks)) for i in range(count)]
            learner.close()
            found[name].append(own)
            print(f"  seed {seed}, {name}: {TARGET:g} after {_mean(own):,.0f} steps, by task {own}", flush=True)
    return found


def _mean(steps: Sequence[int | None]) -> float:
    """Tasks that were given up count with all steps they had: a lower bound."""
    return float(np.mean([LONGEST if one is None else one for one in steps]))


def main() -> None:
    """What the command line asks for; the whole experiment is written to benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--steps", type=int, default=TRAIN_STEPS, help="of training, per seed and start")
    options = parser.parse_args()
    found = run(options.seeds, options.tasks, options.steps)
    means = {name: [[_mean(own)] for own in by_seed] for name, by_seed in found.items()}
    result = {
        "name": NAME,
        "family": {"class": "CartPole", **to_plain(CartPole())},
        "learner": {"name": "rllib:PPO", "n_envs": 8, **SETTINGS},
        "method": to_plain(OUTER),
        "env_steps": options.steps,
        "seeds": options.seeds,
        "tasks": options.tasks,
        "return": TARGET,
        "longest": LONGEST,
        "steps_to_return": {name: summarise(by_seed) for name, by_seed in means.items()},
        "never": {name: sum(one is None for own in by_seed for one in own) for name, by_seed in found.items()},
        "steps_by_seed_and_task": found,
        "versions": versions(),
    }
    print(json.dumps(result["steps_to_return"]))
    if (options.seeds, options.tasks, options.steps) == (SEEDS, TASKS, TRAIN_STEPS):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{NAME}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
