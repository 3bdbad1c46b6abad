"""A family in pure JAX behind the protocol of environments on the host: both collectors must agree on it."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.axes import select
from rl_meta.tasks.envs import Outcome
from rl_meta.tasks.probes import OneArmPays
from rl_meta.tasks.wrappers import Wrapped


@dataclass(frozen=True)
class Hosted(Wrapped):
    """The same family, lived on the host."""

    overlaps: bool = False

    def make_envs(self, count):
        return FamilyEnvs(self.family)


class FamilyEnvs:
    wants_keys = True

    def __init__(self, family):
        self.reset = jax.jit(jax.vmap(family.reset))
        self.step = jax.jit(partial(step, family), static_argnames="cut")
        self.state = None

    def begin(self, born, tasks, seeds, keys):
        tasks = jax.tree.map(jnp.asarray, tasks)
        fresh = (tasks, *self.reset(keys, tasks))
        now = fresh if self.state is None else select(jnp.asarray(born), fresh, (self.tasks, self.state, self.obs))
        self.tasks, self.state, self.obs = now
        return jax.tree.map(np.asarray, self.obs)

    def send(self, action, keys, *, cut, final=None):
        self.state, outcome = self.step(keys, self.state, action, self.tasks, cut=cut)
        self.obs = outcome.obs
        self.outcome = jax.tree.map(np.asarray, outcome)

    def receive(self):
        return self.outcome

    def close(self):
        self.state = None


def step(family, keys, state, action, tasks, *, cut):
    state, next_obs, reward, terminated, truncated, measured = jax.vmap(family.step)(keys[:, 0], state, action, tasks)
    truncated = (truncated | cut) & ~terminated
    fresh = jax.vmap(family.reset)(keys[:, 1], tasks)
    state, obs = select(terminated | truncated, fresh, (state, next_obs))
    return state, Outcome(obs, next_obs, reward, terminated, truncated, measured=measured)


@dataclass(frozen=True)
class HostedArms(OneArmPays):
    """`OneArmPays` on the host, with settings that a run can write down."""

    overlaps = False

    def make_envs(self, count):
        return FamilyEnvs(self)
