"""The agent in an environment that it has never seen and that knows nothing of RL-Meta: Gymnasium's CartPole-v1.

Meta-trained on poles with hidden physics and a hidden push direction, the agent balances Gymnasium's pole as it
is, and with left and right exchanged, which it has to notice by itself.
"""

import argparse

import gymnasium
import numpy as np

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.cartpole import CartPole

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-06", help="run directory")
parser.add_argument("--steps", type=int, default=800_000, help="environment steps of training")
parser.add_argument("--tasks", type=int, default=20, help="lifetimes in each of the two environments")
options = parser.parse_args()

method = RL2(memory=32, meta_batch_size=32)
agent = rl_meta.load(rl_meta.train(CartPole(horizon=100), method, out=options.out, steps=options.steps))


def first_episode(seed: int, *, exchanged: bool) -> int:
    """How many steps the pole stays up, at most 100."""
    env = gymnasium.make("CartPole-v1", max_episode_steps=100)
    obs, _ = env.reset(seed=seed)
    agent.begin_task(seed=seed)
    steps, reward, terminated, truncated = 0, 0.0, False, False
    while not (terminated or truncated):
        action = int(agent.act(obs, reward, terminated, truncated))
        obs, reward, terminated, truncated, _ = env.step(1 - action if exchanged else action)
        steps += 1
    return steps


for exchanged in (False, True):
    lengths = [first_episode(seed, exchanged=exchanged) for seed in range(options.tasks)]
    name = "left and right exchanged" if exchanged else "Gymnasium's CartPole-v1"
    print(f"{name}, first episode: {np.mean(lengths):.0f} (should be about 95 of 100)")
