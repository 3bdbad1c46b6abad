from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from rl_meta.algorithms.base import Adapter, Shape, birth_keys, keep_adapted, stage_keys
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.scratch import Scratch
from rl_meta.axes import tile
from rl_meta.collection.agent import Agent
from rl_meta.collection.device import device_collector, first_inputs
from rl_meta.collection.ledger import observed
from rl_meta.errors import UserError
from rl_meta.policies.spaces import no_action
from rl_meta.tasks.probes import Countdown
from rl_meta.types import Live


@dataclass(frozen=True)
class Aiming(Countdown):
    """Episodes of random length that end either way; no observation comes twice, and actions are numbers."""

    @property
    def action_space(self):
        return spaces.Box(-1.0, 1.0, (1,))


COUNTDOWN = Aiming(horizon=5)
SEED = 4
ROUNDING = 1e-5
"""One program, compiled for another number of environments."""


def parts(method, family, *, scale=1.0):
    """Adapter, meta-parameters and shape; with steeper weights actions depend on what is remembered."""
    algorithm = method.build(family, 10)
    params = jax.jit(algorithm.init)(jax.random.key(0)).params
    steeper = lambda x: scale * x if x.ndim > 1 else x
    if scale != 1.0:
        network = jax.tree.map(steeper, params.network)
        network = eqx.tree_at(lambda network: network.policy, network, replace_fn=partial(jax.tree.map, steeper))
        params = params._replace(network=network)
    return algorithm.adapter, params, method.shape(family)


def agent_of(method, family, **how):
    return Agent(*parts(method, family, **how), family.observation_space, family.action_space)


def lifetime(adapter, params, shape, family, task, key):
    """[L, ...] What the device collector makes of the lifetime with this very key."""
    tasks = jax.tree.map(lambda x: x[None], task)

    def whole(params, tasks, task):
        key_begin, key_resets = birth_keys(key)
        adapted, memory = adapter.begin(key_begin, params)
        env, obs = jax.vmap(family.reset, (0, None))(jax.random.split(key_resets, shape.copies), task)
        inputs = jax.vmap(first_inputs, (0, None))(obs, no_action(family.action_space))
        live = Live(key, task, jnp.array(0), adapted, tile(memory, shape.copies), inputs, env)
        live = jax.tree.map(lambda x: x[None], live)
        return device_collector(adapter, family, shape).collect(key, params, live, tasks)[1].steps

    steps = jax.jit(whole)(params, tasks, task)
    return jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[4:]), steps)


def play(agent, shape, family, task, seed, **how):
    """[L] The agent's actions in the family, stepped here with the keys that a collector would use; one copy."""
    key = jax.random.key(seed)
    agent.begin_task(seed)
    reset, step = jax.jit(family.reset), jax.jit(family.step)
    keys_of = jax.jit(partial(stage_keys, copies=1, steps=shape.steps))
    state, obs = reset(jax.random.split(birth_keys(key)[1], 1)[0], task)
    outcome, actions = {}, []
    for stage in range(shape.stages):
        keys, _ = keys_of(key, stage)
        for time in range(shape.steps):
            actions.append(agent.act(np.asarray(obs), **outcome, **how))
            state, obs, *told, _ = step(keys[0, time, 1], state, actions[-1], task)
            outcome = dict(zip(("reward", "terminated", "truncated"), (x.item() for x in told), strict=True))
            if outcome["terminated"] or outcome["truncated"]:
                outcome["final_observation"] = np.asarray(obs)
                state, obs = reset(keys[0, time, 2], task)
    return np.array(actions)


@pytest.fixture(scope="module")
def task():
    return COUNTDOWN.sample(jax.random.key(1))


@pytest.fixture(scope="module")
def recurrent():
    """RL², untrained: what it does depends on all that it has seen."""
    method = RL2(memory=8, memory_span=1.0, encoder=(), meta_batch_size=8)
    return parts(method, COUNTDOWN, scale=5.0)


@pytest.fixture(scope="module")
def rl2(recurrent):
    return Agent(*recurrent, COUNTDOWN.observation_space, COUNTDOWN.action_space)


@pytest.fixture(scope="module")
def guessing():
    """The same with actions that are whole numbers."""
    method = RL2(memory=8, memory_span=1.0, encoder=(), meta_batch_size=8)
    return agent_of(method, Countdown(horizon=5), scale=5.0)


@pytest.fixture
def silent():
    """An agent that compiles in no time, and sees a dictionary."""
    act = lambda key, params, adapted, memory, inputs: (memory, jnp.int32(1), ())
    adapter = Adapter(lambda key, params: ((), ()), act, keep_adapted)
    shown = spaces.Dict({"picture": spaces.Box(0.0, 1.0, (2, 3)), "word": spaces.Discrete(5)})
    return Agent(adapter, (), Shape(2, 1, 4), shown, spaces.Discrete(2))


SHOWN = {"picture": np.zeros((2, 3)), "word": 3}


# --------------------------------------------------------------------------------------------- act


def test_an_agent_with_a_memory_acts_as_it_does_in_the_collector(recurrent, rl2, task):
    expected = lifetime(*recurrent, COUNTDOWN, task, jax.random.key(SEED)).action
    np.testing.assert_allclose(play(rl2, recurrent[2], COUNTDOWN, task, SEED), expected.clip(-1, 1), atol=ROUNDING)


def test_an_agent_that_learns_in_its_lifetime_acts_as_it_does_in_the_collector(task):
    method = Scratch(improvements=4, copies=1, rollout_steps=8, hidden=(), minibatches=2, epochs=2, learning_rate=0.3)
    made = parts(method, COUNTDOWN)
    agent = Agent(*made, COUNTDOWN.observation_space, COUNTDOWN.action_space)
    expected = lifetime(*made, COUNTDOWN, task, jax.random.key(SEED)).action
    np.testing.assert_allclose(play(agent, made[2], COUNTDOWN, task, SEED), expected.clip(-1, 1), atol=ROUNDING)


def test_a_new_task_begins_without_what_was_learned_in_the_last_one(recurrent, rl2, task):
    first = play(rl2, recurrent[2], COUNTDOWN, task, SEED)
    np.testing.assert_array_equal(play(rl2, recurrent[2], COUNTDOWN, task, SEED), first)


def test_the_seed_of_a_task_decides_what_is_drawn(rl2):
    drawn = []
    for seed in (SEED, SEED + 1):
        rl2.begin_task(seed)
        drawn.append(rl2.act([0.0, 0.5]).item())
    assert drawn[0] != drawn[1]


def after(agent, reward):
    """What an agent does that was told of a reward."""
    agent.begin_task()
    agent.act([0.0, 0.5], deterministic=True)
    return agent.act([1.0, 0.5], reward, deterministic=True).item()


def test_what_an_agent_does_depends_on_the_rewards_it_was_told(rl2):
    assert abs(after(rl2, -9.0) - after(rl2, 9.0)) > 100 * ROUNDING


def test_the_first_reward_of_a_task_is_ignored(rl2):
    actions = []
    for reward in (-9.0, 9.0):
        rl2.begin_task()
        actions.append([rl2.act([0.0, 0.5], reward).item(), rl2.act([1.0, 0.5], 1.0).item()])
    assert actions[0] == actions[1]


def test_acting_before_a_task_has_begun_is_refused(silent):
    with pytest.raises(UserError, match=r"no task has begun: call begin_task\(seed=\.\.\.\) before act"):
        silent.act(SHOWN)


def test_an_observation_of_another_shape_is_refused(rl2):
    rl2.begin_task()
    with pytest.raises(UserError, match=r"must have the shape \(2,\) of Box.*, got \(3,\)"):
        rl2.act(np.zeros(3))


def test_an_observation_that_lacks_an_entry_is_refused(silent):
    silent.begin_task()
    with pytest.raises(UserError, match="the observation lacks word"):
        silent.act({"picture": np.zeros((2, 3))})


def test_an_observation_keeps_the_type_of_its_space():
    picture = spaces.Box(0, 255, (2,), np.uint8)
    assert observed(picture, [3, 255]).dtype == np.uint8
    assert observed(spaces.Box(-1.0, 1.0, (2,), np.float64), [0, 1]).dtype == np.float32
    for wrong in ([0.5, 1], [0, 256], [-1, 0]):
        with pytest.raises(UserError, match="an observation must be whole numbers of Box"):
            observed(picture, wrong)


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), 1e39])
def test_a_reward_that_is_no_finite_number_is_refused(rl2, reward):
    rl2.begin_task()
    rl2.act(np.zeros(2))
    with pytest.raises(UserError, match="a reward must be a finite number, got"):
        rl2.act(np.zeros(2), reward)


def test_an_observation_that_is_not_finite_is_refused(rl2):
    rl2.begin_task()
    with pytest.raises(UserError, match="an observation must be finite numbers, got"):
        rl2.act([0.0, float("nan")])


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_would_be_another_one_is_refused(silent, seed):
    with pytest.raises(UserError, match="a seed must be a whole number from 0 to 4294967295, got"):
        silent.begin_task(seed)


def test_after_settling_an_agent_sees_a_new_episode(rl2):
    rl2.begin_task(seed=1)
    rl2.act(np.zeros(2))
    rl2.settle(1.0, False, False, final_observation=np.ones(2))
    rl2.act(np.zeros(2))
    assert rl2._ledger.inputs.first
    assert rl2._ledger.inputs.last_reward == 1.0


def test_an_observation_may_be_a_dictionary_of_plain_values(silent):
    silent.begin_task()
    assert silent.act({"picture": [[0, 0, 0], [1, 1, 1]], "word": 3}) == 1


def test_an_action_is_one_of_the_action_space(guessing):
    guessing.begin_task()
    assert guessing.action_space.contains(guessing.act([0.0, 0.5]))


def test_an_action_that_is_a_vector_is_inside_its_bounds(rl2):
    rl2.begin_task()
    actions = [rl2.act([0.0, 0.5], reward=-1.0) for _ in range(30)]
    assert all(rl2.action_space.contains(action) for action in actions)
    assert (np.abs(actions) == 1.0).any(), "none was at a bound: the test would be empty"


# ----------------------------------------------------------------------------------------- predict


SEEN = np.stack([np.arange(12) % 5, np.linspace(0, 1, 12)], -1)


def predictions(agent, batches, **how):
    """Actions [T, n] for observations [T, n, ...], with the state handed on; and the last state."""
    state, actions = None, []
    for batch in batches:
        action, state = agent.predict(batch, state, **how)
        actions.append(action)
    return np.array(actions), state


def test_a_single_environment_gets_a_single_action(guessing):
    guessing.begin_task()
    action, _ = guessing.predict(SEEN[0])
    assert isinstance(action, np.ndarray)
    assert guessing.action_space.contains(action)


def test_a_single_environment_gets_a_single_vector(rl2):
    rl2.begin_task()
    assert rl2.predict(np.zeros(2))[0].shape == (1,)


def test_a_batch_of_one_is_a_batch(rl2):
    rl2.begin_task()
    assert rl2.predict(np.zeros((1, 2)))[0].shape == (1, 1)


def test_predictions_for_many_environments_equal_those_for_each(rl2):
    rl2.begin_task()
    three = np.stack([SEEN, SEEN[::-1], 1 - SEEN], 1)
    together, _ = predictions(rl2, three, deterministic=True)
    alone = [predictions(rl2, three[:, i : i + 1], deterministic=True)[0] for i in range(3)]
    np.testing.assert_allclose(together, np.concatenate(alone, 1), atol=ROUNDING)


def test_without_a_state_prediction_begins_anew(rl2):
    rl2.begin_task()
    first = rl2.predict(SEEN[:1], None)
    predictions(rl2, SEEN[:, None])
    again = rl2.predict(SEEN[:1], None)
    jax.tree.map(np.testing.assert_array_equal, first, again)


def test_the_start_of_an_episode_does_not_reset_the_memory(rl2):
    rl2.begin_task()
    _, state = predictions(rl2, SEEN[:, None])
    later, unborn = (rl2.predict(SEEN[:1], s, np.array([True]))[1].memory.hidden for s in (state, None))
    assert np.abs(later - unborn).max() > 0.1


def test_the_start_of_an_episode_is_seen(rl2):
    rl2.begin_task()
    _, state = predictions(rl2, SEEN[:, None])
    start, middle = (rl2.predict(SEEN[:1], state, np.array([x]))[1].memory.hidden for x in (True, False))
    assert np.abs(start - middle).max() > 100 * ROUNDING


def test_a_lifetime_begins_with_an_episode(rl2):
    rl2.begin_task()
    untold, told = (rl2.predict(SEEN[:1], None, start)[1].memory.hidden for start in (None, np.array([True])))
    np.testing.assert_array_equal(untold, told)


def test_deterministic_predictions_do_not_depend_on_chance(rl2):
    rl2.begin_task(seed=0)
    one, _ = predictions(rl2, SEEN[:, None], deterministic=True)
    rl2.begin_task(seed=1)
    two, _ = predictions(rl2, SEEN[:, None], deterministic=True)
    np.testing.assert_array_equal(one, two)


def test_predictions_are_repeated_with_the_seed_of_the_task(rl2):
    both = []
    for _ in range(2):
        rl2.begin_task(seed=1)
        both.append(predictions(rl2, SEEN[:, None])[0])
    np.testing.assert_array_equal(*both)


def test_environments_of_a_batch_draw_different_actions(rl2):
    rl2.begin_task()
    actions, _ = rl2.predict(np.zeros((4, 2)))
    assert len(np.unique(actions)) > 1


def test_predictions_are_inside_the_action_space(rl2):
    rl2.begin_task()
    actions, _ = predictions(rl2, np.zeros((8, 16, 2)))
    assert all(rl2.action_space.contains(action) for action in actions.reshape(-1, 1))


def test_prediction_needs_no_task_to_have_begun(silent):
    action, state = silent.predict({"picture": np.zeros((1, 2, 3)), "word": np.zeros(1)})
    assert (action.tolist(), state.calls.tolist()) == ([1], [1])


def test_a_batch_of_dictionaries_is_a_dictionary_of_batches(silent):
    action, _ = silent.predict({"picture": np.zeros((3, 2, 3)), "word": np.arange(3)})
    assert action.tolist() == [1, 1, 1]


def test_predicting_with_rewards_is_acting(rl2):
    rewards = [0.0, -1.0, -0.5, -2.0]
    rl2.begin_task()
    acted = [rl2.act([1.0, 0.5], reward, deterministic=True) for reward in rewards]
    state, predicted = None, []
    for reward in rewards:
        action, state = rl2.predict(np.array([1.0, 0.5]), state, deterministic=True, reward=np.array([reward]))
        predicted.append(action)
    np.testing.assert_allclose(predicted, acted, atol=ROUNDING)
