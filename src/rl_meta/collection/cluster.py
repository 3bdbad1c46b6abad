"""Lifetimes lived in parts, by the workers of a crew: processes of this machine, or actors on others.

A part is a pure function of (meta_params, keys, tasks): its size depends only on how many parts there are, so whoever
lives it, in whatever order, and however often because somebody died, its lifetimes are the same, number by number.
What goes over the wire are the leaves of trees in NumPy; both sides know the trees, for both have built the method.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.algorithms.base import Method, Shape
from rl_meta.axes import select
from rl_meta.collection.base import Collector, keys_of_each
from rl_meta.collection.crew import Crew, Make
from rl_meta.collection.device import device_collector
from rl_meta.collection.host import HostLives
from rl_meta.errors import UserError
from rl_meta.settings import Count, NotNegative, Range, check_settings
from rl_meta.tasks.base import Family, draw_tasks
from rl_meta.tasks.envs import on_device, on_host
from rl_meta.types import Key, Lifetimes, Live, PyTree

Leaves = list[np.ndarray]


@dataclass(frozen=True)
class Cluster:
    """Who lives the lifetimes of a run, or does other work. It is no part of a run's configuration.

    Raises `UserError` where a number is out of its range.
    """

    collectors: Count
    """In how many parts the tasks of an iteration are lived, each by one collector."""
    ray: str | None = None
    """Address of a Ray cluster, `auto` for the one this machine is in, `local` for one of its own; None: collectors
    are processes of this machine, without Ray."""
    cpus: Annotated[float, Range(0, None, open_low=True)] = 1.0
    """Of Ray's, per collector."""
    gpus: NotNegative = 0.0
    """Of Ray's, per collector; at 0 it lives on the processor."""
    learner_devices: Count = 1
    """Over how many of the learner's devices an update is spread."""

    def __post_init__(self) -> None:
        check_settings(self)


class Part(NamedTuple):
    """What some lifetimes follow from, beside the meta-parameters."""

    keys: Leaves
    """[n]"""
    tasks: Leaves
    """[n, ...]"""
    live: Leaves | None
    """[n, ...] What to go on with; None: whole lifetimes, from birth."""


class Lived(NamedTuple):
    """What came of a part."""

    lifetimes: Leaves
    """[n, ...]"""
    lost: int
    """Lifetimes left out because their environment died, each replaced by a copy of another one of the part."""


def crew_of(cluster: Cluster, make: Make) -> Crew:
    """The workers, starting.

    Raises:
        UserError: no such cluster, or Ray is not installed.
    """
    if cluster.ray is None:
        from rl_meta.collection.processes import Processes  # noqa: PLC0415 (the two are alternatives)

        return Crew(Processes(make), cluster.collectors)
    try:
        from rl_meta.collection.ray_actors import RayActors  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UserError(f"a Ray cluster needs an extra ({error}): pip install 'rl-meta[ray]'") from error
    place = RayActors(make, cluster.ray, workers=cluster.collectors, cpus=cluster.cpus, gpus=cluster.gpus)
    return Crew(place, cluster.collectors)


def collecting(method: Method, family: Family, iterations: int) -> Callable[[Leaves, Part], Lived]:
    """The work of a collector. family: as the method sees it."""
    algorithm, shape, key = method.build(family, iterations), method.shape(family), jax.random.key(0)
    params_like = jax.eval_shape(algorithm.init, key).params
    tasks_like = jax.eval_shape(lambda key: draw_tasks(family, key, 1), key)
    hosted = on_host(family)
    if hosted:
        lives = HostLives(algorithm.adapter, hosted, shape)
    else:
        device = device_collector(algorithm.adapter, on_device(family), shape)
        live_like = jax.eval_shape(device.begin, key, params_like, tasks_like)
        from_birth = jax.jit(lambda k, p, tasks: device.collect(k, p, device.begin(k, p, tasks), tasks)[1])
        go_on = jax.jit(lambda *known: device.collect(*known)[1])

    def work(params: Leaves, part: Part) -> Lived:
        keys, params, tasks = unpacked(part.keys, key), unpacked(params, params_like), unpacked(part.tasks, tasks_like)
        if hosted:
            before = lives.lost
            over = Live((), (), jnp.full(len(keys), shape.stages), (), (), (), ())  # type: ignore[arg-type]
            lifetimes = lives.collect(keys, params, over, tasks)[1]
            return Lived(packed(lifetimes), lives.lost - before)
        if part.live is None:
            return Lived(packed(from_birth(keys, params, tasks)), 0)
        return Lived(packed(go_on(keys, params, unpacked(part.live, live_like), tasks)), 0)

    return work


class ClusterLives:
    """The collector of the learner's side. `begin` and `collect` are those of `Collector`."""

    portable = True

    def __init__(self, crew: Crew, imagined: Collector, shape: Shape) -> None:
        """imagined: a collector in JAX with the same trees; lifetimes are begun by it and lived by the crew."""
        self._crew, self._imagined, self._shape = crew, imagined, shape
        self._begin = jax.jit(imagined.begin)
        self._like: Lifetimes | None = None
        self._present = self._lost = 0

    def begin(self, key: Key, params: PyTree, tasks: PyTree) -> Live:
        """See `Collector`. Of whole lifetimes only keys and tasks will be looked at."""
        return self._begin(key, params, tasks)

    def collect(self, key: Key, params: PyTree, live: Live, tasks: PyTree) -> tuple[Live, Lifetimes]:
        """See `Collector`."""
        if self._like is None:
            self._like = jax.eval_shape(self._imagined.collect, key, params, live, tasks)[1]
        keys, whole = keys_of_each(key, tasks), self._shape.stages_per_call == self._shape.stages
        if whole:  # those that have begun have lived nothing yet: they begin once more, the same
            keys, tasks = select(live.stage >= self._shape.stages, (keys, tasks), (live.key, live.task))
        all_of_it = Part(packed(keys), packed(tasks), None if whole else packed(live))
        lived: list[Lived] = self._crew.do(packed(params), cut(all_of_it, self._crew.workers))
        self._present += self._crew.present
        self._lost += sum(part.lost for part in lived)
        joined = [np.concatenate(leaves) for leaves in zip(*(part.lifetimes for part in lived), strict=True)]
        lifetimes: Lifetimes = unpacked(joined, self._like)
        return lifetimes.end, lifetimes

    def counts(self) -> dict[str, int]:
        """Collectors that were there; those that died; parts that were lived again for it; lifetimes left out."""
        return {
            "collectors": self._present,
            "collector_deaths": self._crew.deaths,
            "parts_lived_again": self._crew.redone,
            "lost_lifetimes": self._lost,
        }

    def close(self) -> None:
        """End the crew."""
        self._crew.close()


def cut(part: Part, parts: int) -> list[Part]:
    """[N, ...] in so many parts, as equal as can be and in order."""
    ends = np.linspace(0, len(part.keys[0]), parts + 1).astype(int)
    return [jax.tree.map(lambda x, rows=slice(*ab): x[rows], part) for ab in pairwise(ends.tolist())]


def packed(tree: PyTree) -> Leaves:
    """The leaves in NumPy, keys as their numbers."""
    raw = lambda x: jax.random.key_data(x) if _is_key(x) else x
    return [np.asarray(raw(leaf)) for leaf in jax.tree.leaves(tree)]


def unpacked(leaves: Leaves, like: PyTree) -> PyTree:
    """The inverse of `packed`. like: arrays or shapes, of which only the tree and the types are looked at."""
    shapes, structure = jax.tree.flatten(like)
    as_it_was = lambda leaf, shape: jax.random.wrap_key_data(leaf) if _is_key(shape) else leaf
    found = [as_it_was(jnp.asarray(leaf), shape) for leaf, shape in zip(leaves, shapes, strict=True)]
    return jax.tree.unflatten(structure, found)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
