import json

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.settings import from_plain, to_plain
from rl_meta.tasks.base import SPLITS, draw_tasks
from rl_meta.tasks.cartpole import CartPole, CartPoleTask
from rl_meta.tasks.distributions import Choice, LogUniform, Uniform
from rl_meta.tasks.envs import on_host
from rl_meta.tasks.gymnasium_env import GymnasiumFamily
from rl_meta.tasks.regions import split_of
from rl_meta.tasks.wrappers import FiniteTasks, reveal_task

ROUNDING = 1e-5
"""Of float32 against Gymnasium's float64, over a few steps."""


class Probe(gymnasium.Env):
    """Shows all that it is told; ends after five steps."""

    observation_space = spaces.Box(-np.inf, np.inf, (4,))
    action_space = spaces.Discrete(2)

    def __init__(self, size=1.0, *, kind="a"):
        self.size, self.kind, self.speed, self.option = size, kind, 0.0, 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.option = 0, (options or {}).get("option", 0.0)
        return self._observe(), {}

    def step(self, action):
        self.time += 1
        return self._observe(), float(self.np_random.random()), self.time == 5, False, {}

    def _observe(self):
        return np.array([self.size, self.speed, self.option, "ab".index(self.kind)])


class Forgetful(Probe):
    """Draws its task anew in every reset."""

    def reset(self, *, seed=None, options=None):
        found = super().reset(seed=seed, options=options)
        self.speed = self.np_random.random()
        return found


class Growing(Probe):
    """Its observations get longer with its size."""

    def __init__(self, size=1.0):
        super().__init__(size)
        self.observation_space = spaces.Box(-np.inf, np.inf, (int(size),))


class Drawing(Probe):
    """Has the protocol of learn2learn and RLlib."""

    def sample_tasks(self, count):
        return [{"speed": x} for x in self.np_random.random(count)]

    def set_task(self, task):
        self.speed = task["speed"]

    def get_task(self):
        return {"speed": self.speed}


def begun(family, count=6, split="train", seed=0):
    """Environments in drawn tasks, the tasks, and the first observations."""
    tasks = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(seed), count, split))
    envs = family.make_envs(count)
    return envs, tasks, envs.begin(np.ones(count, bool), tasks, np.arange(count, dtype=np.uint32), None)


def play(envs, steps, action):
    outcomes = []
    for _ in range(steps):
        envs.send(action, None, cut=False)
        outcomes.append(envs.receive())
    return outcomes


def probe(**settings):
    return GymnasiumFamily(Probe, **{"max_steps": 9, **settings})


# ------------------------------------------------------------------------------------------------ tasks


def test_parameters_reach_the_environment_in_all_ways():
    vary = {
        "size": Uniform(1, 2),
        "unwrapped.speed": LogUniform(0.1, 1),
        "reset.option": Uniform(3, 4),
        "kind": ("a", "b"),
    }
    _, tasks, obs = begun(probe(vary=vary))
    assert tasks._fields == ("size", "speed", "option", "kind")
    np.testing.assert_array_equal(obs, np.stack(tasks, 1).astype(np.float32))


def test_a_reset_leaves_the_task_as_it_is():
    family = probe(vary={"size": Uniform(1, 2), "speed": Uniform(3, 4), "reset.option": Uniform(5, 6)})
    envs, _, first = begun(family)
    outcomes = play(envs, 11, np.zeros(6, np.int32))
    assert sum(outcome.terminated.all() for outcome in outcomes) == 2
    for outcome in outcomes:
        np.testing.assert_array_equal(outcome.obs, first)


def test_environments_that_are_not_born_go_on():
    family = probe(vary={"size": Uniform(1, 2)})
    envs, tasks, first = begun(family)
    play(envs, 2, np.zeros(6, np.int32))
    born = np.arange(6) < 3
    again = envs.begin(born, jax.tree.map(lambda x: x + 1, tasks), np.arange(6, dtype=np.uint32), None)
    np.testing.assert_array_equal(again[3:], first[3:])
    np.testing.assert_allclose(again[:3, 0], first[:3, 0] + 1)
    ends = [outcome.terminated.tolist() for outcome in play(envs, 5, np.zeros(6, np.int32))]
    assert ends[2] == (~born).tolist()
    assert ends[4] == born.tolist()


def test_every_environment_has_random_numbers_of_its_own_that_follow_from_its_seed():
    family = probe(vary={"size": Uniform(1, 2)})
    rewards = [np.stack([o.reward for o in play(begun(family)[0], 12, np.zeros(6, np.int32))]) for _ in range(2)]
    np.testing.assert_array_equal(*rewards)
    assert len(np.unique(rewards[0])) == rewards[0].size


@pytest.mark.parametrize("split", SPLITS)
def test_ranges_are_split_by_region(split):
    family = GymnasiumFamily(vary={"length": Uniform(0.25, 1.0), "gravity": Uniform(5, 15)})
    tasks = draw_tasks(family, jax.random.key(0), 50, split)
    for point in np.stack(tasks, 1):
        assert split_of(point, (0.25, 5.0), (1.0, 15.0)) == split


def test_what_is_positive_stays_positive_beyond_its_range():
    family = GymnasiumFamily(vary={"length": Uniform(0.1, 1.0), "masspole": LogUniform(0.01, 1.0)})
    tasks = draw_tasks(family, jax.random.key(0), 500, "extrapolation")
    assert min(x.min() for x in tasks) > 0


def test_choices_alone_make_a_table_whose_rows_are_split():
    family = probe(vary={"size": Choice((1, 2, 3, 4, 5)), "kind": ("a", "b")})
    seen = {split: {tuple(row) for row in begun(family, 60, split)[2].tolist()} for split in family.splits}
    assert sorted(map(len, seen.values())) == [1, 2, 7]
    assert len(set.union(*seen.values())) == 10


def test_a_single_value_is_a_setting_of_all_tasks():
    family = probe(vary=("size=1:2", "kind=b"))
    assert list(family.task_space) == ["size"]
    assert (begun(family)[2][:, 3] == 1).all()


def test_a_list_of_tasks_keeps_the_splits_that_it_names():
    tasks = [{"size": 1.0}, {"size": 2.0}, {"size": 3.0, "split": "test"}]
    family = probe(tasks=tasks)
    assert family.splits == ("train", "test")
    assert set(begun(family, 20)[2][:, 0].tolist()) == {1.0, 2.0}
    assert set(begun(family, 20, "test")[2][:, 0].tolist()) == {3.0}


def test_a_function_may_draw_the_tasks_and_another_set_them():
    def set_task(env, values):
        env.unwrapped.speed = values["pace"] * 2

    family = probe(tasks=lambda rng: {"pace": rng.uniform(1, 2)}, set_task=set_task)
    _, tasks, obs = begun(family)
    assert len(np.unique(tasks.pace)) == 6
    np.testing.assert_allclose(obs[:, 1], tasks.pace * 2)


def test_the_protocol_of_learn2learn_and_rllib_is_accepted():
    family = GymnasiumFamily(Drawing, vary=(), max_steps=9)
    _, tasks, obs = begun(family, 20)
    np.testing.assert_allclose(obs[:, 1], tasks.speed)
    assert len(np.unique(obs[:, 1])) > 10
    np.testing.assert_array_equal(begun(GymnasiumFamily(Drawing, vary=(), max_steps=9), 20)[2], obs)


# ------------------------------------------------------------------------------------------------ environments


def test_gymnasiums_cartpole_is_the_native_one():
    native = CartPole(hide_direction=False)
    family = GymnasiumFamily(
        vary={"gravity": Uniform(5, 15), "length": Uniform(0.25, 1), "masspole": Uniform(0.05, 0.5)}
    )
    envs, tasks, obs = begun(family)
    ours = CartPoleTask(tasks.gravity, tasks.length, tasks.masspole, np.full(6, 10.0), np.ones(6))
    state, _ = jax.vmap(native.reset)(jax.random.split(jax.random.key(0), 6), ours)
    state = state._replace(physics=obs)
    step = jax.jit(jax.vmap(native.step, (None, 0, 0, 0)))
    for outcome in play(envs, 5, np.ones(6, np.int32)):
        transition = step(jax.random.key(0), state, np.ones(6, np.int32), ours)
        state = transition.state
        np.testing.assert_allclose(outcome.next_obs, transition.obs, atol=ROUNDING)


def test_continuous_actions_and_a_limit_of_steps():
    family = GymnasiumFamily("Pendulum-v1", vary={"g": Uniform(5, 15), "unwrapped.m": Uniform(0.5, 2)}, max_steps=7)
    assert family.horizon == 7
    outcomes = play(begun(family)[0], 7, np.ones((6, 1), np.float32))
    assert [bool(outcome.truncated.all()) for outcome in outcomes] == [False] * 6 + [True]
    assert (outcomes[-1].obs != outcomes[-1].next_obs).any(1).all()
    assert outcomes[0].obs is outcomes[0].next_obs


def test_dictionaries_keep_the_types_of_jax():
    class Several(Probe):
        observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (2, 2, 1), np.uint8),
                "place": spaces.Discrete(3),
                "digits": spaces.MultiDiscrete([2, 4]),
            }
        )

        def _observe(self):
            return {"image": np.full((2, 2, 1), self.size, np.uint8), "place": 2, "digits": np.array([1, 3])}

    obs = begun(GymnasiumFamily(Several, vary={"size": Uniform(1, 9)}, max_steps=9))[2]
    assert {name: (x.shape, x.dtype) for name, x in obs.items()} == {
        "image": ((6, 2, 2, 1), np.uint8),
        "place": ((6,), np.int32),
        "digits": ((6, 2), np.int32),
    }


def test_wrappers_of_families_keep_the_environments():
    family = probe(vary={"size": Uniform(1, 3), "kind": ("a", "b")})
    shown = reveal_task(FiniteTasks(family, 5))
    assert on_host(shown)
    envs, tasks, obs = begun(shown)
    np.testing.assert_allclose(obs["task"], np.stack([tasks.size - 2, tasks.kind == 0, tasks.kind == 1], 1), atol=1e-6)
    assert len(np.unique(tasks.size)) <= 5
    np.testing.assert_array_equal(play(envs, 5, np.zeros(6, np.int32))[-1].obs["task"], obs["task"])


class Telling(Probe):
    """Tells its speed and, in the second step of an episode, a success."""

    def step(self, action):
        *step, _ = super().step(action)
        return *step, {"speed": self.speed, "success": self.time == 2}


@pytest.mark.parametrize("workers", [0, 2])
def test_what_steps_tell_beside_the_reward_is_measured(workers):
    family = GymnasiumFamily(
        Telling, vary={"speed": Uniform(1, 2)}, max_steps=9, workers=workers, measures=("success=max", "speed=mean")
    )
    envs, tasks, _ = begun(family)
    outcomes = play(envs, 3, np.zeros(6, np.int32))
    envs.close()
    assert [outcome.measured["success"].tolist() for outcome in outcomes] == [[0] * 6, [1] * 6, [0] * 6]
    for outcome in outcomes:
        np.testing.assert_allclose(outcome.measured["speed"], tasks.speed)


# ------------------------------------------------------------------------------------------------ settings


def test_distributions_are_written_as_text_and_read_back():
    vary = {
        "a": Uniform(0.1, 1 / 3),
        "b": LogUniform(1e-5, 2),
        "c": Choice((2, 2.5, True, "word")),
        "d": [1, 2],
        "e": 7,
    }
    family = GymnasiumFamily(vary=vary)
    assert family.vary == ("a=0.1:0.3333333333333333", "b=log:1e-05:2.0", "c=2,2.5,True,word", "d=1,2", "e=7")
    assert from_plain(GymnasiumFamily, json.loads(json.dumps(to_plain(family)))) == family


def test_a_class_among_the_settings_is_named_in_json_and_not_imported():
    plain = json.loads(json.dumps(to_plain(probe(vary={"size": Uniform(1, 2)}))))
    assert plain["env"] == {"python": f"{__name__}:Probe"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"vary": ("lenght=1:2",)}, "did you mean 'length'"),
        ({"vary": ("length=2:1",)}, "finite low below a finite high"),
        ({"vary": ("length=nan:1",)}, "finite low below a finite high"),
        ({"vary": ("length=log:0:1",)}, "positive low"),
        ({"vary": ("length",)}, "must be like"),
        ({"vary": "length=1:2"}, "a list like"),
        ({"vary": ("length=1:2", "length=1:3")}, "named once"),
        ({"vary": ("length=1",)}, "nothing varies"),
        ({"vary": ("length=1,2",)}, "at least 3 tasks"),
        ({"vary": ()}, "no `sample_tasks`"),
        ({"env": "CartPol-v1"}, "Did you mean"),
        ({"env": Probe, "vary": ("size=1:2",)}, "no time limit"),
        ({"env": Probe, "vary": ("spede=1:2",)}, "did you mean 'speed'"),
        ({"env": Growing, "vary": ("size=4:6",), "max_steps": 9}, "same spaces"),
        ({"env": Forgetful, "vary": ("speed=4:6",), "max_steps": 9}, "was set to"),
        ({"tasks": lambda rng: {"length": np.nan}}, "must be finite"),
        ({"tasks": [{"length": 1.0}, {"gravity": 1.0}, {"length": 2.0}]}, "same parameters"),
        ({"tasks": [1, 2, 3]}, "need `set_task`"),
        ({"measures": ("success",)}, "like 'success=max'"),
        ({"measures": ("a=max", "a=mean")}, "named once"),
        ({"measures": ("seconds=max",)}, "a measure cannot be called seconds"),
        ({"env": Telling, "vary": ("speed=4:6",), "max_steps": 9, "measures": ("sucess=max",)}, "mean 'success'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_training(settings, said):
    with pytest.raises(UserError, match=said) as error:
        _ = GymnasiumFamily(**settings).horizon
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("told", "reward", "said"),
    [
        (np.zeros(3), 1.0, r"an observation of shape \(3,\) is not in the environment's space"),
        (np.zeros((4, 1)), 1.0, r"an observation of shape \(4, 1\)"),
        (np.zeros(4), np.ones(1), r"a reward must be a number, the environment's step told array\(\[1\.\]\)"),
        (np.full(4, np.nan), 1.0, r"died 10 times in a row .* are not finite"),
        (np.zeros(4), float("inf"), r"died 10 times in a row .* the reward inf .* not finite"),
        (np.zeros(4), None, r"died 10 times in a row .* the reward None .* not finite"),
    ],
)
def test_what_a_step_tells_wrongly_is_said(told, reward, said):
    class Wrong(Probe):
        def step(self, action):
            right = super().step(action)
            return right if self.time == 1 else (told, reward, False, False, {})

    envs = begun(GymnasiumFamily(Wrong, vary={"size": Uniform(1, 2)}, max_steps=9))[0]
    with pytest.raises(UserError, match=said):
        play(envs, 40, np.zeros(6, np.int32))


def test_a_reset_that_tells_nan_is_said():
    class Unborn(Probe):
        def _observe(self):
            return super()._observe() * (1.0 if self.size < 1.5 else np.nan)

    with pytest.raises(UserError, match=r"died 10 times in a row .* a reset told the observation .* not finite"):
        begun(GymnasiumFamily(Unborn, vary={"size": Uniform(1, 2)}, max_steps=9), count=20)


def test_an_environment_that_tells_nan_once_is_made_anew_and_its_step_is_lost():
    class Once(Probe):
        def step(self, action):
            obs, reward, *ends = super().step(action)
            return obs, float("nan") if self.time == 2 and self.size > 1.5 else reward, *ends

    envs, tasks, _ = begun(GymnasiumFamily(Once, vary={"size": Uniform(1, 2)}, max_steps=9))
    sick = tasks.size > 1.5
    assert sick.any()
    assert not sick.all()
    first, second = play(envs, 2, np.zeros(6, np.int32))
    assert first.lost is None
    np.testing.assert_array_equal(second.lost, sick)
    assert np.isfinite(second.reward).all()


def test_a_number_that_a_discrete_observation_does_not_have_is_said():
    class Beyond(Probe):
        observation_space = spaces.Dict({"place": spaces.Discrete(3, start=1), "digits": spaces.MultiDiscrete([2, 4])})

        def _observe(self):
            return {"place": 3, "digits": np.array([1, 3 + (self.time > 1)])}

    envs = begun(GymnasiumFamily(Beyond, vary={"size": Uniform(1, 2)}, max_steps=9), count=2)[0]
    with pytest.raises(UserError, match=r"the observation \[1 4\] is not in the environment's space MultiDiscrete"):
        play(envs, 2, np.zeros(2, np.int32))
