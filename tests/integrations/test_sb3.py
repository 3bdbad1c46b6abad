"""Against the installed Stable-Baselines3: families as its environments, its algorithms meta-trained, its tools."""

import json

import jax
import numpy as np
import pytest
from gymnasium import spaces

import rl_meta
from hosted import HostedArms
from rl_meta.algorithms.rl2 import RL2
from rl_meta.cli import main
from rl_meta.collection.agent import Agent
from rl_meta.errors import UserError
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.gymnasium_env import GymnasiumFamily
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.tasks.probes import Countdown, OneArmPays

sb3 = pytest.importorskip("stable_baselines3")
contrib = pytest.importorskip("sb3_contrib")
torch = pytest.importorskip("torch")

from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402
from stable_baselines3.common.vec_env import VecMonitor  # noqa: E402

from rl_meta.integrations.foreign import ForeignReptile  # noqa: E402
from rl_meta.integrations.sb3 import ALGORITHMS, SB3Learner  # noqa: E402
from rl_meta.integrations.sb3_envs import LifetimeVecEnv, TaskVecEnv  # noqa: E402

torch.set_num_threads(1)
pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore:.*:UserWarning")]
ARMS = OneArmPays(end=0.3, horizon=6)
FAST = {
    **{name: {"n_steps": 16, "batch_size": 16} for name in ("PPO", "TRPO")},
    "A2C": {},
    **{name: {"learning_starts": 16, "buffer_size": 1000} for name in ("SAC", "TD3", "DQN", "QRDQN")},
}


def small(name):
    family = Pendulum(horizon=10) if name in ("SAC", "TD3") else CartPole(horizon=10)
    return SB3Learner(name, family, n_envs=2, policy_kwargs={"net_arch": [8]}, **FAST[name]), family


# ---------------------------------------------------------------------------------------- lifetimes


def test_a_lifetime_is_one_episode_and_shows_the_ends_of_those_inside():
    env = LifetimeVecEnv(ARMS, 4, episodes=3)
    shown = env.reset()
    assert shown.shape == (4, 1 + 2 + 2)
    assert shown[:, -1].tolist() == [1.0] * 4
    begins, over = [], []
    for _ in range(18):
        shown, _, done, infos = env.step(np.zeros(4, int))
        begins.append(shown[:, -1].copy())
        over.append(done)
    assert np.array(over)[:-1].sum() == 0
    assert np.array(over)[-1].all()
    assert 0 < np.array(begins)[:-1].sum() < 17 * 4
    assert [info["episode"]["l"] for info in infos] == [18] * 4
    assert not any(info["TimeLimit.truncated"] for info in infos)
    assert infos[0]["terminal_observation"].shape == (5,)


def test_the_last_action_and_reward_are_shown():
    env = LifetimeVecEnv(ARMS, 8, seed=3)
    env.reset()
    actions = np.arange(8) % 2
    shown, reward, *_ = env.step(actions)
    np.testing.assert_array_equal(shown[:, 1:3], np.eye(2)[actions])
    np.testing.assert_array_equal(shown[:, 3], reward)
    assert 0 < reward.sum() < 8, "tasks differ"


def test_every_lifetime_has_a_task_of_its_own_and_a_seed_repeats_them():
    def arms(env, lifetimes):
        found = []
        for _ in range(lifetimes):
            found.append(env.step(np.zeros(16, int))[1])
            for _ in range(env.lifetime_steps - 1):
                env.step(np.zeros(16, int))
        return np.array(found)

    env = LifetimeVecEnv(ARMS, 16, episodes=1)
    env.seed(5)
    env.reset()
    one = arms(env, 3)
    assert (one[0] != one[1]).any()
    env.seed(5)
    env.reset()
    np.testing.assert_array_equal(arms(env, 3), one)


@pytest.mark.parametrize(
    "family",
    [
        CartPole(horizon=8),
        Pendulum(horizon=8),
        HostedArms(),
        GymnasiumFamily("Pendulum-v1", max_steps=8, vary=("g=5:15",)),
    ],
)
def test_recurrent_ppo_learns_on_lifetimes_of_any_family(family):
    env = LifetimeVecEnv(family, 4)
    settings = {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "policy_kwargs": {"lstm_hidden_size": 8}}
    model = contrib.RecurrentPPO("MlpLstmPolicy", env, seed=0, **settings).learn(2 * 4 * env.lifetime_steps)
    assert len(model.ep_info_buffer) >= 4
    assert {told["l"] for told in model.ep_info_buffer} == {env.lifetime_steps}


def test_recurrent_ppo_keeps_its_state_across_the_episodes_of_a_lifetime():
    env = LifetimeVecEnv(ARMS, 2, episodes=2)
    model = contrib.RecurrentPPO("MlpLstmPolicy", env, n_steps=env.lifetime_steps, batch_size=8, n_epochs=1, seed=0)
    _, callback = model._setup_learn(24)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, env.lifetime_steps)
    begins = model.rollout_buffer.observations[..., -1]
    forgets = model.rollout_buffer.episode_starts
    assert forgets.sum() == 2
    assert begins.sum() > 2


@pytest.mark.learning
def test_recurrent_ppo_finds_the_arm_that_pays():
    env = LifetimeVecEnv(OneArmPays(end=0.3, horizon=6), 32, episodes=2)
    settings = {"n_steps": 24, "batch_size": 192, "learning_rate": 3e-3, "policy_kwargs": {"lstm_hidden_size": 32}}
    model = contrib.RecurrentPPO("MlpLstmPolicy", env, seed=0, gamma=0.9, **settings).learn(60_000)
    reached = np.mean([told["r"] for told in model.ep_info_buffer])
    assert reached > 0.85 * 12, "a policy without memory earns 6"


# ---------------------------------------------------------------------------------------- tasks


def test_a_task_stays_until_another_one_is_put():
    env = TaskVecEnv(ARMS, 8, task=ARMS.sample(jax.random.key(0)))
    arm = int(ARMS.sample(jax.random.key(0)).arm)
    for paying in (arm, 1 - arm):
        env.put(type(ARMS.sample(jax.random.key(0)))(np.int32(paying)))
        env.reset()
        assert all(env.step(np.full(8, paying))[1].all() for _ in range(10))


def test_every_episode_may_have_a_task_of_its_own():
    env = TaskVecEnv(ARMS, 8, every_episode=True)
    env.reset()
    rewards, done = (np.array(x) for x in zip(*(env.step(np.zeros(8, int))[1:3] for _ in range(60)), strict=True))
    same = (rewards[1:] == rewards[:-1]) | done[:-1]
    assert same.all(), "a task is for a whole episode"
    assert (rewards.min(0) != rewards.max(0)).all(), "every copy meets both kinds of tasks"
    with pytest.raises(UserError, match="every_episode draws them"):
        TaskVecEnv(ARMS, 8, task=ARMS.sample(jax.random.key(0)), every_episode=True)


def test_a_time_limit_is_told_from_an_end():
    env = TaskVecEnv(Countdown(horizon=5), 32)
    env.reset()
    told = [info for _ in range(12) for info in env.step(np.zeros(32, int))[3] if info]
    assert {info["TimeLimit.truncated"] for info in told} == {True, False}
    assert max(info["episode"]["l"] for info in told) <= 5


def test_monitors_agree_on_the_return():
    env = TaskVecEnv(Countdown(horizon=5), 4)
    watched = VecMonitor(env)
    watched.reset()
    for _ in range(20):
        before = watched.episode_returns + 0
        _, rewards, done, infos = watched.step(np.zeros(4, int))
        for i in np.flatnonzero(done):
            assert infos[i]["episode"]["r"] == pytest.approx(before[i] + rewards[i])
    assert env.env_is_wrapped(sb3.common.monitor.Monitor) == [True] * 4


# ---------------------------------------------------------------------------------------- learners


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_learns_is_averaged_and_begins_anew(name):
    learner, family = small(name)
    begun = learner.get_parameters()
    task = family.sample(jax.random.key(1))
    learner.learn(task, 64)
    learned = learner.get_parameters()
    assert any((learned[key] != begun[key]).any() for key in begun)
    learner.set_parameters(begun)
    again = learner.get_parameters()
    assert all((again[key] == begun[key]).all() for key in begun)
    assert np.isfinite(learner.evaluate(task, 2))


def test_a_new_task_begins_without_the_moments_of_the_last_and_with_new_noise():
    learner, family = small("SAC")
    begun = learner.get_parameters()
    learner.learn(family.sample(jax.random.key(1)), 64)
    assert learner.model.actor.optimizer.state
    assert learner.model.replay_buffer.size() > 0
    learner.set_parameters(begun)
    assert not learner.model.actor.optimizer.state
    assert not learner.model.ent_coef_optimizer.state
    assert learner.model.replay_buffer.size() == 0
    ppo = SB3Learner("PPO", family, n_envs=2, learning_rate=0.1, **FAST["PPO"])
    begun, noise = ppo.get_parameters(), ppo.model.policy.log_std.detach().clone()
    ppo.learn(family.sample(jax.random.key(1)), 64)
    assert (ppo.model.policy.log_std != noise).any()
    assert "policy.log_std" not in begun
    ppo.set_parameters(begun)
    assert (ppo.model.policy.log_std == noise).all()


def test_settings_reach_the_algorithm_and_those_it_does_not_know_are_refused():
    family = CartPole(horizon=10)
    settings = {"learning_rate": 1e-2, "gamma": 0.9, "ent_coef": 0.01, "clip_range": 0.1, "n_steps": 32}
    model = SB3Learner("PPO", family, seed=7, policy_kwargs={"net_arch": [5]}, **settings).model
    assert (model.learning_rate, model.gamma, model.ent_coef, model.n_steps, model.seed) == (1e-2, 0.9, 0.01, 32, 7)
    assert model.clip_range(1.0) == 0.1
    assert model.policy.mlp_extractor.policy_net[0].out_features == 5
    with pytest.raises(UserError, match=r"PPO cannot be made with .*unexpected keyword argument 'gama'"):
        SB3Learner("PPO", family, gama=0.9)
    with pytest.raises(UserError, match=r"DQN cannot be made .*only supports"):
        SB3Learner("DQN", Pendulum())


def test_the_command_writes_a_model_that_its_library_reads_and_fine_tunes(tmp_path, capsys):
    line = (
        "train cartpole reptile --learner sb3:PPO --family.horizon 10 --steps 256 --method.task-steps 64 "
        "--method.meta-batch-size 2 --n-envs 2 --set n_steps=16 --set batch_size=16 --json --out"
    )
    main([*line.split(), str(tmp_path / "out")])
    model = sb3.PPO.load(json.loads(capsys.readouterr().out)["model"])
    assert model.n_steps == 16
    before = model.policy.state_dict()["action_net.weight"].clone()
    model.set_env(TaskVecEnv(CartPole(horizon=10), 2))
    model.learn(64)
    assert (model.policy.state_dict()["action_net.weight"] != before).any()
    about = json.loads((tmp_path / "out" / "learner.json").read_text())
    assert about["family"]["horizon"] == 10


@pytest.mark.learning
def test_ppo_learns_a_new_task_faster_from_the_aggregated_weights(tmp_path):
    family = CartPole(horizon=100)
    settings = {"n_steps": 64, "batch_size": 128, "learning_rate": 1e-3}
    out = rl_meta.train_learner(family, "sb3:PPO", out=tmp_path / "out", steps=200_000, settings=settings)
    reached = {"aggregated": [], "random": []}
    for seed in range(8):
        task = family.sample(jax.random.key(seed), "test")
        for name, gains in reached.items():
            learner = SB3Learner("PPO", family, seed=seed, **settings)
            if name == "aggregated":
                learner.model.set_parameters(str(out / "model.zip"))
            learner.learn(task, 1024)
            gains.append(learner.evaluate(task))
    assert np.mean(reached["aggregated"]) > np.mean(reached["random"])


# ---------------------------------------------------------------------------------------- our agents in its tools


def test_evaluate_policy_takes_our_agent():
    family, method = CartPole(horizon=20), RL2(memory=4, encoder=())
    algorithm = method.build(family, 1)
    params = jax.jit(algorithm.init)(jax.random.key(0)).params
    agent = Agent(algorithm.adapter, params, method.shape(family), family.observation_space, family.action_space)
    returns, lengths = evaluate_policy(agent, TaskVecEnv(family, 3), 6, return_episode_rewards=True)
    assert len(returns) == 6
    assert returns == pytest.approx(lengths), "cartpole pays 1 per step"
    assert isinstance(agent.action_space, spaces.Discrete)


# ---------------------------------------------------------------------------------------- stopped, and gone on with


@pytest.mark.parametrize("name", ["PPO", "SAC"])
def test_a_run_that_was_stopped_goes_on_to_the_same_model(name, tmp_path, capsys):
    def stop(line):
        raise KeyboardInterrupt

    family = "pendulum" if name == "SAC" else "cartpole"
    method = ForeignReptile(meta_batch_size=2, task_steps=64)
    how = {"steps": 256, "n_envs": 2, "settings": {**FAST[name], "policy_kwargs": {"net_arch": [8]}}}
    whole = rl_meta.train_learner(family, f"sb3:{name}", method, out=tmp_path / "whole", **how)
    with pytest.raises(KeyboardInterrupt):
        rl_meta.train_learner(family, f"sb3:{name}", method, out=tmp_path / "cut", report=stop, **how)
    main(["train", "--resume", str(tmp_path / "cut")])
    assert f"{name}.load(" in capsys.readouterr().out
    ours, theirs = (ALGORITHMS[name].load(run / "model.zip").policy.state_dict() for run in (tmp_path / "cut", whole))
    for part, x in ours.items():
        np.testing.assert_array_equal(x, theirs[part], err_msg=part)


def test_settings_that_no_file_can_say_have_to_be_given_again(tmp_path):
    settings = {**FAST["PPO"], "policy_kwargs": {"net_arch": [8], "activation_fn": torch.nn.ReLU}}
    method, how = ForeignReptile(meta_batch_size=2, task_steps=64), {"steps": 128, "n_envs": 2, "settings": settings}
    out = rl_meta.train_learner("cartpole", "sb3:PPO", method, out=tmp_path / "out", **how)
    with pytest.raises(UserError, match=r"call rl_meta\.train_learner with them again"):
        rl_meta.resume(out)
    assert rl_meta.train_learner("cartpole", "sb3:PPO", method, out=out, **how) == out


# ---------------------------------------------------------------------------------------- workers


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_tasks_are_learned_the_same_on_workers_as_one_after_the_other(name, tmp_path):
    _, family = small(name)
    method, settings = ForeignReptile(meta_batch_size=3, task_steps=64), {"policy_kwargs": {"net_arch": [8]}}
    how = {"steps": 300, "n_envs": 2, "settings": {**FAST[name], **settings}}
    alone = rl_meta.train_learner(family, f"sb3:{name}", method, out=tmp_path / "alone", **how)
    side = rl_meta.train_learner(
        family, f"sb3:{name}", method, out=tmp_path / "side", cluster=rl_meta.Cluster(2), **how
    )
    ours, theirs = (ALGORITHMS[name].load(run / "model.zip").policy.state_dict() for run in (side, alone))
    for part, x in ours.items():
        np.testing.assert_array_equal(x, theirs[part], err_msg=part)
