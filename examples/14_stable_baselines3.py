"""Stable-Baselines3: PPO that begins with weights aggregated over many tasks, and is ahead in the next one.

Poles differ in length and mass, the cart in the direction in which a push moves it. In tasks that were never seen, PPO
learns for 1,024 steps, once from the aggregated weights and once from its own random ones; an episode pays 100 at most.
The model is an ordinary one of Stable-Baselines3. This needs `pip install 'rl-meta[sb3]'`.
"""

import argparse

import jax
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

import rl_meta
from rl_meta.integrations.sb3_envs import TaskVecEnv
from rl_meta.tasks.cartpole import CartPole

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-14", help="directory")
parser.add_argument("--steps", type=int, default=400_000, help="environment steps of meta-training")
parser.add_argument("--tasks", type=int, default=10, help="held-out tasks")
options = parser.parse_args()

torch.set_num_threads(1)  # networks are small
family = CartPole(horizon=100)
settings = {"n_steps": 64, "batch_size": 128, "learning_rate": 1e-3}
report = lambda line: print(f"{line['env_steps']:,} steps, return in training {line['return'][0]}", flush=True)
run = rl_meta.train_learner(
    family, "sb3:PPO", out=options.out, steps=options.steps, settings=settings, report=report
)  # on the command line: rl-meta train cartpole reptile --learner sb3:PPO

earned = {"aggregated": [], "random": []}
for seed in range(options.tasks):
    env = TaskVecEnv(family, n_envs=8, task=family.sample(jax.random.key(seed), "test"), seed=seed)
    models = {
        "aggregated": PPO.load(run / "model.zip", env=env, seed=seed),
        "random": PPO("MlpPolicy", env, seed=seed, device="cpu", **settings),
    }
    for name, model in models.items():
        model.learn(1024)
        earned[name].append(evaluate_policy(model, env, 8, warn=False)[0])
print(f"after 1,024 steps, from random weights: {np.mean(earned['random']):.1f} (should be about 58.0)")
print(f"after 1,024 steps, from the aggregated ones: {np.mean(earned['aggregated']):.1f} (should be about 94.0)")
