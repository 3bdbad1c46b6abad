"""The learner on several devices: each has the whole meta-state, and its share of the lifetimes.

The update stays one program, written for one device. Where it sums over tasks the compiler adds the exchange between
devices, so the numbers are those of one device but for the order of sums.
"""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rl_meta.errors import UserError
from rl_meta.training.loop import Improve
from rl_meta.types import Info, Key, Lifetimes, PyTree


def devices_to_learn_on(count: int) -> list[jax.Device]:
    """The first ones.

    Raises:
        UserError: there are not so many.
    """
    found = jax.devices()
    if len(found) < count:
        raise UserError(f"{count} devices to learn on: there are {len(found)}, {', '.join(map(str, found))}")
    return found[:count]


def spread_over(count: int, improve: Improve) -> Improve:
    """`improve`, compiled, on so many devices; the number of tasks must be a multiple of it."""
    if count == 1:
        return improve
    mesh = Mesh(np.array(devices_to_learn_on(count)), ("tasks",))
    everywhere, shared = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("tasks"))

    def spread(key: Key, meta: PyTree, lifetimes: Lifetimes) -> tuple[PyTree, Info]:
        key, meta = jax.device_put((key, meta), everywhere)
        meta, info = improve(key, meta, jax.device_put(lifetimes, shared))
        return jax.device_put((meta, info), jax.devices()[0])  # lifetimes are begun and kept on one

    return spread
