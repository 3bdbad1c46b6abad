"""What was exported to TensorFlow or PyTorch does what the agent in JAX does; run where these are installed."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from exported import CLOSE, actions_of_both, exported, made

RUNTIMES = [
    pytest.param(to, marks=pytest.mark.skipif(find_spec(to) is None, reason=f"could not import {to!r}"))
    for to in ("tensorflow", "torch")
]
CASES = [("rl2", "discrete"), ("hypernetwork", "continuous"), ("transformer", "continuous"), ("maml", "continuous")]
pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]
"""Warnings are the packages' own."""


@pytest.mark.parametrize("to", RUNTIMES)
@pytest.mark.parametrize(("name", "family"), CASES)
def test_an_exported_agent_acts_the_same_over_a_lifetime(to, name, family, tmp_path):
    directory = exported(name, family, to, tmp_path / "agent")
    ours, theirs, *_ = actions_of_both(made(name, family), directory)
    np.testing.assert_allclose(theirs, ours, atol=CLOSE)


@pytest.mark.parametrize("to", RUNTIMES)
def test_the_readme_runs_where_neither_jax_nor_rl_meta_is(to, tmp_path):
    readme = (exported("maml", "discrete", to, tmp_path / "agent") / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    plain = "import sys; sys.modules['jax'] = sys.modules['rl_meta'] = None\n"
    subprocess.run([sys.executable, "-c", plain + code], cwd=tmp_path / "agent", check=True)
