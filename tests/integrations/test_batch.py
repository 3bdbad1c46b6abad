import jax
import numpy as np

from hosted import HostedArms
from rl_meta.integrations.batch import Copies, DeviceEnvs, envs_of
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.probes import Countdown, OneArmPays

ARMS = OneArmPays()
TASKS = jax.tree.map(np.asarray, draw_tasks(ARMS, jax.random.key(0), 6))
BORN = np.ones(6, bool)
SEEDS = np.arange(6, dtype=np.uint32)


def lived(envs, actions, *, seeds=SEEDS, cut=False):
    """Outcomes [T] of a batch that begins anew."""
    envs.begin(BORN, TASKS, seeds, None)
    outcomes = []
    for action in actions:
        envs.send(action, None, cut=cut)
        outcomes.append(envs.receive())
    return jax.tree.map(lambda *x: np.stack(x), *outcomes)


def test_every_environment_is_in_its_own_task():
    assert len(set(TASKS.arm.tolist())) > 1
    outcome = lived(DeviceEnvs(ARMS), [TASKS.arm, 1 - TASKS.arm])
    assert outcome.reward.tolist() == [[1.0] * 6, [0.0] * 6]


def test_what_is_drawn_follows_from_the_seeds():
    actions = [TASKS.arm] * 12
    one, two, other = (lived(DeviceEnvs(ARMS), actions, seeds=SEEDS + more) for more in (0, 0, 100))
    jax.tree.map(np.testing.assert_array_equal, one, two)
    assert (one.terminated != other.terminated).any()


def test_environments_draw_different_things():
    outcome = lived(DeviceEnvs(ARMS), [TASKS.arm] * 12)
    assert len({tuple(row) for row in outcome.terminated.T.tolist()}) > 1


def test_an_episode_that_ends_is_followed_by_a_reset():
    family = Countdown(horizon=5)
    envs = DeviceEnvs(family)
    envs.begin(BORN, jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), 6)), SEEDS, None)
    first = jax.vmap(lambda key: family.reset(key, family.sample(key))[1])(jax.random.split(jax.random.key(1), 6))
    ended = 0
    for _ in range(10):
        envs.send(np.zeros(6, np.int32), None, cut=False)
        outcome = envs.receive()
        done = outcome.terminated | outcome.truncated
        ended += done.sum()
        np.testing.assert_array_equal(outcome.obs[~done], outcome.next_obs[~done])
        np.testing.assert_array_equal(outcome.obs[done, 0], np.asarray(first)[done, 0])
    assert ended


def test_a_cut_truncates_what_was_not_terminated():
    outcome = lived(DeviceEnvs(ARMS), [TASKS.arm] * 8, cut=True)
    assert (outcome.terminated ^ outcome.truncated).all()
    assert outcome.terminated.any()


def test_only_those_that_are_born_begin_anew():
    envs = DeviceEnvs(Countdown(horizon=5))
    tasks = jax.tree.map(np.asarray, draw_tasks(Countdown(horizon=5), jax.random.key(0), 6))
    before = envs.begin(BORN, tasks, SEEDS, None)
    envs.send(np.zeros(6, np.int32), None, cut=False)
    moved = envs.receive().obs
    after = envs.begin(np.arange(6) < 2, tasks, SEEDS, None)
    np.testing.assert_array_equal(after[:2], before[:2])
    np.testing.assert_array_equal(after[2:], moved[2:])


def test_a_family_on_the_host_brings_its_own_environments():
    assert type(envs_of(HostedArms(), 3)).__name__ == "FamilyEnvs"
    assert isinstance(envs_of(ARMS, 3), DeviceEnvs)


def test_nothing_is_compiled_twice_for_another_task():
    envs = DeviceEnvs(ARMS)
    lived(envs, [TASKS.arm])
    lived(envs, [1 - TASKS.arm])
    assert envs._step._cache_size() == 1


def test_an_episode_whose_environment_died_is_cut_where_it_was():
    copies = Copies(HostedArms(), 2, split="train", seed=0)
    before = copies.begin(copies.drawn())
    receive, lost = copies.envs.receive, np.array([True, False])
    copies.envs.receive = lambda: receive()._replace(lost=lost, next_obs=np.full_like(before, 7), truncated=~lost)
    told = copies.step(np.zeros(2, np.int32))
    assert told.truncated.tolist() == [True, True]
    assert not told.terminated[0]
    np.testing.assert_array_equal(told.next_obs[0], before[0])
    np.testing.assert_array_equal(told.next_obs[1], np.full_like(before[1], 7))
