"""Networks of PyTorch, Keras and Stable-Baselines3 begin meta-training, and compute what they computed."""

import io
import json
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rl_meta
from rl_meta.algorithms.feed_forward_ppo import feed_forward_ppo
from rl_meta.algorithms.gradient_adaptation import GradientAdaptation, gradient_agent
from rl_meta.algorithms.maml import MAML
from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.reptile import Reptile
from rl_meta.cli import main
from rl_meta.errors import UserError
from rl_meta.integrations.networks import network_of
from rl_meta.policies.spaces import flat_size
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.training.catalogue import methods
from rl_meta.training.config import read_config
from rl_meta.training.initial import beginning_with
from rl_meta.training.run import load_params
from rl_meta.types import Inputs

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
sb3 = pytest.importorskip("stable_baselines3")

from rl_meta.integrations.sb3_envs import TaskVecEnv  # noqa: E402

torch.set_num_threads(1)
pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]
SAME = 1e-6
SMALL = Reptile(meta_batch_size=2, copies=2, rollout_steps=8, improvements=2, minibatches=2, epochs=1)


def begun(network, method, family):
    """The method with the network's form, the family as it sees it, its functions and first meta-parameters."""
    method = network.shape(method)
    view = method.view(family)
    algorithm = beginning_with(method.build(view, 10), network, view)
    return method, view, algorithm, jax.jit(algorithm.init)(jax.random.key(0)).params


def policy(method, view, params, seen):
    """Parameters of the policy for what the network reads."""
    if isinstance(method, GradientAdaptation):
        agent = gradient_agent(method, view, lambda *_: 0.0)
        adapted, _ = agent.begin(jax.random.key(0), params)
        return agent.part.parameters(params.learned.network, adapted.part, seen)
    return feed_forward_ppo(method, view, 10).network_of(params.network).policy(seen)


def assert_the_same(model, called, method="reptile", family=None):
    """Our policy, begun from a model, computes what the model computes."""
    method, view, _, params = begun(network_of(model), methods.load(method)(), family or CartPole())
    size = flat_size(view.observation_space)
    seen = np.random.default_rng(0).normal(size=(16, size)).astype(np.float32)
    np.testing.assert_allclose(policy(method, view, params, jnp.asarray(seen)), called(seen), atol=SAME, rtol=SAME)


def torch_mlp(activation, size=4):
    linear = torch.nn.Linear
    return torch.nn.Sequential(linear(size, 8), activation, linear(8, 6), activation, linear(6, 2))


def called_torch(model):
    return lambda seen: model(torch.from_numpy(seen)).detach().numpy()


@pytest.mark.parametrize("name", ["ELU", "GELU", "ReLU", "Sigmoid", "SiLU", "Softplus", "Tanh"])
def test_a_torch_network_computes_the_same_here(name):
    model = torch_mlp(getattr(torch.nn, name)())
    assert_the_same(model, called_torch(model))


@pytest.mark.parametrize("method", ["maml", "multitask", "oracle", "promp", "reptile"])
def test_every_method_with_such_a_network_takes_it(method):
    size = flat_size(methods.load(method)().view(CartPole()).observation_space)
    model = torch_mlp(torch.nn.GELU(approximate="tanh"), size)
    assert_the_same(model, called_torch(model), method)


@pytest.mark.parametrize("name", ["elu", "gelu", "relu", "sigmoid", "silu", "softplus", "tanh"])
def test_a_keras_network_computes_the_same_here(name):
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((4,)), dense(8, activation=name), dense(6), keras.layers.Activation(name)])
    model.add(dense(2))
    assert_the_same(model, lambda seen: np.asarray(model(seen)))


def test_a_network_without_hidden_layers_is_one_as_well():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    assert_the_same(model, called_torch(model))


UNKNOWN = {
    "LayerNorm": lambda: torch_mlp(torch.nn.LayerNorm(8)),
    "LeakyReLU": lambda: torch_mlp(torch.nn.LeakyReLU()),
    r"ELU\(alpha=2.0\)": lambda: torch_mlp(torch.nn.ELU(alpha=2.0)),
    "bias=False": lambda: torch.nn.Sequential(torch.nn.Linear(4, 2, bias=False)),
    "BatchNormalization": lambda: keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()]),
    "Dense.* with softmax": lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")]),
}


@pytest.mark.parametrize("layer", UNKNOWN)
def test_a_layer_without_a_counterpart_is_named(layer):
    with pytest.raises(UserError, match=f"the layer .*{layer}.* has no counterpart here; known: "):
        network_of(UNKNOWN[layer]())


def test_a_network_of_another_form_is_refused():
    linear, tanh, relu = torch.nn.Linear, torch.nn.Tanh(), torch.nn.ReLU()
    for layers in (
        [linear(4, 8), tanh, linear(8, 8), relu, linear(8, 2)],
        [linear(4, 8), linear(8, 2)],
        [linear(4, 2), tanh],
        [],
    ):
        with pytest.raises(UserError, match="one and the same activation between them, and end with a linear one"):
            network_of(torch.nn.Sequential(*layers))
    with pytest.raises(UserError, match=r"got torch\.nn\.modules\.linear\.Linear"):
        network_of(torch.nn.Linear(4, 2))


# ------------------------------------------------------------------------------------------- Stable-Baselines3


def model_of(family, algorithm="PPO", **kwargs):
    return getattr(sb3, algorithm)("MlpPolicy", TaskVecEnv(family, 1), policy_kwargs=kwargs, seed=0, device="cpu")


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    """A PPO for the pendulum with ReLU, and its file."""
    model = model_of(Pendulum(), net_arch=[8, 6], activation_fn=torch.nn.ReLU, log_std_init=-1.0)
    with torch.no_grad():
        for weight in model.policy.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) / 4)
    path = tmp_path_factory.mktemp("sb3") / "model.zip"
    model.save(path)
    return model, path


@pytest.mark.parametrize("method", [SMALL, MultiTask(), MAML()])
def test_a_policy_of_stable_baselines3_acts_the_same_here(zipped, method):
    model, path = zipped
    *_, algorithm, params = begun(network_of(f"sb3:PPO:{path}"), method, Pendulum())
    adapted, memory = algorithm.adapter.begin(jax.random.key(0), params)
    for obs in np.random.default_rng(0).uniform(-1, 1, (20, 3)).astype(np.float32):
        inputs = Inputs(obs, np.bool_(1), np.zeros(1, np.float32), np.float32(0), obs)
        ours = algorithm.adapter.act(None, params, adapted, memory, inputs)[1]
        theirs, *_ = model.policy(torch.from_numpy(obs[None]), deterministic=True)
        np.testing.assert_allclose(ours, theirs.detach().numpy()[0], atol=SAME, rtol=10 * SAME)


def test_values_and_noise_of_stable_baselines3_are_the_same_here(zipped):
    model, path = zipped
    method, view, _, params = begun(network_of(f"sb3:PPO:{path}"), SMALL, Pendulum())
    obs = np.random.default_rng(0).uniform(-1, 1, (4, 5, 3)).astype(np.float32)
    learner = feed_forward_ppo(method, view, 10)
    theirs = model.policy.predict_values(torch.from_numpy(obs.reshape(-1, 3))).detach().numpy().reshape(4, 5)
    np.testing.assert_allclose(learner.values(params, obs), theirs, atol=SAME, rtol=10 * SAME)
    inputs = Inputs(obs[0, 0], np.bool_(1), np.zeros(1, np.float32), np.float32(0), obs[0, 0])
    action, log_prob = learner.act(jax.random.key(1), params, inputs)
    _, expected, _ = model.policy.evaluate_actions(
        torch.from_numpy(obs[0, :1]), torch.from_numpy(np.array(action[None]))
    )
    np.testing.assert_allclose(log_prob, expected.item(), rtol=1e-5)


def test_a_run_begins_with_the_weights_and_goes_on_with_them(zipped, tmp_path, capsys):
    model, path = zipped
    words = ["train", "pendulum", "reptile", "--steps", "1", "--init-from", f"sb3:PPO:{path}", "--json"]
    for name in ("meta_batch_size", "copies", "rollout_steps", "improvements", "minibatches", "epochs"):
        words += [f"--method.{name.replace('_', '-')}", str(getattr(SMALL, name))]
    main([*words, "--method.outer-rate", "0", "--out", str(tmp_path / "run")])
    config = read_config(tmp_path / "run" / "config.json")
    assert (config.method.hidden, config.method.activation) == ((8, 6), "relu")
    kept = load_params(config, tmp_path / "run").network.policy.mlp.layers[0].weight[0]
    np.testing.assert_allclose(kept, model.policy.mlp_extractor.policy_net[0].weight.detach().numpy().T, atol=SAME)
    with pytest.raises(SystemExit):
        main(["train", "pendulum", "reptile", "--init-from", "sb3:PPO:none.zip", "--out", str(tmp_path / "other")])
    assert "cannot read none.zip" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    rl_meta.resume(tmp_path / "run")
    other = network_of(torch_mlp(torch.nn.Tanh(), 3))
    with pytest.raises(UserError, match=r"other settings|other weights"):
        rl_meta.train(Pendulum(), config.method, out=tmp_path / "run", steps=1, initial=other)


@pytest.mark.parametrize("method", ["rl2", "scratch", "varibad"])
def test_a_method_with_another_network_refuses_it(zipped, method, tmp_path):
    with pytest.raises(UserError, match="needs a method whose meta-parameters are an MLP actor-critic"):
        rl_meta.train("pendulum", method, out=tmp_path / "run", steps=1, initial=f"sb3:PPO:{zipped[1]}")
    assert not (tmp_path / "run").exists()


def test_networks_of_other_sizes_are_refused_with_both(zipped, tmp_path):
    with pytest.raises(UserError, match="the initial policy has layers of 3-8-6-1, the method's network has 4-8-6-2"):
        rl_meta.train("cartpole", "reptile", out=tmp_path / "run", steps=1, initial=f"sb3:PPO:{zipped[1]}")


def altered(path, to, **members):
    """A copy of a zip file with other members."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.get(name.partition(".")[0], old.read(name)))
    return f"sb3:PPO:{to}"


class Evil:
    def __init__(self, touched):
        self.touched = touched

    def __reduce__(self):
        return Path.touch, (self.touched,)


def test_code_in_a_file_is_not_run(zipped, tmp_path):
    buffer = io.BytesIO()
    torch.save({"action_net.weight": Evil(tmp_path / "touched")}, buffer)
    with pytest.raises(UserError, match="cannot read"):
        network_of(altered(zipped[1], tmp_path / "evil.zip", policy=buffer.getvalue()))
    with zipfile.ZipFile(zipped[1]) as archive:
        data = json.loads(archive.read("data"))
    data["policy_class"][":serialized:"] = data["policy_kwargs"][":serialized:"] = "not even a pickle"
    network_of(altered(zipped[1], tmp_path / "untouched.zip", data=json.dumps(data)))
    assert not (tmp_path / "touched").exists()


def test_files_that_hold_something_else_are_refused(tmp_path, zipped):
    model_of(Pendulum(), net_arch={"pi": [8], "vf": [6]}).save(tmp_path / "unequal.zip")
    model_of(Pendulum(), activation_fn=torch.nn.LeakyReLU).save(tmp_path / "leaky.zip")
    sb3.SAC("MlpPolicy", TaskVecEnv(Pendulum(), 1), buffer_size=10, device="cpu").save(tmp_path / "sac.zip")
    sb3.PPO("MlpPolicy", TaskVecEnv(Pendulum(), 1), use_sde=True, device="cpu").save(tmp_path / "sde.zip")
    (tmp_path / "text.zip").write_text("no zip")
    for name, message in {
        "unequal": "hidden layers of the same widths",
        "leaky": "the activation LeakyReLU has no counterpart",
        "sac": "lacks action_net",
        "sde": "state-dependent",
        "text": "cannot read",
    }.items():
        with pytest.raises(UserError, match=message):
            network_of(f"sb3:PPO:{tmp_path / name}.zip")
    for name in ("sb3:SAC:model.zip", "tf:PPO:model.zip", "model.zip", "sb3:model.zip"):
        with pytest.raises(UserError, match=r"algorithm to take weights from|must be like sb3:PPO:model\.zip"):
            network_of(name)
