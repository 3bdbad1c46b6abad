"""RLlib's algorithms (new API stack) as learners to be meta-trained, for the tasks of any family."""

import inspect
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.debug import update_global_seed_if_necessary

from rl_meta.errors import UserError, unknown
from rl_meta.integrations.rllib_envs import AnyFamily, FamilyVectorEnv
from rl_meta.ray_session import start
from rl_meta.tasks.base import Family
from rl_meta.types import PyTree

CONFIGS: dict[str, type[AlgorithmConfig]] = {"PPO": PPOConfig, "DQN": DQNConfig}
DEFAULTS: dict[str, dict[str, Any]] = {
    "PPO": {"train_batch_size_per_learner": 512, "minibatch_size": 128},
    "DQN": {"num_steps_sampled_before_learning_starts": 100},
}
"""Unless told otherwise: RLlib's own are for runs of millions of steps, a task takes some thousands."""
MODULE = "model_config"
"""The setting of the network, which RLlib takes apart from the others."""
CPUS = 2


class RLlibLearner:
    """See `ForeignLearner`. `settings` are RLlib's, as in `PPOConfig().training(**settings)`, and `model_config`."""

    def __init__(self, algorithm: str, family: Family, *, n_envs: int = 8, seed: int = 0, **settings: Any) -> None:
        """algorithm: of `CONFIGS`.

        Raises:
            UserError: an unknown algorithm or setting, or one that the family's actions do not suit.
        """
        if algorithm not in CONFIGS:
            raise unknown("algorithm of RLlib", algorithm, CONFIGS)
        if algorithm == "DQN" and not isinstance(family.action_space, spaces.Discrete):
            raise UserError(f"DQN needs a Discrete action space, got {family.action_space}")
        config = config_of(algorithm, family, n_envs=n_envs, seed=seed, settings=settings)
        start(CPUS)
        try:
            self.algorithm: Any = config.build_algo()  # of type Algorithm
        except (TypeError, ValueError) as error:
            raise UserError(f"{algorithm} cannot be made with {settings}: {error}") from None

    @property
    def env(self) -> FamilyVectorEnv:
        """The environments in which it learns."""
        return self.algorithm.env_runner.env.unwrapped

    @property
    def _learner(self) -> Any:
        return self.algorithm.learner_group._learner

    @property
    def update_steps(self) -> int:
        """See `BatchLearner`."""
        config = self.algorithm.config
        return config.total_train_batch_size if isinstance(config, PPOConfig) else 1

    def get_parameters(self) -> PyTree:
        """All weights of the learner's module."""
        return {name: np.array(x) for name, x in self._learner.module[DEFAULT_MODULE_ID].get_state().items()}

    def set_parameters(self, parameters: PyTree) -> None:
        """See `ForeignLearner`. The learner's module and the one that acts are two: both are set."""
        weights = {name: np.asarray(x) for name, x in parameters.items()}
        runner = self.algorithm.env_runner
        self._learner.module[DEFAULT_MODULE_ID].set_state(weights)
        runner.module.set_state({name: weights[name] for name in runner.module.get_state()})
        self._forget()

    def _forget(self) -> None:
        """Moments, replay, and all that RLlib changes as steps go by: each task begins with what a new run has."""
        learner, runner = self._learner, self.algorithm.env_runner
        for optimiser in learner._named_optimizers.values():
            optimiser.state.clear()
        if hasattr(learner, "curr_kl_coeffs_per_module"):
            learner.curr_kl_coeffs_per_module.clear()  # what is missing begins at its first value
        for module in getattr(learner, "last_update_ts_by_mid", ()):
            learner.last_update_ts_by_mid[module] = 0
        self.algorithm.local_replay_buffer = self.algorithm._create_local_replay_buffer_if_necessary(
            self.algorithm.config
        )
        runner.get_metrics()  # what it has counted and not told yet, in an evaluation for example
        self.algorithm.metrics.reset()
        runner.num_env_steps_sampled_lifetime = 0
        runner._needs_initial_reset = True

    def reseed(self, seed: int) -> None:
        """See `RepeatableLearner`. RLlib draws from the generators of this process, which are set."""
        update_global_seed_if_necessary("torch", seed)
        buffer = self.algorithm.local_replay_buffer
        if buffer is not None:
            buffer.rng = np.random.default_rng(seed)
        runner = self.algorithm.env_runner
        runner._seed, runner._needs_initial_reset = seed, True  # environments get it with the reset

    def learn(self, task: PyTree, steps: int) -> float:
        """See `ForeignLearner`."""
        self._put(task)
        self.env.steps = 0
        while self.env.steps < steps:
            self.algorithm.train()
        return float(np.mean(self.env.returns)) if self.env.returns else float("nan")

    def evaluate(self, task: PyTree, episodes: int = 8) -> float:
        """See `ForeignLearner`. The policy acts deterministically."""
        self._put(task)
        lived = self.algorithm.env_runner.sample(num_episodes=episodes, explore=False)
        return float(np.mean([episode.get_return() for episode in lived]))

    def _put(self, task: PyTree) -> None:
        """Be in a task; where that is so already, episodes go on."""
        now = jax.tree.leaves(self.env.get_task())
        if not all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(task), now, strict=True)):
            self.env.set_task(task)
            self.algorithm.env_runner._needs_initial_reset = True
        self.env.returns = []

    def save(self, path: Path) -> None:
        """A checkpoint as every other of RLlib, a directory: `Algorithm.from_checkpoint` reads it."""
        part, old = path.with_name(path.name + ".part"), path.with_name(path.name + ".old")
        shutil.rmtree(part, ignore_errors=True)
        self.algorithm.save_to_path(str(part.absolute()))
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.replace(old)  # a directory cannot be replaced in one step: one of the two is always there
        part.replace(path)
        shutil.rmtree(old, ignore_errors=True)

    def close(self) -> None:
        """Let go of the algorithm."""
        self.algorithm.stop()


def config_of(algorithm: str, family: Family, *, n_envs: int, seed: int, settings: dict[str, Any]) -> AlgorithmConfig:
    """RLlib's configuration: all in this process, environments as one batch, torch with one thread.

    Raises:
        UserError: an unknown setting.
    """
    torch.set_num_threads(1)  # networks are small
    config = CONFIGS[algorithm]()
    known = inspect.signature(config.training).parameters.keys() | _of_every_algorithm() | {MODULE}
    for name in settings:
        if name not in known:
            raise unknown(f"setting of RLlib's {algorithm}", name, known - {"self", "kwargs"})
    training = {**DEFAULTS[algorithm], **settings}
    network = training.pop(MODULE, None)
    config = (
        config.environment(AnyFamily, env_config={"family": family, "seed": seed})
        .env_runners(num_env_runners=0, num_envs_per_env_runner=n_envs, gym_env_vectorize_mode="vector_entry_point")
        .learners(num_learners=0)
        .reporting(min_sample_timesteps_per_iteration=1)
        .debugging(seed=seed, log_level="ERROR")
        .training(**training)
    )
    return config.rl_module(model_config=network) if network else config


def _of_every_algorithm() -> set[str]:
    return set(inspect.signature(AlgorithmConfig.training).parameters)
