"""Runs on the host: the same numbers as on the device, also when resumed, and in the evaluation."""

import os
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

import rl_meta
from hosted import HostedArms
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.scratch import Scratch
from rl_meta.tasks.probes import OneArmPays
from rl_meta.training.metrics import read_lines

ROUNDING = 1e-3
"""Of float32 sums in another order, in six updates."""
METHOD = RL2(memory=8, encoder=(8,), meta_batch_size=4)
STEPS = 6 * 4 * 2 * 6
TIMES = {"seconds", "steps_per_second", "lost_lifetimes"}


def lines_of(run):
    return [{k: v for k, v in line.items() if k not in TIMES} for line in read_lines(run / "metrics.jsonl")]


def newest(run):
    return load_file(sorted((run / "checkpoints").glob("*"))[-1])


@pytest.fixture(scope="module")
def hosted_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "hosted"
    return rl_meta.train(HostedArms(), METHOD, out=out, steps=STEPS, seeds=2)


@pytest.fixture(scope="module")
def device_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "device"
    return rl_meta.train(OneArmPays(), METHOD, out=out, steps=STEPS, seeds=2)


def assert_alike(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert_alike(ours[name], theirs[name])
    elif isinstance(ours, list):
        for x, y in zip(ours, theirs, strict=True):
            assert_alike(x, y)
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, abs=ROUNDING)
    else:
        assert ours == theirs


def test_a_run_on_the_host_has_the_numbers_of_one_on_the_device(hosted_run, device_run):
    ours, theirs = lines_of(hosted_run), lines_of(device_run)
    assert len(ours) == 6
    assert_alike(ours, theirs)
    arrays = newest(device_run)
    for name, array in newest(hosted_run).items():
        np.testing.assert_allclose(array, arrays[name], atol=ROUNDING, err_msg=name)


def test_a_run_that_is_stopped_resumes_to_the_same_numbers(hosted_run, tmp_path):
    def stop(line):
        if line["iteration"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "run"

    with pytest.raises(KeyboardInterrupt):
        rl_meta.train(HostedArms(), METHOD, out=out, steps=STEPS, seeds=2, report=stop)
    assert len(lines_of(out)) == 3
    rl_meta.resume(out, family=HostedArms())
    assert lines_of(out) == lines_of(hosted_run)
    whole = newest(hosted_run)
    for name, array in newest(out).items():
        np.testing.assert_array_equal(array, whole[name], err_msg=name)


def test_an_evaluation_on_the_host_has_the_numbers_of_one_on_the_device(hosted_run, device_run):
    scratch = Scratch(copies=2, rollout_steps=6, improvements=3, hidden=(4,), epochs=1, minibatches=1)
    told = {"tasks": 5, "baselines": (scratch,), "baseline_tasks": 3}
    ours = rl_meta.evaluate(hosted_run, family=HostedArms(), **told)
    theirs = rl_meta.evaluate(device_run, family=OneArmPays(), **told)
    assert ours.pop("family") == "HostedArms"
    assert theirs.pop("family") == "OneArmPays"
    assert_alike(ours, theirs)


def test_the_agent_of_a_run_on_the_host_can_be_loaded(hosted_run):
    agent = rl_meta.load(hosted_run, family=HostedArms())
    agent.begin_task(seed=1)
    assert agent.act(np.zeros(1)) in (0, 1)


def test_lifetimes_in_segments_are_of_all_ages_after_a_run_was_resumed(tmp_path):
    def stop(line):
        if line["iteration"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    method = RL2(memory=4, encoder=(), meta_batch_size=12, lifetime_episodes=8, segment_episodes=1)
    with pytest.raises(KeyboardInterrupt):
        rl_meta.train(HostedArms(), method, out=tmp_path / "run", steps=4 * 12 * 6, report=stop)
    rl_meta.resume(tmp_path / "run", family=HostedArms())
    assert len(lines_of(tmp_path / "run")) == 4
    assert len(set(newest(tmp_path / "run")[".live.stage"].ravel().tolist())) > 2
