"""Against the installed RLlib: families as its environments, its algorithms meta-trained, its checkpoints."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from rl_meta.cli import main
from rl_meta.errors import UserError
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.tasks.probes import ArmTask, Countdown, OneArmPays

pytestmark = [pytest.mark.frameworks, pytest.mark.xdist_group("ray"), pytest.mark.filterwarnings("ignore")]
pytest.importorskip("torch")
ray = pytest.importorskip("ray")
pytest.importorskip("ray.rllib")

from ray.rllib.algorithms.algorithm import Algorithm  # noqa: E402
from ray.rllib.algorithms.ppo import PPOConfig  # noqa: E402
from ray.rllib.core.rl_module.rl_module import RLModule  # noqa: E402

from rl_meta.integrations.foreign import Lesson, RepeatableLearner, take  # noqa: E402
from rl_meta.integrations.rllib import RLlibLearner, config_of  # noqa: E402
from rl_meta.integrations.rllib_envs import FamilyEnv, FamilyVectorEnv, make_env, register  # noqa: E402

ARMS = OneArmPays(end=0.0, horizon=5)
FAMILY = CartPole(horizon=20)
NET = {"fcnet_hiddens": [8]}
SETTINGS = {
    "PPO": {"train_batch_size_per_learner": 32, "minibatch_size": 16, "num_epochs": 2, "lr": 0.01, "gamma": 0.9},
    "DQN": {"train_batch_size_per_learner": 16, "num_steps_sampled_before_learning_starts": 16},
}


@pytest.fixture(scope="module", autouse=True)
def ended():
    yield
    ray.shutdown()


@pytest.fixture(scope="module", params=SETTINGS)
def learner(request):
    """One of each algorithm: to make one takes long."""
    made = RLlibLearner(request.param, FAMILY, n_envs=2, model_config=NET, **SETTINGS[request.param])
    yield made
    made.close()


def same(one, other):
    return one.keys() == other.keys() and all((np.asarray(one[name]) == np.asarray(other[name])).all() for name in one)


# ---------------------------------------------------------------------------------------- environments


def test_an_environment_stays_in_its_task_until_another_one_is_set():
    env = FamilyEnv(ARMS)
    for paying in (0, 1, 0):
        env.set_task(ArmTask(np.int32(paying)))
        assert env.get_task().arm == paying
        for _ in range(3):
            obs, _ = env.reset()
            assert env.observation_space.contains(obs)
            steps = [env.step(paying) for _ in range(ARMS.horizon)]
            assert [reward for _, reward, *_ in steps] == [1.0] * ARMS.horizon
            assert [truncated for *_, truncated, _ in steps] == [False] * 4 + [True]


def test_tasks_are_sampled_of_the_split_that_the_config_says():
    region = CartPole()
    for split in ("train", "test"):
        env = make_env({"family": region, "split": split, "seed": 3})
        tasks = env.sample_tasks(20)
        assert len({float(task.gravity) for task in tasks}) == 20
    with pytest.raises(UserError, match="unknown split of CartPole 'tset': did you mean 'test'"):
        make_env({"family": region, "split": "tset"})
    with pytest.raises(UserError, match="unknown field of env_config 'splt': did you mean 'split'"):
        make_env({"family": region, "splt": "test"})


def test_copies_of_a_task_wait_one_step_between_episodes():
    env = FamilyVectorEnv(ARMS, 3)
    env.set_task(ArmTask(np.int32(1)))
    env.reset()
    told = [env.step(np.array([1, 0, 1])) for _ in range(2 * (ARMS.horizon + 1))]
    one_episode = [1.0] * ARMS.horizon + [0.0]
    assert [reward[0] for _, reward, *_ in told] == one_episode * 2
    assert [truncated[0] for *_, truncated, _ in told] == ([False] * 4 + [True, False]) * 2
    assert (env.steps, sorted(env.returns)) == (2 * 3 * ARMS.horizon, [0.0, 0.0, 5.0, 5.0, 5.0, 5.0])


def test_after_the_end_of_an_episode_comes_the_first_observation_of_the_next():
    env = FamilyVectorEnv(CartPole(horizon=30), 8, seed=1)
    env.reset()
    over, checked = np.zeros(8, bool), 0
    for _ in range(60):
        obs, _, terminated, truncated, _ = env.step(np.ones(8, int))
        assert (np.abs(obs[over]) <= 0.05).all(), "as cartpole begins"
        assert (np.abs(obs[terminated, 2]) > 0.2).all(), "as it ends, one push after the other"
        over, checked = terminated | truncated, checked + over.sum()
    assert checked > 10


def test_with_every_episode_comes_a_new_task_where_that_is_asked_for():
    env = make_env({"family": ARMS, "num_envs": 16, "every_episode": True})
    env.reset()
    first = np.array([env.step(np.zeros(16, int))[1] for _ in range(12)])
    assert 0 < first[0].sum() < 16
    assert (first[0] != first[6]).any()


# ---------------------------------------------------------------------------------------- learners


def test_an_algorithm_learns_and_begins_anew(learner):
    begun = learner.get_parameters()
    task = FAMILY.sample(jax.random.key(1))
    gain = learner.learn(task, 64)
    assert 1 <= gain <= 20
    learned = learner.get_parameters()
    assert not same(learned, begun)
    learner.set_parameters(begun)
    assert same(learner.get_parameters(), begun)
    assert 1 <= learner.evaluate(task, 4) <= 20


def test_weights_are_set_on_the_learner_and_on_what_acts(learner):
    doubled = {name: 2 * x for name, x in learner.get_parameters().items()}
    learner.set_parameters(doubled)
    acting = learner.algorithm.get_module().get_state()
    assert acting.keys() <= doubled.keys()
    assert all((np.asarray(x) == doubled[name]).all() for name, x in acting.items())
    told = learner.algorithm.learner_group.get_state()["learner"]["rl_module"]["default_policy"]
    assert same(told, doubled)
    learner.learn(FAMILY.sample(jax.random.key(1)), 32)
    moved, acts = learner.get_parameters(), learner.algorithm.get_module().get_state()
    assert all((np.asarray(x) == moved[name]).all() for name, x in acts.items())


def test_a_task_begins_with_nothing_of_the_last_one(learner):
    learner.learn(FAMILY.sample(jax.random.key(1)), 64)
    (optimiser,) = learner._learner._named_optimizers.values()
    buffer = learner.algorithm.local_replay_buffer
    assert optimiser.state
    assert buffer is None or buffer.get_num_timesteps() > 0
    learner.set_parameters(learner.get_parameters())
    assert not optimiser.state
    buffer = learner.algorithm.local_replay_buffer
    assert buffer is None or buffer.get_num_timesteps() == 0
    assert learner.algorithm.env_runner.num_env_steps_sampled_lifetime == 0


def test_what_is_learned_in_a_task_follows_from_the_seed(learner):
    assert isinstance(learner, RepeatableLearner)
    begun, tasks = learner.get_parameters(), [FAMILY.sample(jax.random.key(i)) for i in range(2)]

    def learned(task, seed):
        return take(learner, begun, Lesson(task, 64, seed))

    (one, earned), (other, _) = learned(tasks[0], 3), learned(tasks[1], 5)
    learner.evaluate(tasks[1], 4)
    again, earned_again = learned(tasks[0], 3)
    assert same(again, one)
    assert earned_again == earned
    assert not same(other, one)
    assert not same(learned(tasks[0], 4)[0], one)


def test_episodes_go_on_from_one_call_to_the_next_in_the_same_task(learner):
    learner.set_parameters(learner.get_parameters())
    task, returns = FAMILY.sample(jax.random.key(1)), []
    for _ in range(30):
        learner.learn(task, 8)
        returns += learner.env.returns
    assert max(returns) > 16, "longer than what each copy is stepped in one call"
    learner.learn(FAMILY.sample(jax.random.key(2)), 8)
    assert float(learner.env.get_task().gravity) == float(FAMILY.sample(jax.random.key(2)).gravity)


def test_a_learner_that_was_used_before_still_learns(learner):
    begun = learner.get_parameters()
    for _ in range(3):
        learner.set_parameters(begun)
        learner.learn(FAMILY.sample(jax.random.key(1)), 96)
        assert not same(learner.get_parameters(), begun)


def test_a_checkpoint_is_read_and_fine_tuned_by_rllib(learner, tmp_path):
    learner.save(tmp_path / "model")
    learner.save(tmp_path / "model")
    saved = learner.get_parameters()
    read = Algorithm.from_checkpoint(str(tmp_path / "model"))
    assert same(read.learner_group.get_state()["learner"]["rl_module"]["default_policy"], saved)
    assert all((np.asarray(x) == saved[name]).all() for name, x in read.get_module().get_state().items())
    env = read.env_runner.env.unwrapped
    env.set_task(env.sample_tasks(1)[0])
    while env.steps < 96:  # DQN waits for its first 16
        read.train()
    assert not same(read.learner_group.get_state()["learner"]["rl_module"]["default_policy"], saved)
    read.stop()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_settings_reach_the_algorithm_and_those_it_does_not_know_are_refused():
    settings = {"lr": 1e-2, "gamma": 0.9, "clip_param": 0.1, "entropy_coeff": 0.02, "model_config": NET}
    config = config_of("PPO", FAMILY, n_envs=3, seed=7, settings=settings)
    assert (config.lr, config.gamma, config.clip_param, config.entropy_coeff) == (1e-2, 0.9, 0.1, 0.02)
    assert (config.num_envs_per_env_runner, config.seed) == (3, 7)
    assert config.model_config["fcnet_hiddens"] == [8]
    for make, message in (
        (lambda: RLlibLearner("PPO", FAMILY, gama=0.9), "unknown setting of RLlib's PPO 'gama': did you mean 'gamma'"),
        (lambda: RLlibLearner("PPX", FAMILY), "unknown algorithm of RLlib 'PPX': did you mean 'PPO'"),
        (lambda: RLlibLearner("DQN", Pendulum()), "DQN needs a Discrete action space"),
    ):
        with pytest.raises(UserError, match=message):
            make()


def test_the_command_writes_a_checkpoint(tmp_path, capsys):
    line = (
        "train cartpole reptile --learner rllib:PPO --family.horizon 10 --steps 128 --method.task-steps 32 --n-envs 2 "
        "--method.meta-batch-size 2 --set train_batch_size_per_learner=32 --set minibatch_size=16 --json --out"
    )
    main([*line.split(), str(tmp_path / "out")])
    assert json.loads(capsys.readouterr().out) == {"model": str(tmp_path / "out" / "model")}
    assert (tmp_path / "out" / "model" / "rllib_checkpoint.json").exists()
    about = json.loads((tmp_path / "out" / "learner.json").read_text())
    assert (about["learner"]["name"], about["family"]["horizon"]) == ("rllib:PPO", 10)


@pytest.mark.learning  # a second Ray takes its time to start
def test_a_worker_learns_what_the_command_alone_does(tmp_path):
    line = (
        "train cartpole reptile --learner rllib:PPO --family.horizon 10 --steps 64 --method.task-steps 32 --n-envs 2 "
        "--method.meta-batch-size 2 --set train_batch_size_per_learner=32 --set minibatch_size=16 --json --out"
    )
    for out, more in (("alone", []), ("by a worker", ["--workers", "1"])):
        main([*line.split(), str(tmp_path / out), *more])
    module = Path("model", "learner_group", "learner", "rl_module", "default_policy")
    alone, by_worker = (RLModule.from_checkpoint(tmp_path / out / module) for out in ("alone", "by a worker"))
    assert same(alone.get_state(), by_worker.get_state())


def test_a_registered_family_is_an_environment_by_name():
    register(Countdown(horizon=5), "countdown")
    config = PPOConfig().environment("countdown", env_config={"split": "test"}).env_runners(num_env_runners=0)
    made = config.training(train_batch_size_per_learner=32, minibatch_size=16, num_epochs=1).build_algo()
    assert made.train()["env_runners"]["episode_len_mean"] <= 5
    inside = made.env_runner.env.unwrapped.envs[0].unwrapped
    inside.set_task(inside.sample_tasks(1)[0])
    made.stop()
