import os
import time
from pathlib import Path

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.distributions import Uniform
from rl_meta.tasks.gymnasium_env import GymnasiumFamily

DIES, HANGS, DIES_ALWAYS = 3.0, 4.0, 5.0
COUNT = 4


class Troubled(gymnasium.Env):
    """Shows its task; in a worker, where a file is not there yet, some tasks end it or make it hang."""

    observation_space = spaces.Box(-9, 9, (1,))
    action_space = spaces.Discrete(2)

    def __init__(self, mark=0.0, file="", parent=0):
        self.mark, self.file, self.parent = mark, Path(file), parent

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full(1, self.mark, np.float32), {}

    def step(self, action):
        if os.getpid() != self.parent and self.mark in (DIES, HANGS) and not self.file.exists():
            self.file.touch()
            time.sleep(100) if self.mark == HANGS else os._exit(17)
        if os.getpid() != self.parent and self.mark == DIES_ALWAYS:
            os._exit(18)
        return np.full(1, self.mark, np.float32), float(self.np_random.random()), False, False, {}


def begun(file, marks, *, workers, **settings):
    """Environments in tasks with these marks, and their first observations."""
    vary = {"mark": Uniform(0, 9), "file": str(file), "parent": os.getpid()}
    family = GymnasiumFamily(Troubled, vary=vary, max_steps=3, workers=workers, **settings)
    task = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), COUNT))
    envs = family.make_envs(COUNT)
    task = task._replace(mark=np.array(marks, np.float32))
    return envs, envs.begin(np.ones(COUNT, bool), task, np.arange(COUNT, dtype=np.uint32), None)


def outcomes(envs, steps=5):
    """Of some steps; the environments are closed after them."""
    found = []
    try:
        for _ in range(steps):
            envs.send(np.zeros(COUNT, np.int32), None, cut=False)
            found.append(envs.receive())
    finally:
        envs.close()
    return found


def test_workers_live_what_this_process_lives(tmp_path):
    here, first_here = begun(tmp_path, (0, 1, 2, 6), workers=0)
    there, first_there = begun(tmp_path, (0, 1, 2, 6), workers=4)
    np.testing.assert_array_equal(first_there, first_here)
    for ours, theirs in zip(outcomes(there), outcomes(here), strict=True):
        assert ours.lost is None
        for x, y in zip(ours[:5], theirs[:5], strict=True):
            np.testing.assert_array_equal(x, y)
            assert x.dtype == y.dtype


@pytest.mark.parametrize("mark", [DIES, HANGS])
def test_a_worker_that_dies_or_hangs_is_started_again_in_its_tasks(mark, tmp_path):
    envs, _ = begun(tmp_path / "file", (0, 1, mark, 6), workers=4, patience_seconds=2.0)
    first, *later = outcomes(envs)
    assert first.lost.tolist() == [False, False, True, True]
    for outcome in later:
        assert outcome.lost is None
        assert outcome.obs[:, 0].tolist() == [0, 1, mark, 6]


def test_lifetimes_that_were_to_go_on_are_lost_with_a_worker_that_dies_between_steps(tmp_path):
    envs, _ = begun(tmp_path, (0, 1, 2, 6), workers=2)
    try:
        envs.send(np.zeros(COUNT, np.int32), None, cut=False)
        envs.receive()
        for worker in envs._workers:
            worker._process.kill()
        task, seeds = envs._workers[0]._tasks, np.arange(COUNT, dtype=np.uint32)
        tasks = jax.tree.map(lambda x: np.concatenate([x, x]), task)
        envs.begin(np.array([True, False, False, False]), tasks, seeds, None)
        lost = []
        for _ in range(2):
            envs.send(np.zeros(COUNT, np.int32), None, cut=False)
            lost.append(envs.receive().lost)
    finally:
        envs.close()
    assert lost[0].tolist() == [False, True, True, True]
    assert lost[1] is None


def test_a_worker_that_dies_again_and_again_ends_the_run(tmp_path):
    envs, _ = begun(tmp_path, (0, 1, 2, DIES_ALWAYS), workers=2)
    with pytest.raises(UserError, match="died 10 times in a row: its process ended with status 18"):
        outcomes(envs, 12)


class Seeing(gymnasium.Env):
    """Tells pictures and numbers, of what was last done to it."""

    observation_space = spaces.Dict(
        {"picture": spaces.Box(0, 255, (5, 3), np.uint8), "more": spaces.Dict({"place": spaces.Box(-9, 9, (2,))})}
    )
    action_space = spaces.Box(-1, 1, (2,))

    def __init__(self, mark=0.0):
        self.mark = mark

    def _obs(self, action):
        picture = np.full((5, 3), self.mark, np.uint8) + np.arange(3, dtype=np.uint8)
        return {"picture": picture, "more": {"place": action + np.float32(self.mark)}}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._obs(np.zeros(2, np.float32)), {}

    def step(self, action):
        return self._obs(action), float(action.sum()), bool(action[0] > 0.5), False, {}


def seeing(workers):
    """Outcomes of steps with different actions, the last of them cutting all episodes, and ending some lifetimes."""
    family = GymnasiumFamily(Seeing, vary={"mark": Uniform(0, 9)}, max_steps=3, workers=workers)
    tasks = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), COUNT))
    envs = family.make_envs(COUNT)
    found = [envs.begin(np.ones(COUNT, bool), tasks, np.arange(COUNT, dtype=np.uint32), None)]
    actions = np.random.default_rng(0).uniform(-1, 1, (6, COUNT, 2)).astype(np.float32)
    for number, action in enumerate(actions):
        envs.send(action, None, cut=number == 5, final=np.arange(COUNT) % 2 == 0 if number == 5 else None)
        found.append(envs.receive())
    envs.close()
    return found


def test_workers_tell_nested_observations_and_take_vectors_for_actions():
    here, there = jax.tree.leaves(seeing(0)), jax.tree.leaves(seeing(4))
    assert any(x.dtype == np.uint8 for x in there)
    for x, y in zip(there, here, strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == y.dtype


def test_no_step_but_the_first_is_pickled(tmp_path, monkeypatch):
    envs, _ = begun(tmp_path, (0, 1, 2, 6), workers=4)
    envs.send(np.zeros(COUNT, np.int32), None, cut=False)
    envs.receive()
    for name in ("dumps", "loads"):
        monkeypatch.delattr(f"cloudpickle.{name}")
    assert len(outcomes(envs)) == 5
