"""`export` in Python and on the command line, and what it refuses."""

import json
import sys
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rl_meta
from rl_meta.algorithms.reptile import Reptile
from rl_meta.algorithms.rl2 import RL2
from rl_meta.cli import main
from rl_meta.errors import UserError
from rl_meta.exporting.draws import explicit
from rl_meta.exporting.onnx_model import onnx_model
from rl_meta.exporting.programs import Program, Tensor, _tensors
from rl_meta.tasks.bandit import Bandit
from rl_meta.types import Inputs
from untrained import untrained_run

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("run") / "run", Bandit(arms=2, pulls=6), RL2(memory=4, encoder=()))


def test_the_command_writes_the_agent_of_the_seed_asked_for(run, tmp_path, monkeypatch, capsys):
    main(["export", str(run), "--to", "onnx", "--seed-index", "1", "--out", str(tmp_path / "out"), "--json"])
    assert json.loads(capsys.readouterr().out) == {"export": str(tmp_path / "out")}
    monkeypatch.syspath_prepend(str(tmp_path / "out"))
    begun, agent = import_module("agent").Agent(), rl_meta.load(run, seed_index=1)
    assert begun.about["method"] == "rl2"
    begun.begin_task(0)
    agent.begin_task(0)
    for reward in (0.0, 1.0, 1.0):
        assert begun.act(0, reward, deterministic=True) == agent.act(0, reward, deterministic=True)
    np.testing.assert_allclose(begun._last["extras_decision_value"], agent._ledger.extras.decision.value, rtol=1e-5)


def test_the_default_directory_is_in_the_run(run, capsys):
    main(["export", str(run)])
    assert str(run / "export-onnx") in capsys.readouterr().out
    assert (run / "export-onnx" / "act.onnx").exists()
    with pytest.raises(UserError, match="is not empty: choose another directory"):
        rl_meta.export(run, out=run / "export-onnx")


def test_an_unknown_target_is_named_with_the_nearest(run, tmp_path):
    with pytest.raises(UserError, match="unknown export 'onx': did you mean 'onnx'"):
        rl_meta.export(run, to="onx", out=tmp_path / "out")


@pytest.mark.parametrize("to", ["onnx", "tensorflow", "torch"])
def test_a_missing_extra_is_named_with_its_install_command(to, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, to, None)
    with pytest.raises(UserError, match=rf"pip install 'rl-meta\[{to}\]'"):
        rl_meta.export(run, to=to, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_named(tmp_path):
    method = Reptile(copies=1, rollout_steps=6, hidden=(4,), minibatches=1)  # so few rows are shuffled by sorting
    run = untrained_run(tmp_path / "run", Bandit(arms=2, pulls=6), method)
    with pytest.raises(UserError, match="reptile cannot be exported to onnx: it computes `sort`"):
        rl_meta.export(run, out=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "something was left behind"


def test_two_arrays_of_one_name_are_refused():
    with pytest.raises(UserError, match="called inputs_obs_a_b"):
        _tensors({"inputs": Inputs({"a_b": jnp.zeros(1), "a b": jnp.zeros(1)}, *[jnp.zeros(1)] * 4)})


# Operations that none of the methods need in every form.


OPERATIONS = {
    "log1p and expm1": lambda x: jnp.log1p(x**2) + jnp.expm1(x),
    "reverse scan": lambda x: jax.lax.scan(lambda c, y: (c + y, c * y), x[0], x, reverse=True),
    "scan over nothing": lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=3)[0],
    "batched product": lambda x: jnp.einsum("ij,ijk->ik", x, jnp.stack([x, 2 * x], 1).repeat(2, 1)[:, :3]),
    "flags": lambda x: (x > 0).any(0) | (x < -1).all(0) ^ ~(x > 1)[0],
    "integers": lambda x: (x * 10).astype(jnp.int32) % 3 & 1,
    "rows": lambda x: x[jnp.argmax(x, 0)] - x[:, jnp.array([1, 0])].sum(),
    "setting a row": lambda x: jnp.asarray(x).at[jnp.argmax(x[:, 0])].set(0.0),
    "strided": lambda x: x[::-1, ::2].min(1).sum() + x.max(),
    "roots": lambda x: jax.lax.rsqrt(x**2 + 1) * jnp.abs(x) ** 1.5 + jnp.sign(x) * jnp.floor(x),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_the_same_in_onnx(name):
    function = lambda x: tuple(jax.tree.leaves(OPERATIONS[name](x)))
    x = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    expected = function(x)
    outputs = tuple(Tensor(f"y{i}", y.shape, str(y.dtype)) for i, y in enumerate(expected))
    program = Program("test", (Tensor("x", (3, 3), "float32"),), outputs, (), function, explicit(lambda key: ()))
    session = onnxruntime.InferenceSession(onnx_model(program).SerializeToString())
    for got, should in zip(session.run(None, {"x": x}), expected, strict=True):
        np.testing.assert_allclose(got, should, rtol=1e-5, atol=1e-6)
