"""What was exported to ONNX does what the agent in JAX does, over whole lifetimes."""

import json
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from exported import CLOSE, actions_of_both, exported, made

from rl_meta.exporting.client import Agent

pytestmark = pytest.mark.frameworks
onnxruntime = pytest.importorskip("onnxruntime")
DISCRETE = (
    "hypernetwork",
    "judging rl2",
    "maml",
    "multitask",
    "oracle",
    "reptile",
    "rl2",
    "transformer",
    "varibad",
)
CONTINUOUS = ("maml", "pearl", "rl2")
LIKE_OTHERS = ("promp", "scratch")
MORE = ("hypernetwork", "multitask", "oracle", "promp", "reptile", "scratch", "transformer", "varibad")
"""Of which the discrete ones say nearly all."""
PLAIN = "import sys; sys.modules['jax'] = sys.modules['rl_meta'] = None\n"
"""Makes importing either an error."""


def slowly(names):
    return [pytest.param(name, marks=pytest.mark.learning) for name in names]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    found = {}

    def one(name, family):
        if (name, family) not in found:
            found[name, family] = exported(name, family, "onnx", tmp_path_factory.mktemp("export") / name)
        return found[name, family]

    return one


@pytest.mark.parametrize("name", [*DISCRETE, *slowly(LIKE_OTHERS)])
def test_an_exported_agent_takes_the_same_actions_over_a_lifetime(name, directory):
    ours, theirs, *_ = actions_of_both(made(name, "discrete"), directory(name, "discrete"))
    np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("name", [*CONTINUOUS, *slowly(MORE)])
def test_an_exported_agent_takes_the_same_vectors_over_a_lifetime(name, directory):
    ours, theirs, *_ = actions_of_both(made(name, "continuous"), directory(name, "continuous"))
    np.testing.assert_allclose(theirs, ours, atol=CLOSE)


def test_an_exported_agent_sees_the_same_pictures(directory):
    ours, theirs, told, given = actions_of_both(made("rl2", "pictures"), directory("rl2", "pictures"))
    np.testing.assert_array_equal(theirs, ours)
    assert given.about["observation_space"]["dtype"] == "uint8"
    decision = told._ledger.extras.decision
    np.testing.assert_allclose(given._last["extras_decision_log_prob"], decision.log_prob, atol=CLOSE)


@pytest.mark.parametrize(("name", "family"), [("rl2", "discrete"), ("maml", "continuous"), ("pearl", "continuous")])
def test_a_deterministic_agent_is_the_same_agent_at_its_best(name, family, directory):
    ours, theirs, *_ = actions_of_both(made(name, family), directory(name, family), best=True)
    np.testing.assert_allclose(theirs, ours, atol=CLOSE)


@pytest.mark.parametrize("name", ["rl2", "maml"])
def test_what_was_computed_on_the_way_is_the_same(name, directory):
    _, _, ours, theirs = actions_of_both(made(name, "discrete"), directory(name, "discrete"))
    told = jax.tree.leaves(ours._ledger.extras)
    given = [x for name, x in theirs._last.items() if name.startswith("extras")]
    assert len(told) == len(given) >= 2
    for mine, other in zip(told, given, strict=True):
        np.testing.assert_allclose(other, mine, atol=CLOSE)
    state = jax.tree.leaves((ours._adapted, ours._memories[0]))
    kept = [x for x in state if x.size]
    for mine, other in zip(kept, {**theirs._adapted, **theirs._memories[0]}.values(), strict=True):
        np.testing.assert_allclose(other, mine, atol=CLOSE)


def test_learning_changes_what_maml_does(directory):
    """Else its gradient step in the graph would not be seen."""
    begun, *_ = (made("maml", "discrete").programs.begin.function(),)
    _, _, _, theirs = actions_of_both(made("maml", "discrete"), directory("maml", "discrete"))
    apart = [np.abs(x - y).max() for x, y in zip(begun, theirs._adapted.values(), strict=True)]
    assert max(apart) > 100 * CLOSE


def plain_process(code, where):
    """Run Python in a directory, without JAX and RL-Meta."""
    return subprocess.run([sys.executable, "-c", PLAIN + code], cwd=where, capture_output=True, text=True, check=True)


@pytest.mark.parametrize(("name", "family"), [("rl2", "discrete"), ("oracle", "discrete"), ("maml", "continuous")])
def test_the_readme_runs_where_neither_jax_nor_rl_meta_is(name, family, directory):
    readme = (directory(name, family) / "README.md").read_text()
    assert len(readme.splitlines()) <= 14
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    plain_process(code, directory(name, family))


def test_an_agent_in_a_plain_process_repeats_what_it_did_here(directory, tmp_path):
    code = """
from agent import Agent
agent = Agent()
agent.begin_task(seed=5)
print([agent.act([0.1 * i, 1.0], reward=i % 2, terminated=i % 7 == 6).tolist() for i in range(100)])
"""
    said = plain_process(code, shutil.copytree(directory("maml", "continuous"), tmp_path / "elsewhere")).stdout
    agent = Agent(directory("maml", "continuous"))
    agent.begin_task(seed=5)
    here = [agent.act([0.1 * i, 1.0], reward=i % 2, terminated=i % 7 == 6).tolist() for i in range(100)]
    np.testing.assert_allclose(json.loads(said), here, atol=CLOSE)


def test_the_programs_can_be_called_by_name(directory):
    about = json.loads((directory("rl2", "discrete") / "agent.json").read_text())
    session = onnxruntime.InferenceSession(directory("rl2", "discrete") / "act.onnx")
    for side, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        told = about["programs"]["act"][side]
        assert [(x["name"], x["shape"]) for x in told] == [(x.name, x.shape) for x in found]
    assert about["action_space"] == {"type": "Discrete", "n": 2, "start": 0}
