"""An agent as Meta-World's own evaluator wants it.

    metaworld.evaluation.metalearning_evaluation(MetaWorldAgent(rl_meta.load(run), envs.num_envs), envs)

Each environment is a lifetime. While it adapts, the agent acts as in training; then every evaluation episode begins
with the agent as adaptation has left it, at its best. See McLean et al. (2025), "Meta-World+".
"""

from copy import copy
from typing import Any

import numpy as np

from rl_meta.collection.agent import Agent, PredictState
from rl_meta.errors import UserError


class MetaWorldAgent:
    """`metaworld.evaluation.MetaLearningAgent`, of an agent that was trained in the family `metaworld`.

    Meta-World does not tell the last observation of an episode: the one before it stands for it. In evaluation episodes
    it tells rewards in the observation alone, where the environments were made with `recurrent_info_in_obs=True` and
    `normalize_reward_in_recurrent_info=False`; otherwise the agent goes without.
    """

    def __init__(self, agent: Agent, envs: int, *, seed: int = 0) -> None:
        """agent: as loaded. envs: environments of the evaluator. seed: decides all that the agent draws."""
        self._agents = [copy(agent) for _ in range(envs)]
        self._size = int(np.prod(agent.observation_space.shape or ()))
        self._seeds = np.random.default_rng(seed)
        self._timestep: Any = None
        self._adapted: list[PredictState] = []
        self._states: list[PredictState] = []
        self._first = np.ones(envs, bool)
        self._paid = np.zeros(envs)

    def init(self) -> None:
        """New tasks: all is forgotten."""
        for agent in self._agents:
            agent.begin_task(int(self._seeds.integers(2**31)))
        self._timestep, self._adapted = None, []

    def adapt_action(self, observations: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Actions [n, 4] as in training, and nothing beside them."""
        seen, _ = self._read(observations)
        if self._timestep is None:
            return np.stack([agent.act(obs) for agent, obs in zip(self._agents, seen, strict=True)]), {}
        finals = self._read(self._timestep.observation)[0]
        several = zip(self._agents, seen, *self._outcome(), finals, strict=True)
        return np.stack([agent.act(obs, *led_to, final_observation=last) for agent, obs, *led_to, last in several]), {}

    def step(self, timestep: Any) -> None:
        """What the actions led to, a `metaworld.evaluation.Timestep`."""
        self._timestep = timestep

    def adapt(self) -> None:
        """The end of adaptation, so far: what came last is taken in."""
        finals = self._read(self._timestep.observation)[0]
        several = zip(self._agents, *self._outcome(), finals, strict=True)
        self._adapted = [agent.settle(*led_to, final_observation=last) for agent, *led_to, last in several]
        self._paid = np.array(self._timestep.reward, float)
        self._timestep = None

    def reset(self, env_mask: np.ndarray) -> None:
        """Evaluation episodes begin where the mask [n] is true."""
        if not self._adapted:
            raise UserError("nothing to evaluate: call init, adapt_action, step and adapt before reset")
        self._first = np.array(env_mask, bool)
        states = self._states or self._adapted
        both = zip(env_mask, self._adapted, states, strict=True)
        self._states = [adapted if begins else state for begins, adapted, state in both]

    def eval_action(self, observations: np.ndarray) -> np.ndarray:
        """The best actions [n, 4]."""
        seen, told = self._read(observations)
        paid = np.where(self._first, self._paid, told)
        several = zip(self._agents, seen, self._states, self._first, paid, strict=True)
        found = [
            agent.predict(obs, state, np.array([first]), True, reward=np.array([reward]))  # noqa: FBT003
            for agent, obs, state, first, reward in several
        ]
        self._states = [state for _, state in found]
        return np.stack([action for action, _ in found])

    def _outcome(self) -> list[list[Any]]:
        """Rewards, and which episodes ended or were cut."""
        told = self._timestep.reward, self._timestep.terminated, self._timestep.truncated
        return [np.asarray(x).tolist() for x in told]

    def _read(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the agent sees [n, 39], and the last rewards [n], zeros where they are not told."""
        more = observations.shape[1] - self._size
        if more not in (0, 6):
            raise UserError(
                f"observations must have {self._size} numbers, or {self._size + 6} with the last action, reward and "
                f"end, got {observations.shape[1]}"
            )
        told = observations[:, -2] if more else np.zeros(len(observations))
        return observations[:, : self._size], told
