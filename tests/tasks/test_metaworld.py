"""Meta-World's benchmarks as families: the right tasks in the right split, hidden, kept as plain data."""

import pickle
import sys

import gymnasium
import jax
import numpy as np
import pytest

from rl_meta.errors import UserError
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.gymnasium_world import EnvList, Way, World
from rl_meta.tasks.metaworld import MetaWorld
from rl_meta.tasks.wrappers import reveal_task
from rl_meta.training.catalogue import families

metaworld = pytest.importorskip("metaworld")

NAME, SEED = "door-close-v3", 3
FAMILY = MetaWorld(NAME, tasks_seed=SEED, horizon=20)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """No test reads or writes the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def benchmark(cache):
    return metaworld.ML1(NAME, seed=SEED)


def vectors(tasks):
    return np.stack([pickle.loads(task.data)["rand_vec"] for task in tasks])


def begun(family, tasks):
    count = len(tasks.environment)
    envs = family.make_envs(count)
    tasks = jax.tree.map(np.asarray, tasks)
    return envs, envs.begin(np.ones(count, bool), tasks, np.arange(count, dtype=np.uint32), None)


def few(tasks, *rows):
    return jax.tree.map(lambda x: x[np.array(rows)], tasks)


@pytest.mark.parametrize("split", ["train", "test"])
def test_environments_are_in_the_tasks_of_their_split_to_the_last_bit(split, benchmark):
    envs, _ = begun(FAMILY, draw_tasks(FAMILY, jax.random.key(0), 3, split))
    own, other = vectors(benchmark.train_tasks), vectors(benchmark.test_tasks)
    own, other = (own, other) if split == "train" else (other, own)
    for one in envs._envs:
        vector = one.env.unwrapped._last_rand_vec
        assert (own == vector).all(1).any()
        assert not (other == vector).all(1).any()


def test_a_task_is_lived_as_meta_worlds_own_environment_lives_it(benchmark):
    tasks = few(FAMILY.all_tasks("test"), 0, 7)
    envs, obs = begun(FAMILY, tasks)
    theirs = []
    for index in (0, 7):
        env = benchmark.test_classes[NAME](reward_function_version="v2")
        env.set_task(benchmark.test_tasks[index])
        theirs.append(env)
    np.testing.assert_array_equal(obs, np.stack([env.reset()[0] for env in theirs]).astype(np.float32))
    rng = np.random.default_rng(0)
    for time in range(20):
        action = rng.uniform(-1, 1, (2, 4)).astype(np.float32)
        envs.send(action, None, cut=False)
        outcome = envs.receive()
        steps = [env.step(a) for env, a in zip(theirs, action, strict=True)]
        np.testing.assert_array_equal(outcome.next_obs, np.stack([s[0] for s in steps]).astype(np.float32))
        np.testing.assert_array_equal(outcome.reward, np.float32([s[1] for s in steps]))
        np.testing.assert_array_equal(outcome.measured["success"], [s[4]["success"] for s in steps])
        assert outcome.truncated.tolist() == [time == 19] * 2
    np.testing.assert_array_equal(outcome.obs, obs)


def test_the_goal_is_not_in_the_observation_unless_the_task_is_revealed():
    tasks = few(FAMILY.all_tasks(), 0, 1)
    _, obs = begun(FAMILY, tasks)
    assert not obs[:, -3:].any()
    shown = begun(reveal_task(FAMILY), tasks)[1]["task"]
    assert shown.shape == (2, 1 + 6)
    assert (shown[0] != shown[1]).any()


def test_the_version_of_the_reward_is_the_one_that_was_asked_for():
    rewards = []
    for version in ("v1", "v2"):
        family = MetaWorld(NAME, tasks_seed=SEED, horizon=20, reward=version)
        envs, _ = begun(family, few(family.all_tasks(), 0))
        envs.send(np.ones((1, 4), np.float32), None, cut=False)
        rewards.append(float(envs.receive().reward[0]))
    assert rewards[0] != rewards[1]


def test_tasks_are_kept_as_plain_data_and_not_drawn_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    drawn = MetaWorld(NAME, tasks_seed=SEED).table

    def refuse(*_, **__):
        raise AssertionError("drawn again")

    with monkeypatch.context() as patch:
        patch.setattr(metaworld, "ML1", refuse)
        again = MetaWorld(NAME, tasks_seed=SEED, reward="v1").table
    for name, array in drawn._asdict().items():
        assert array.dtype != object
        np.testing.assert_array_equal(getattr(again, name), array)
    (kept,) = tmp_path.rglob("*.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    np.testing.assert_array_equal(MetaWorld(NAME, tasks_seed=SEED).table.test_places, drawn.test_places)


class Drawn:
    """A benchmark as Meta-World hands it out, without the simulation that draws it."""

    def __init__(self, train, test):
        self.train_classes = {name: metaworld.ALL_V3_ENVIRONMENTS[name] for name in train}
        self.test_classes = {name: metaworld.ALL_V3_ENVIRONMENTS[name] for name in test}
        task = lambda name, size: metaworld._encode_task(name, {"rand_vec": np.linspace(0, 1, size)})
        self.train_tasks = [task(name, 3 + 3 * (index % 2)) for index, name in enumerate(train)]
        self.test_tasks = [task(name, 3) for name in test]


def test_held_out_classes_are_those_of_the_test_split_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(metaworld, "CustomML", lambda train, test, seed: Drawn(train, test))
    family = MetaWorld("custom", ("push-v3", "reach-v3"), ("sweep-v3",))
    assert family.table.classes.tolist() == ["push-v3", "reach-v3", "sweep-v3"]
    assert set(family.all_tasks("train").environment.tolist()) == {0, 1}
    assert set(family.all_tasks("test").environment.tolist()) == {2}
    assert family.table.sizes.tolist() == [3, 6, 3]


def test_environments_of_several_classes_are_kept_for_later(monkeypatch):
    shelf, made = FAMILY.make_envs(1)._world.make, []
    monkeypatch.setattr(type(shelf), "_made", lambda self, name: made.append(name) or gymnasium.Env())
    first = shelf(environment="a")
    first.close()
    assert shelf(environment="a").env is first.env
    shelf(environment="a")
    shelf(environment="b")
    assert made == ["a", "a", "b"]


class Shut(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}


def test_environments_that_change_places_are_not_made_again(monkeypatch):
    shelf, made = FAMILY.make_envs(1)._world.make, []
    monkeypatch.setattr(type(shelf), "_made", lambda self, name: made.append(name) or Shut())
    world = World(shelf, {"environment": Way("argument", "environment")}, None, lambda name: {"environment": name})
    envs = EnvList(world, 3, Shut.observation_space, Shut.action_space)
    seeds = np.arange(3, dtype=np.uint32)
    envs.begin(np.ones(3, bool), np.array(["a", "b", "c"]), seeds, None)
    first = [one.env.env for one in envs._envs]
    envs.begin(np.array([True, True, False]), np.array(["b", "a", "a"]), seeds, None)
    assert made == ["a", "b", "c"]
    assert [one.env.env for one in envs._envs] == [first[1], first[0], first[2]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("reach-v2",), "did you mean 'reach-v3'"),
        (("ML11",), "did you mean 'ML10'"),
        (("custom",), "needs train_classes and test_classes"),
        (("ML10", ("push-v3",), ("reach-v3",)), "no other one"),
        (("custom", ("push-v3",), ("push-v3",)), "both for training and for testing"),
        (("custom", ("push-v33",), ("reach-v3",)), "did you mean 'push-v3'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_drawn(settings, said):
    with pytest.raises(UserError, match=said):
        _ = MetaWorld(*settings).table


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "metaworld", None)
    with pytest.raises(UserError, match=r"pip install 'rl-meta\[metaworld\]'"):
        _ = families.make("metaworld").table


@pytest.mark.parametrize(
    ("name", "train", "test", "shared"), [("ML10", 10, 5, 0), ("ML25", 25, 5, 1), ("ML45", 45, 5, 0)]
)
def test_benchmarks_have_their_classes_and_fifty_tasks_of_each(name, train, test, shared, monkeypatch, tmp_path):
    def made(classes, *_, **__):  # in the place of the simulation that draws goals
        return [metaworld._encode_task(c, {"rand_vec": np.full(3, i)}) for c in classes for i in range(50)]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(metaworld, "_make_tasks", made)
    family = MetaWorld(name)
    seen = {split: family.table.classes[np.asarray(family.all_tasks(split).environment)] for split in family.splits}
    lists = getattr(metaworld._env_dict, f"{name}_V3")
    for split, count in (("train", train), ("test", test)):
        assert set(seen[split]) == set(lists[split])
        assert len(set(seen[split])) == count
        assert len(seen[split]) == 50 * count
    assert len(set(seen["train"]) & set(seen["test"])) == shared  # Meta-World's own; see docs/simulators.md
