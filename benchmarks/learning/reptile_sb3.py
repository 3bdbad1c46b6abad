"""Stable-Baselines3 begun from aggregated weights: environment steps until a new task is mastered (see `head_start`).

    python benchmarks/learning/reptile_sb3.py                                       all: hours
    python benchmarks/learning/reptile_sb3.py reptile-sb3-ppo-cartpole              one of them
    python benchmarks/learning/reptile_sb3.py --seeds 1 --tasks 2 --steps 20000     a trial run; nothing is written

Measured with its own tools: `EvalCallback` tries the policy, acting deterministically; `StopTrainingOnRewardThreshold`
ends the learning. Steps of these trials do not count.
"""

from typing import Any

import torch
from head_start import Study, main
from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold

from rl_meta.integrations.foreign import ForeignReptile
from rl_meta.integrations.sb3 import SB3Learner
from rl_meta.integrations.sb3_envs import TaskVecEnv
from rl_meta.tasks.base import Family
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.types import PyTree

N_ENVS, EPISODES = 8, 16
"""Copies of the task, and episodes of one trial."""
EVERY = 64
"""Steps of all copies between two trials."""
PPO: dict[str, Any] = {"learning_rate": 1e-3, "n_steps": 64, "batch_size": 128, "n_epochs": 8}
SAC: dict[str, Any] = {"learning_rate": 1e-3, "learning_starts": 256, "gradient_steps": 4, "gamma": 0.95}
SMALL = {"policy_kwargs": {"net_arch": [64, 64]}}


def study(algorithm: str, family: Family, settings: dict[str, Any], **others: Any) -> Study:
    """Of one algorithm on one family."""
    settings = settings | SMALL

    def make(seed: int) -> SB3Learner:
        return SB3Learner(algorithm, family, n_envs=N_ENVS, seed=seed, **settings)

    def learn_pooled(learner: SB3Learner, steps: int) -> None:
        learner.model.set_env(TaskVecEnv(family, N_ENVS, every_episode=True, seed=learner.model.seed))
        learner.model.learn(steps)
        learner.model.set_env(learner.env)

    tries = TaskVecEnv(family, EPISODES, seed=1000)

    def steps_to(learner: SB3Learner, task: PyTree, target: float, longest: int) -> int | None:
        learner.env.put(task)
        tries.put(task)
        tries.seed(1000)
        reached = StopTrainingOnRewardThreshold(target)
        trial = EvalCallback(
            tries, reached, n_eval_episodes=EPISODES, eval_freq=EVERY, deterministic=True, verbose=0, warn=False
        )
        learner.model.learn(longest, callback=trial)
        return learner.model.num_timesteps if trial.best_mean_reward >= target else None

    name = f"reptile-sb3-{algorithm.lower()}-{type(family).__name__.lower()}"
    described = {"name": f"sb3:{algorithm}", "n_envs": N_ENVS, **settings}
    return Study(name, family, described, make, learn_pooled, steps_to, **others)


STUDIES = [
    study(
        "PPO",
        CartPole(),
        PPO,
        outer=ForeignReptile(meta_batch_size=8, task_steps=4096),
        train_steps=31 * 8 * 4096,
        target=190.0,
        longest=40_960,
    ),
    study(
        "SAC",
        Pendulum(),
        SAC,
        outer=ForeignReptile(meta_batch_size=8, task_steps=2048),
        train_steps=25 * 8 * 2048,
        target=-350.0,
        longest=20_480,
    ),
]

if __name__ == "__main__":
    torch.set_num_threads(1)  # networks are small
    main(STUDIES, str(__doc__))
