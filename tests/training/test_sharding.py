"""The learner on two devices, which a processor can pretend to be, in a process of its own."""

import os
import subprocess
import sys

import pytest

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.errors import UserError
from rl_meta.tasks.probes import OneArmPays

TWO_ITERATIONS = """
import jax
import numpy as np
from hosted import HostedArms
from rl_meta.algorithms.rl2 import RL2
from rl_meta.training import sharding
from rl_meta.training.config import RunConfig
from rl_meta.training.program import HostProgram
from rl_meta.training.run import root_keys

config = RunConfig(HostedArms(), RL2(memory=8, encoder=(8,), meta_batch_size=4, epochs=2))
keys, after = root_keys(config), {}
for devices in (1, 2):
    program = HostProgram(config, config.family, learner_devices=devices)
    state, _ = program.go_on(keys, program.init(keys), 2)
    after[devices] = jax.tree.leaves(state.meta.params)
for one, two in zip(after[1], after[2], strict=True):
    np.testing.assert_allclose(one, two, atol=1e-5)

def look(key, meta, tasks):
    assert [part.data.tolist() for part in tasks.addressable_shards] == [[0, 1], [2, 3]]
    assert len(meta.sharding.device_set) == 2 and meta.sharding.is_fully_replicated
    return meta, {}

sharding.spread_over(2, look)(keys[0], np.ones(3), np.arange(4))
"""


def test_an_update_on_two_devices_has_the_numbers_of_one():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    paths = os.pathsep.join(path for path in sys.path if path)
    found = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", TWO_ITERATIONS], env=found, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("tasks", "devices", "said"),
    [
        (4, 3, "4 tasks cannot be spread evenly over 3 devices: choose --learner-devices"),
        (4096, 4096, "4096 devices to learn on: there are"),
    ],
)
def test_devices_that_do_not_fit_are_refused(tasks, devices, said, tmp_path):
    method = RL2(memory=8, encoder=(8,), meta_batch_size=tasks)
    with pytest.raises(UserError, match=said):
        rl_meta.train(
            OneArmPays(), method, out=tmp_path / "run", steps=1, cluster=rl_meta.Cluster(1, learner_devices=devices)
        )
    assert not (tmp_path / "run").exists()
