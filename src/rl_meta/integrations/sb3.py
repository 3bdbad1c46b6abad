"""Stable-Baselines3's algorithms as learners to be meta-trained, for the tasks of any family."""

import os
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import sb3_contrib
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.save_util import recursive_getattr

from rl_meta.errors import UserError, unknown
from rl_meta.integrations.sb3_envs import TaskVecEnv
from rl_meta.tasks.base import Family
from rl_meta.types import PyTree

ALGORITHMS = {
    **{name: getattr(stable_baselines3, name) for name in ("PPO", "A2C", "SAC", "TD3", "DQN")},
    **{name: getattr(sb3_contrib, name) for name in ("TRPO", "QRDQN")},
}
ROLLOUTS, ROLLOUT_STEPS = ("PPO", "TRPO"), 2048
"""Those that Stable-Baselines3 lets take so many steps in each environment, unless told otherwise."""
NOISE = "log_std"
"""The parameter of exploration. It shrinks in every task; averaged, the meta-model would soon explore no more."""


class SB3Learner:
    """See `ForeignLearner`. `settings` are those of Stable-Baselines3, as in `PPO("MlpPolicy", env, **settings)`."""

    def __init__(self, algorithm: str, family: Family, *, n_envs: int = 8, seed: int = 0, **settings: Any) -> None:
        """algorithm: of `ALGORITHMS`.

        Raises:
            UserError: an unknown algorithm or setting, or one that the family's actions do not suit.
        """
        if algorithm not in ALGORITHMS:
            raise unknown("algorithm of Stable-Baselines3", algorithm, ALGORITHMS)
        if algorithm in ROLLOUTS:  # as many steps between two updates as with one environment
            settings = {"n_steps": max(1, ROLLOUT_STEPS // n_envs), **settings}
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)  # networks are small
        policy = "MultiInputPolicy" if isinstance(family.observation_space, spaces.Dict) else "MlpPolicy"
        self.env = TaskVecEnv(family, n_envs, seed=seed)
        try:
            self.model: BaseAlgorithm = ALGORITHMS[algorithm](
                policy, self.env, seed=seed, **{"device": "cpu", **settings}
            )
        except (TypeError, AssertionError, ValueError) as error:
            raise UserError(f"{algorithm} cannot be made with {settings}: {error}") from None
        self._begun = {name: x.clone() for name, x in self._tensors.items() if name.endswith(NOISE)}

    @cached_property
    def _others(self) -> list[str]:
        """Tensors that are no part of a module, as SAC's temperature."""
        return list(self.model._get_torch_save_params()[1])

    @property
    def _tensors(self) -> dict[str, torch.Tensor]:
        found = {f"policy.{name}": x for name, x in self.model.policy.state_dict().items()}
        return found | {name: recursive_getattr(self.model, name).data for name in self._others}

    @property
    def update_steps(self) -> int:
        """See `BatchLearner`."""
        return self.env.num_envs * (self.model.n_steps if isinstance(self.model, OnPolicyAlgorithm) else 1)

    def get_parameters(self) -> PyTree:
        """All weights, but for the noise of exploration."""
        return {name: x.numpy().copy() for name, x in self._tensors.items() if name not in self._begun}

    def set_parameters(self, parameters: PyTree) -> None:
        """See `ForeignLearner`."""
        with torch.no_grad():
            for name, x in self._tensors.items():
                x.copy_(self._begun[name] if name in self._begun else torch.from_numpy(np.array(parameters[name])))
        for name in self.model._get_torch_save_params()[0]:
            part = recursive_getattr(self.model, name)
            if isinstance(part, torch.optim.Optimizer):
                part.state = defaultdict(dict)
        if getattr(self.model, "replay_buffer", None) is not None:
            self.model.replay_buffer.reset()  # type: ignore[attr-defined, unused-ignore]
        self.model._n_updates = 0
        if hasattr(self.model, "_n_calls"):  # by which targets are updated
            self.model._n_calls = 0

    def reseed(self, seed: int) -> None:
        """See `RepeatableLearner`."""
        self.model.set_random_seed(seed)

    def learn(self, task: PyTree, steps: int) -> float:
        """See `ForeignLearner`."""
        self.env.put(task)
        self.model.learn(steps)
        episodes = [told["r"] for told in self.model.ep_info_buffer or ()]
        return float(np.mean(episodes)) if episodes else float("nan")

    def evaluate(self, task: PyTree, episodes: int = 8) -> float:
        """See `ForeignLearner`. The policy acts deterministically."""
        self.env.put(task)
        return float(np.mean(evaluate_policy(self.model, self.env, episodes, warn=False)[0]))

    def save(self, path: Path) -> None:
        """A zip file as every other of Stable-Baselines3: `PPO.load` reads it."""
        part = path.with_name(path.name + ".part.zip")  # the library appends a suffix where there is none
        self.model.save(part)
        part.replace(path)
