"""Runs whose lifetimes are lived by collectors: as those of one process, also resumed, and with clear refusals."""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import rl_meta
from hosted import FamilyEnvs, HostedArms
from rl_meta.algorithms.rl2 import RL2
from rl_meta.cli import main
from rl_meta.collection import crew
from rl_meta.errors import UserError
from rl_meta.tasks.probes import OneArmPays
from rl_meta.training.metrics import read_lines

pytestmark = pytest.mark.frameworks  # with the collectors that Ray starts, for they take long
ROUNDING = 1e-3
"""Of float32 sums in another order, in four updates."""
METHOD = RL2(memory=8, encoder=(8,), meta_batch_size=4)
ITERATION = 4 * 2 * 6
STEPS = 4 * ITERATION


def newest(run):
    return load_file(sorted((run / "checkpoints").glob("*"))[-1])


def interrupt(line):
    """What Ctrl-C does, after two iterations."""
    if line["iteration"] == 2:
        signal.raise_signal(signal.SIGINT)


def test_one_process_goes_on_to_the_same_numbers_where_collectors_stopped(tmp_path):
    whole = rl_meta.train(OneArmPays(), METHOD, out=tmp_path / "whole", steps=STEPS)
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        rl_meta.train(OneArmPays(), METHOD, out=cut, steps=STEPS, cluster=rl_meta.Cluster(2), report=interrupt)
    line = read_lines(cut / "metrics.jsonl")[-1]
    assert (line["iteration"], line["collectors"]) == (2, [2.0])
    assert line["collector_deaths"] == line["parts_lived_again"] == line["lost_lifetimes"] == [0.0]
    rl_meta.resume(cut, family=OneArmPays())
    returns = lambda run: [line["return"] for line in read_lines(run / "metrics.jsonl")]
    assert returns(cut) == returns(whole)
    arrays = newest(whole)
    for name, array in newest(cut).items():
        np.testing.assert_allclose(array, arrays[name], atol=ROUNDING, err_msg=name)


@dataclass(frozen=True)
class Fragile(HostedArms):
    """Its environments end their process where the file $TRAP is."""

    def make_envs(self, count):
        return FragileEnvs(self)


class FragileEnvs(FamilyEnvs):
    def send(self, action, keys, *, cut, final=None):
        if Path(os.environ["TRAP"]).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        super().send(action, keys, cut=cut, final=final)


def test_collectors_that_die_again_and_again_end_the_run_with_its_last_state_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", str(tmp_path / "trap"))
    monkeypatch.setattr(crew, "MOST_DEATHS", 2)  # ten processes take long to start
    trap = lambda line: (tmp_path / "trap").touch() if line["iteration"] == 2 else None
    run = tmp_path / "run"
    with pytest.raises(UserError, match="workers died 2 times in a row, the last one so: its process ended with"):
        rl_meta.train(Fragile(), METHOD, out=run, steps=STEPS, cluster=rl_meta.Cluster(1), report=trap)
    assert newest(run)[".iteration"].tolist() == [2]


def test_segments_of_lifetimes_on_the_host_are_refused_before_training(tmp_path):
    method = RL2(meta_batch_size=4, lifetime_episodes=2, segment_episodes=1)
    with pytest.raises(UserError, match="train without segment_episodes, or without collectors"):
        rl_meta.train(HostedArms(), method, out=tmp_path / "run", steps=STEPS, cluster=rl_meta.Cluster(2))
    assert not (tmp_path / "run").exists()


def test_more_collectors_than_tasks_are_refused(tmp_path):
    with pytest.raises(UserError, match="5 collectors have 4 tasks to share: give fewer collectors"):
        rl_meta.train(OneArmPays(), METHOD, out=tmp_path / "run", steps=STEPS, cluster=rl_meta.Cluster(5))


def test_ray_without_collectors_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "bandit", "rl2", "--ray", "local", "--out", str(tmp_path / "run")])
    assert end.value.code == 2
    assert "Ray at 'local' needs to be told for how many collectors: --collectors N" in capsys.readouterr().err


def test_where_ray_is_missing_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rl_meta.collection.ray_actors", None)
    with pytest.raises(UserError, match=r"pip install 'rl-meta\[ray\]'"):
        rl_meta.train(OneArmPays(), METHOD, out=tmp_path / "run", steps=STEPS, cluster=rl_meta.Cluster(2, "local"))
