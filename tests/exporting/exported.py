"""An exported agent beside the one in JAX: both see the same stream of steps, and draw the same."""

import dataclasses
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.algorithms.base import birth_keys, deterministic, stage_keys
from rl_meta.collection.agent import Agent
from rl_meta.exporting.artefact import write_artefact
from rl_meta.exporting.client import Agent as Exported
from rl_meta.exporting.programs import programs_of
from rl_meta.tasks.probes import Countdown, Lights
from rl_meta.tasks.wrappers import Wrapped
from rl_meta.training.catalogue import methods

CLOSE = 1e-4
"""What a runtime may round otherwise than JAX, after a whole lifetime."""
SMALL = {
    "meta_batch_size": 4,
    "improvements": 2,
    "rollout_steps": 32,
    "copies": 2,
    "hidden": (8,),
    "memory": 8,
    "encoder": (8,),
    "width": 8,
    "attention_heads": 2,
    "train_tasks": 5,
    "inner_steps": 2,
}


@dataclasses.dataclass(frozen=True)
class Pointing(Wrapped):
    """The same observations, and actions that are two numbers."""

    @property
    def action_space(self):
        return spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32))


FAMILIES = {"discrete": Countdown(horizon=5), "continuous": Pointing(Countdown(horizon=5)), "pictures": Lights()}


class Made(NamedTuple):
    """An agent, trained as if: its meta-parameters are random."""

    view: object
    shape: object
    algorithm: object
    params: object
    programs: object


@cache
def made(name, family):
    """name: of a method, or `judging rl2` for one with all kinds of memory."""
    cls = methods.load(name.removeprefix("judging "))
    known = {field.name for field in dataclasses.fields(cls)}
    method = cls(**{field: value for field, value in SMALL.items() if field in known})
    if name.startswith("judging"):
        method = dataclasses.replace(method, recall=4, judge=4)
    view = method.view(FAMILIES[family])
    algorithm, shape = method.build(view, 10), method.shape(view)
    params = moved(jax.jit(algorithm.init)(jax.random.key(0)).params)
    return Made(view, shape, algorithm, params, programs_of(algorithm, params, view, shape))


def moved(params):
    """Weights so large that actions depend on what was seen; statistics that are not those of nothing seen."""
    rng = np.random.default_rng(0)
    move = lambda x: rng.normal(size=x.shape) if x.ndim > 1 else x + rng.uniform(0, 0.5, x.shape)
    return jax.tree.map(lambda x: jnp.asarray(move(x), x.dtype) if x.dtype == jnp.float32 else x, params)


def exported(name, family, to, directory):
    """The directory of an exported agent."""
    one = made(name, family)
    write_artefact(directory, one.programs, one.view, one.shape, {"to": to, "family": family, "method": name})
    return directory


class SameDraws(Exported):
    """Draws what it is told."""

    def __init__(self, directory):
        super().__init__(directory)
        self.told = []

    def draw(self, noise, *, resting):
        drawn = self.told.pop(0)
        assert list(drawn.shape) == noise["shape"]
        return 0 * drawn if resting else drawn


def draws_of(one, seed):
    """For every stage of a lifetime: the draws of each act, and those of learn; and before them those of begin."""
    key = jax.random.key(seed)
    zeros = lambda program: [jax.tree.map(jnp.zeros_like, x) for x in program.explicit.like]
    act = jax.jit(jax.vmap(lambda key: one.programs.act.explicit.drawn(key, *zeros(one.programs.act))))
    learning = one.programs.learn
    learn = jax.jit(lambda key: learning.explicit.drawn(key, *zeros(learning)) if learning else ())
    stages = []
    for stage in range(one.shape.stages + 1):
        keys, key_learn = stage_keys(key, jnp.array(stage), one.shape.copies, one.shape.steps)
        drawn = act(keys[..., 0].reshape(-1))
        rows = [[np.asarray(x[i]) for x in drawn] for i in range(keys.shape[0] * keys.shape[1])]
        stages.append((rows, list(map(np.asarray, learn(key_learn)))))
    begun = jax.jit(one.programs.begin.explicit.drawn)(birth_keys(key)[0])
    return list(map(np.asarray, begun)), stages


def stream(one, seed):
    """What an environment might tell: arguments of `act`, one for every step of a lifetime and one more."""
    rng = np.random.default_rng(seed)
    space = one.view.observation_space
    space.seed(seed)
    told = [(space.sample(), {})]
    for _ in range(one.shape.stages * one.shape.copies * one.shape.steps):
        terminated = bool(rng.random() < 0.2)
        ended = {"terminated": terminated, "truncated": bool(rng.random() < 0.2) and not terminated}
        told.append((space.sample(), {"reward": float(rng.normal()), **ended, "final_observation": space.sample()}))
    return told


def actions_of_both(one, directory, *, seed=3, best=False):
    """[L + 1] Actions of the agent in JAX and of the exported one, over a whole lifetime and a step more."""
    spaces_seen = one.view.observation_space, one.view.action_space
    ours = Agent(one.algorithm.adapter, one.params, one.shape, *spaces_seen, best=deterministic(one.algorithm))
    theirs = SameDraws(directory)
    begun, stages = draws_of(one, seed)
    length = one.shape.copies * one.shape.steps
    theirs.told = begun
    ours.begin_task(seed)
    theirs.begin_task(seed)
    found = []
    for index, (observation, outcome) in enumerate(stream(one, seed)):
        stage, step = divmod(index, length)
        before = stages[stage - 1][1] if stage and not step else []
        theirs.told = [*before, *stages[stage][0][step]]
        found.append([agent.act(observation, **outcome, deterministic=best) for agent in (ours, theirs)])
        assert not theirs.told, "a draw was left over"
    mine, other = (np.stack(x) for x in zip(*found, strict=True))
    assert len(np.unique(mine)) > 1, "always the same action: the comparison would be empty"
    return mine, other, ours, theirs
