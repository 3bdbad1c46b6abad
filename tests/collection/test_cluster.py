"""Lifetimes lived in parts are those lived by one process, and bit for bit those of as many parts elsewhere."""

import os
import signal
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from hosted import HostedArms
from rl_meta.algorithms.rl2 import RL2
from rl_meta.collection.base import Collector
from rl_meta.collection.cluster import ClusterLives, collecting, packed, unpacked
from rl_meta.collection.crew import Crew, News
from rl_meta.collection.device import device_collector
from rl_meta.collection.host import host_collector
from rl_meta.collection.processes import Processes
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.gymnasium_env import GymnasiumFamily
from rl_meta.tasks.probes import Countdown, OneArmPays
from rl_meta.training.program import blank_of

ROUNDING = 1e-6
"""Products of other batch sizes round differently; integers and booleans must be equal."""
TASKS, COLLECTORS = 5, 2

MEMORY = RL2(memory=8, encoder=(8,))
SEGMENTS = RL2(memory=8, encoder=(8,), lifetime_episodes=4, segment_episodes=2)


class Here:
    """Collectors in this process, of which the last one that was asked answers first."""

    def __init__(self, make):
        self.works, self.told = [], []
        self.make = make

    def hire(self):
        self.works.append(self.make())
        self.told.append(News(len(self.works) - 1, "ready", None))
        return len(self.works) - 1

    def share(self, value):
        return value

    def give(self, worker, shared, job):
        self.told.append(News(worker, "done", self.works[worker](shared, job)))

    def news(self, seconds):
        return [self.told.pop()]

    def dismiss(self, worker):
        raise AssertionError("none of them dies")

    def close(self):
        pass

    def about(self):
        return ""


def lived(collector, method, family, calls=3):
    """Live and Lifetimes of several calls, without environment states, which not all collectors have."""
    algorithm, shape = method.build(family, 3), method.shape(family)
    params = algorithm.init(jax.random.key(2)).params
    draw = lambda i: draw_tasks(family, jax.random.key(i), TASKS)
    live, found = collector.begin(jax.random.key(1), params, draw(0)), []
    if shape.stages_per_call < shape.stages:
        live = live._replace(stage=jnp.arange(TASKS) % 2 * shape.stages_per_call)
    for call in range(calls):
        live, lifetimes = collector.collect(jax.random.key(9 + call), params, live, draw(call + 1))
        bare = lambda some: some._replace(env=())
        found.append((bare(live), lifetimes._replace(start=bare(lifetimes.start), end=bare(lifetimes.end))))
    return found


def in_parts(place, method, family):
    """By collectors at a place: Crew and the collector."""
    adapter, shape = method.build(family, 3).adapter, method.shape(family)
    crew = Crew(place(partial(collecting, method, family, 3)), COLLECTORS)
    return crew, ClusterLives(crew, device_collector(adapter, blank_of(family), shape), shape)


def by_one(method, family):
    adapter, shape = method.build(family, 3).adapter, method.shape(family)
    if hasattr(family, "make_envs"):
        return host_collector(adapter, family, shape)
    return Collector(*map(jax.jit, device_collector(adapter, family, shape)))


def assert_equal(ours, theirs, tolerance=0.0):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for x, y in zip(packed(ours), packed(theirs), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        allowed = tolerance if np.issubdtype(x.dtype, np.floating) else 0
        np.testing.assert_allclose(x, y, rtol=allowed, atol=allowed)


@pytest.mark.parametrize(
    ("method", "family"),
    [(SEGMENTS, Countdown()), (MEMORY, HostedArms())],
    ids=["device, lifetimes in segments", "host, whole lifetimes"],
)
def test_parts_in_any_order_are_the_lifetimes_of_one_collector(method, family):
    parts = lived(in_parts(Here, method, family)[1], method, family)
    whole = lived(by_one(method, family), method, family)
    assert_equal(parts, whole, ROUNDING)


def test_parts_in_other_processes_are_the_same_number_by_number():
    with closing(in_parts(Processes, MEMORY, OneArmPays())[1]) as lives:
        elsewhere = lived(lives, MEMORY, OneArmPays())
        counts = lives.counts()
    assert_equal(elsewhere, lived(in_parts(Here, MEMORY, OneArmPays())[1], MEMORY, OneArmPays()))
    assert counts.pop("collectors") > 0
    assert counts == {"collector_deaths": 0, "parts_lived_again": 0, "lost_lifetimes": 0}


class Deadly(gymnasium.Env):
    """The first one to get to the third step of an episode ends its process."""

    observation_space = spaces.Box(0, 9, (1,))
    action_space = spaces.Discrete(2)

    def __init__(self, mark=0.0):
        self.mark, self.grave, self.time = mark, Path(os.environ["GRAVE"]), 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full(1, self.mark, np.float32), {}

    def step(self, action):
        self.time += 1
        if self.time == 3:
            with suppress(FileExistsError):
                self.grave.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        noise = self.np_random.uniform()
        return np.full(1, noise, np.float32), self.mark + noise, False, False, {}


def test_what_a_collector_was_living_when_it_died_is_lived_again_the_same(tmp_path, monkeypatch):
    grave = tmp_path / "grave"
    monkeypatch.setenv("GRAVE", str(grave))
    family = GymnasiumFamily(Deadly, tasks=[{"mark": m} for m in (1.0, 2.0, 3.0)], max_steps=8)
    with closing(in_parts(Processes, MEMORY, family)[1]) as lives:
        mourned = lived(lives, MEMORY, family, calls=2)
        counts = lives.counts()
    assert grave.exists()
    assert (counts["collector_deaths"], counts["parts_lived_again"], counts["lost_lifetimes"]) == (1, 1, 0)
    assert_equal(mourned, lived(in_parts(Here, MEMORY, family)[1], MEMORY, family, calls=2))


def test_trees_with_keys_survive_being_packed():
    tree = {"key": jax.random.split(jax.random.key(3), 2), "none": None, "x": (jnp.arange(3.0), jnp.array(True))}
    shapes = jax.eval_shape(lambda: tree)
    assert_equal(unpacked(packed(tree), shapes), tree)
    assert all(isinstance(leaf, np.ndarray) for leaf in packed(tree))
