"""A family and a method whose scores are known: for tests of tuning, also in processes of Ray."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape, keep_adapted
from rl_meta.errors import UserError
from rl_meta.settings import Around, Count, Rate
from rl_meta.tasks.base import Transition
from rl_meta.tasks.probes import ArmTask, Clock, OneArmPays
from rl_meta.types import Array, PyTree

PAID = {"train": 1, "validation": 2}
"""What the second arm pays. There are no test tasks: whoever draws one fails."""
HORIZON = 4


@dataclass(frozen=True)
class SecondArmPays(OneArmPays):
    """The second arm pays 1 in training and 2 in validation."""

    end: Rate = 0.0
    horizon: Count = HORIZON

    def sample(self, key, split="train"):
        return ArmTask(jnp.array(PAID[split]))

    def step(self, key, state, action, task):
        time, no = state.time + 1, jnp.zeros((), bool)
        reward = (action * task.arm).astype(float)
        return Transition(Clock(time), jnp.zeros(1), reward, no, time >= self.horizon)


class LeaningState(NamedTuple):
    """How much it leans toward the second arm."""

    params: Array
    updates: PyTree = ()


@dataclass(frozen=True)
class Leaning:
    """Leans toward the second arm by `rate` in every iteration, whatever happens; diverges with a rate above 9."""

    rate: Annotated[float, Around(10)] = 0.1
    meta_batch_size: Count = 4
    parts: Count = 1
    widths: tuple[Count, ...] = (8,)
    limit: Count | None = None
    kind: Literal["one", "two"] = "one"

    def view(self, family):
        return family

    def shape(self, family):
        if self.meta_batch_size % self.parts:
            raise UserError(f"parts must divide the {self.meta_batch_size} tasks, got {self.parts}")
        return Shape(1, 1, family.horizon, restart=False)

    def build(self, family, iterations):
        def act(key, params, adapted, memory, inputs):
            return memory, jax.random.bernoulli(key, jax.nn.sigmoid(params)).astype(jnp.int32), ()

        def update(key, state, lifetimes):
            moved = state.params + jnp.where(self.rate > 9, jnp.nan, self.rate)
            return LeaningState(moved), {"lean": moved}

        adapter = Adapter(lambda key, params: ((), ()), act, keep_adapted)
        return MetaAlgorithm(adapter, lambda key: LeaningState(jnp.zeros(())), update)


def expected(rate, iterations):
    """The score of `Leaning`, in the mean."""
    return 2 * HORIZON / (1 + np.exp(-rate * iterations))
