"""RLlib: its PPO, begun with weights aggregated over many tasks, is ahead in the next one.

Poles and carts differ in length, mass and gravity. In tasks that were never seen, PPO learns for 512 steps, once from
the aggregated weights and once from its own random ones; an episode pays 100 at most. The model is an ordinary
checkpoint of RLlib. This needs `pip install 'rl-meta[ray,torch]'`.
"""

import argparse

import jax
import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm

import rl_meta
from rl_meta.integrations.foreign import ForeignReptile
from rl_meta.integrations.learners import learner_of
from rl_meta.tasks.cartpole import CartPole

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-15", help="directory")
parser.add_argument("--steps", type=int, default=60_000, help="environment steps of meta-training")
parser.add_argument("--tasks", type=int, default=6, help="held-out tasks")
options = parser.parse_args()

family = CartPole(horizon=100, hide_direction=False)
settings = {"lr": 1e-3, "train_batch_size_per_learner": 512, "minibatch_size": 128}
report = lambda line: print(f"{line['env_steps']:,} steps, return in training {line['return'][0]}", flush=True)
outer = ForeignReptile(meta_batch_size=4, task_steps=1024)
run = rl_meta.train_learner(
    family, "rllib:PPO", outer, out=options.out, steps=options.steps, settings=settings, report=report
)  # on the command line: rl-meta train cartpole reptile --learner rllib:PPO

earned = {"aggregated": [], "random": []}
for seed in range(options.tasks):
    task = jax.tree.map(np.asarray, family.sample(jax.random.key(seed), "test"))
    algorithms = {
        "aggregated": Algorithm.from_checkpoint(str((run / "model").absolute())),
        "random": learner_of("rllib:PPO", family, n_envs=8, seed=seed, settings=settings).algorithm,
    }
    for name, algorithm in algorithms.items():
        algorithm.env_runner.env.unwrapped.set_task(task)
        algorithm.train()  # on 512 steps
        lived = algorithm.env_runner.sample(num_episodes=16, explore=False)
        earned[name].append(np.mean([episode.get_return() for episode in lived]))
        algorithm.stop()
print(f"after 512 steps, from random weights: {np.mean(earned['random']):.1f} (should be about 61.0)")
print(f"after 512 steps, from the aggregated ones: {np.mean(earned['aggregated']):.1f} (should be about 100.0)")
