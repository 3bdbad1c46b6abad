import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from hosted import Hosted
from rl_meta.algorithms.base import Shape
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.scratch import Scratch
from rl_meta.collection.base import Collector
from rl_meta.collection.device import device_collector
from rl_meta.collection.host import HostLives, host_collector
from rl_meta.errors import UserError
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.distributions import Uniform
from rl_meta.tasks.gymnasium_env import GymnasiumFamily
from rl_meta.tasks.probes import AimAt, Countdown, OneArmPays

ROUNDING = 1e-6
"""Products of other batch sizes round differently; integers and booleans must be equal."""


drawn = jax.jit(draw_tasks, static_argnums=(0, 2))


def lives_of(make, adapter, params, family, shape, calls, tasks=5):
    """Live and Lifetimes of several calls, the first of them of lifetimes out of phase."""
    collector = make(adapter, family, shape)
    if make is device_collector:
        collector = Collector(*map(jax.jit, collector))
    draw = lambda i: drawn(family, jax.random.key(i), tasks)
    live, found = collector.begin(jax.random.key(1), params, draw(0)), []
    if shape.stages_per_call < shape.stages:
        live = live._replace(stage=jnp.arange(tasks) % shape.stages)
    for call in range(calls):
        live, lifetimes = collector.collect(jax.random.key(9 + call), params, live, draw(call + 1))
        found.append((live._replace(env=()), lifetimes._replace(start=lifetimes.start._replace(env=()))))
    return [(live, lived._replace(end=lived.end._replace(env=()))) for live, lived in found]


def assert_agree(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        if jnp.issubdtype(x.dtype, jnp.floating):
            np.testing.assert_allclose(x, y, atol=ROUNDING, rtol=ROUNDING)
        else:
            np.testing.assert_array_equal(x, y)


MEMORY = RL2(memory=8, encoder=(8,))
LEARNER = Scratch(copies=3, rollout_steps=8, improvements=2, hidden=(8,), epochs=2, minibatches=2)


@pytest.mark.parametrize(
    ("method", "family", "shape", "overlaps"),
    [
        (MEMORY, OneArmPays(), Shape(3, 2, 7, restart=False), True),
        (MEMORY, AimAt(), Shape(3, 2, 7), False),
        (MEMORY, Countdown(), Shape(4, 2, 7, segment=2, restart=False), False),
        pytest.param(LEARNER, OneArmPays(), Shape(2, 3, 8, restart=False), False, marks=pytest.mark.learning),
        (LEARNER, OneArmPays(), Shape(2, 3, 8, segment=1), True),
    ],
)
def test_host_and_device_live_the_same_lifetimes(method, family, shape, overlaps):
    algorithm = method.build(family, 3)
    params = jax.jit(algorithm.init)(jax.random.key(2)).params
    on_host = lives_of(host_collector, algorithm.adapter, params, Hosted(family, overlaps), shape, 3)
    on_device = lives_of(device_collector, algorithm.adapter, params, family, shape, 3)
    assert_agree(on_host, on_device)


class Counted(gymnasium.Env):
    """Its episodes have three steps, or end with the first action that is 1."""

    observation_space = spaces.Box(0, 9, (1,))
    action_space = spaces.Discrete(2)
    resets = 0

    def __init__(self, mark=0.0):
        self.mark = mark

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        type(self).resets += 1
        return np.full(1, self.mark, np.float32), {}

    def step(self, action):
        return np.full(1, self.mark, np.float32), 1.0, action == 1, False, {}


@pytest.mark.parametrize("segment", [None, 1])
def test_no_episode_begins_after_the_last_one(segment):
    family = GymnasiumFamily(Counted, vary={"mark": Uniform(0, 9)}, max_steps=3)
    algorithm = MEMORY.build(family, 3)
    params = jax.jit(algorithm.init)(jax.random.key(2)).params
    shape = Shape(2, 1, 3, segment=segment, restart=False)
    collector, tasks = host_collector(algorithm.adapter, family, shape), drawn(family, jax.random.key(1), 4)
    Counted.resets, began = 0, 4
    live = collector.begin(jax.random.key(0), params, tasks)
    for call in range(shape.stages // shape.stages_per_call):
        live, lived = collector.collect(jax.random.key(call), params, live, tasks)
        ended = np.asarray(lived.steps.terminated | lived.steps.truncated)
        began += ended.sum()
    assert Counted.resets == began - ended[:, -1, :, -1].sum()


class Mortal(gymnasium.Env):
    """Its observation is its task; raises an error in some steps of some tasks."""

    observation_space = spaces.Box(0, 9, (1,))
    action_space = spaces.Discrete(2)
    deaths = 0

    def __init__(self, mark=0.0):
        self.mark, self.time = mark, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.full(1, self.mark, np.float32), {}

    def step(self, action):
        self.time += 1
        if self.mark == 2 and self.time == 3 and Mortal.deaths < 1:
            Mortal.deaths += 1
            raise OSError("the gripper is stuck")
        if self.mark == 7:
            raise OSError("the motor is on fire")
        return np.full(1, self.mark, np.float32), self.mark, False, False, {}


def mortal_lives(*marks):
    family = GymnasiumFamily(Mortal, tasks=[{"mark": m} for m in (0.0, 1.0, 2.0, 3.0)], max_steps=8)
    algorithm = MEMORY.build(family, 3)
    lives = HostLives(algorithm.adapter, family, Shape(2, 1, 8))
    task = family.sample(jax.random.key(0))
    return lives, algorithm.init(jax.random.key(0)).params, task._replace(mark=jnp.array(marks, jnp.float32))


def test_a_lifetime_whose_environment_died_is_left_out_and_counted():
    Mortal.deaths = 0
    lives, params, tasks = mortal_lives(1, 2, 3)
    live = lives.begin(jax.random.key(1), params, tasks)
    live, lifetimes = lives.collect(jax.random.key(2), params, live, tasks)
    assert lives.lost == 1
    marks = np.asarray(lifetimes.start.task.mark)
    assert marks[[0, 2]].tolist() == [1, 3]
    assert marks[1] in (1, 3)
    np.testing.assert_array_equal(lifetimes.steps.reward, np.broadcast_to(marks[:, None, None, None], (3, 2, 1, 8)))
    _, lifetimes = lives.collect(jax.random.key(3), params, live, tasks)
    assert lives.lost == 1
    assert lifetimes.start.task.mark.tolist() == [1, 2, 3]


def test_where_all_lifetimes_are_lost_others_are_lived():
    Mortal.deaths = 0
    lives, params, tasks = mortal_lives(2)
    live = lives.begin(jax.random.key(1), params, tasks)
    _, lifetimes = lives.collect(jax.random.key(2), params, live, tasks)
    assert lives.lost == 1
    assert (lifetimes.steps.reward == 2).all()


def test_an_environment_that_dies_again_and_again_ends_the_run_with_its_own_error():
    lives, params, tasks = mortal_lives(1, 7)
    live = lives.begin(jax.random.key(1), params, tasks)
    with pytest.raises(UserError, match=r"died 10 times in a row.*7\.0.*OSError: the motor is on fire"):
        lives.collect(jax.random.key(2), params, live, tasks)
