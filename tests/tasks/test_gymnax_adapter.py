import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.tasks import gymnax_adapter
from rl_meta.tasks.gymnax_adapter import Gymnax
from tasks.playing import draw, play_all, random_policy

gymnax = pytest.importorskip("gymnax")

ROUNDING = 1e-5
"""The same sums, compiled differently."""


@pytest.mark.parametrize(
    ("name", "vary"), [("CartPole-v1", ("length=0.25:1.0", "gravity=5:15")), ("Pendulum-v1", ("g=5:15",))]
)
def test_an_episode_equals_gymnaxs_own(name, vary):
    family = Gymnax(name, vary=vary)
    env, params = gymnax.make(name)
    task = family.sample(jax.random.key(1))
    params = params.replace(**task._asdict())
    if name == "CartPole-v1":
        params = params.replace(polemass_length=params.masspole * params.length)
    key_reset, key_env = jax.random.split(jax.random.key(2))
    obs, theirs = env.reset(key_reset, params)
    ours, our_obs = jax.jit(family.reset)(key_reset, task)
    np.testing.assert_allclose(our_obs, obs, atol=ROUNDING)
    # compiled as for users: the emitters of the tests round the two programs further apart
    compiled = partial(
        jax.jit, compiler_options={"xla_cpu_use_fusion_emitters": True, "xla_backend_optimization_level": 1}
    )
    step, their_step, policy = compiled(family.step), compiled(env.step), random_policy(family)
    for t in range(family.horizon):
        key = jax.random.fold_in(key_env, t)
        action = policy(jax.random.fold_in(key, 1))
        _, theirs, reward, terminated, truncated, info = their_step(key, theirs, action, params)
        transition = step(jax.random.split(key)[0], ours, action, task)
        ours = transition.state
        np.testing.assert_allclose(transition.obs, info["final_observation"], atol=ROUNDING, rtol=ROUNDING)
        np.testing.assert_allclose(transition.reward, reward, rtol=ROUNDING)
        assert (bool(transition.terminated), bool(transition.truncated)) == (
            bool(terminated),
            bool(truncated),
        )
        if terminated or truncated:
            break
    assert t > 5


def test_the_time_limit_truncates_once_and_nothing_else_does():
    family = Gymnax("MountainCar-v0", vary=("gravity=0.002:0.003",), max_steps=20)
    play = play_all(family, draw(family, 5), random_policy(family))
    np.testing.assert_array_equal(play.truncated, np.tile([False] * 19 + [True], (5, 1)))
    assert not bool(play.terminated.any())


def test_a_fall_at_the_time_limit_terminates_and_is_not_truncated():
    family = Gymnax(max_steps=1)
    task = family.sample(jax.random.key(0))
    state, _ = family.reset(jax.random.key(0), task)
    fallen = family.step(jax.random.key(0), state.replace(x=jnp.array(3.0)), jnp.array(1), task)
    assert (bool(fallen.terminated), bool(fallen.truncated)) == (True, False)


def test_the_limit_is_the_environments_own_unless_given():
    assert Gymnax().horizon == 500
    assert Gymnax(max_steps=30).horizon == 30


def test_only_the_parameters_named_differ_between_tasks():
    family = Gymnax(vary=("masspole=0.05:0.2",))
    task = family.sample(jax.random.key(0))
    params, default = family.params(task), gymnax.make("CartPole-v1")[1]
    assert params.masspole == task.masspole
    assert (params.gravity, params.length, params.masscart) == (
        default.gravity,
        default.length,
        default.masscart,
    )


def test_cartpoles_derived_parameters_follow_unless_they_vary_themselves():
    task = Gymnax(vary=("masspole=0.05:0.2", "length=0.25:1.0")).sample(jax.random.key(0))
    params = Gymnax(vary=("masspole=0.05:0.2", "length=0.25:1.0")).params(task)
    assert params.total_mass == 1.0 + task.masspole
    assert params.polemass_length == task.masspole * task.length
    free = Gymnax(vary=("total_mass=1:2",))
    task = free.sample(jax.random.key(0))
    assert free.params(task).total_mass == task.total_mass


def test_equal_families_have_tasks_of_one_type():
    first, second = (Gymnax(vary=("length=0.25:1.0",)).sample(jax.random.key(0)) for _ in range(2))
    assert jax.tree.structure(first) == jax.tree.structure(second)


@pytest.mark.parametrize("name", [n for n in gymnax.registered_envs if n != "MNISTBandit-bsuite"])
def test_the_spaces_of_every_environment_are_gymnasiums(name):
    env, params = gymnax.make(name)
    observation, action = gymnax_adapter._spaces(name)
    assert observation.shape == env.observation_space(params).shape
    assert action.shape == env.action_space(params).shape
    assert isinstance(action, spaces.Box | spaces.Discrete)


def test_spaces_can_be_asked_for_while_jax_traces():
    seen = []
    jax.eval_shape(lambda: seen.append(Gymnax().observation_space))
    assert seen == [Gymnax().observation_space]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": "CartPol-v1"}, "did you mean 'CartPole-v1'"),
        ({"vary": ("lenght=0.25:1.0",)}, "did you mean 'length'"),
        ({"vary": ("max_steps_in_episode=10:20",)}, "unknown float parameter of CartPole-v1"),
        ({"vary": ("length=0.25",)}, "must be like 'length=0.25:1.0'"),
        ({"vary": ("length=1.0:0.25",)}, "must have a low below a high"),
        ({"vary": ()}, "at least one"),
        ({"vary": ("length=1:2", "length=2:3")}, "once"),
    ],
)
def test_a_wrong_setting_is_answered_with_what_is_right(arguments, message):
    with pytest.raises(UserError, match=message):
        Gymnax(**arguments)


def test_a_missing_gymnax_is_answered_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnax", None)
    gymnax_adapter._make.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'rl-meta\[gymnax\]'"):
        Gymnax()
