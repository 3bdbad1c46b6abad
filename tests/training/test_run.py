import gc
import json
import shutil
import signal
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from tensorboardX.proto.event_pb2 import Event

import rl_meta
from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape, keep_adapted
from rl_meta.algorithms.rl2 import RL2
from rl_meta.errors import UserError
from rl_meta.settings import Count, Positive, Rate
from rl_meta.tasks.bandit import Bandit
from rl_meta.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint
from rl_meta.training.config import RunConfig
from rl_meta.training.metrics import MetricsFiles, read_lines
from rl_meta.training.run import interruptible, load_params, train_run
from rl_meta.types import Array, PyTree

CLOSE = 1e-5
"""Batched sums are rounded otherwise than single ones."""
ITERATIONS = 24
STOPPED_AFTER = 10
TIMINGS = ("seconds", "steps_per_second")
"""What no two runs have in common."""


class TallyState(NamedTuple):
    """How often each arm has paid, less what was to be expected."""

    params: PyTree
    updates: Array


@dataclass(frozen=True)
class Tally:
    """Prefers the arm that has paid best over all tasks: a method that compiles in no time."""

    meta_batch_size: Count = 8
    rate: Positive = 0.5

    def view(self, family):
        return family

    def shape(self, family):
        return Shape(family.episodes, 1, family.horizon, restart=False)

    def build(self, family, iterations):
        def act(key, params, adapted, memory, inputs):
            return memory, jax.random.categorical(key, params["logits"]).astype(jnp.int32), ()

        def update(key, state, lifetimes):
            pulled = jax.nn.one_hot(lifetimes.steps.action, family.arms)
            paid = lifetimes.steps.reward[..., None] - 0.5
            noise = jax.random.normal(key, (family.arms,))
            logits = state.params["logits"] + self.rate * (pulled * paid).mean((0, 1, 2, 3)) + 1e-2 * noise
            return TallyState({"logits": logits}, state.updates + 1), {"spread": logits.max() - logits.min()}

        init = lambda key: TallyState({"logits": jax.random.normal(key, (family.arms,))}, jnp.array(0))
        return MetaAlgorithm(Adapter(lambda key, params: ((), ()), act, keep_adapted), init, update)


@dataclass(frozen=True)
class Faulty(Bandit):
    """A bandit that pays NaN in some of its tasks."""

    share: Rate = 0.06

    def step(self, key, state, action, task):
        made = super().step(key, state, action, task)
        return made._replace(reward=jnp.where(task.probabilities[0] < self.share, jnp.nan, made.reward))


@dataclass(frozen=True)
class Unfit(Tally):
    """Finds out while it is traced that its settings contradict each other, as PPO does of its minibatches."""

    def build(self, family, iterations):
        def update(key, state, lifetimes):
            raise UserError("sizes that do not fit")

        return super().build(family, iterations)._replace(update=update)


TALLY = RunConfig(Bandit(arms=2, pulls=4), Tally(), steps=ITERATIONS * 32, seed=3)
FAULTY = RunConfig(Faulty(arms=2, pulls=4), Tally(), steps=ITERATIONS * 32)
SEGMENTS = RL2(learning_rate=1e-3, memory=8, encoder=(), meta_batch_size=8, lifetime_episodes=2, segment_episodes=1)
RECURRENT = RunConfig(Bandit(arms=2, pulls=4), SEGMENTS, steps=ITERATIONS * 32, seed=3)
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import test_run
from rl_meta.training import run
run.CHECKPOINT_SECONDS = 0.0
def report(line):
    if line["iteration"] == {iteration}:
        os.kill(os.getpid(), signal.SIGKILL)
test_run.train_run(test_run.TALLY, Path({directory!r}), report=report)
"""


def trained(config, directory, **how):
    train_run(config, directory, **how)
    return directory


def stopping(iteration):
    """A report that does what Ctrl-C does, after an iteration."""

    def report(line):
        if line["iteration"] == iteration:
            signal.raise_signal(signal.SIGINT)

    return report


def stopped(config, directory):
    with pytest.raises(KeyboardInterrupt):
        train_run(config, directory, report=stopping(STOPPED_AFTER))
    return directory


def arrays(directory):
    return load_file(newest_checkpoint(directory / "checkpoints"))


def same_arrays(one, two):
    """Bit for bit, by name."""
    one, two = arrays(one), arrays(two)
    assert one.keys() == two.keys()
    for name, array in one.items():
        assert array.tobytes() == two[name].tobytes(), name


def metrics(directory):
    """All lines, less the timings."""
    lines = read_lines(directory / "metrics.jsonl")
    return [{name: value for name, value in line.items() if name not in TIMINGS} for line in lines]


def scalars(directory):
    """{tag: {step: value}} of TensorBoard's event files: length, check sum, event, check sum, and so on."""
    found = {}
    for path in sorted((directory / "tensorboard").glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event, data = Event.FromString(data[12 : 12 + length]), data[16 + length :]
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(TALLY, tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What is left of a run that was killed after a checkpoint and one more line of metrics."""
    directory = tmp_path_factory.mktemp("runs") / "killed"
    code = KILLED.format(here=str(Path(__file__).parent), directory=str(directory), iteration=STOPPED_AFTER)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return directory


@pytest.fixture(scope="module")
def resumed(killed, tmp_path_factory):
    """The run that was killed, gone on with in another process."""
    before = len(read_lines(killed / "metrics.jsonl"))
    assert (before, newest_checkpoint(killed / "checkpoints").stem) == (STOPPED_AFTER, f"{STOPPED_AFTER - 1:09d}")
    return trained(TALLY, killed)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory):
    """RL² in segments of lifetimes: uninterrupted, and stopped between two segments and resumed."""
    runs = tmp_path_factory.mktemp("runs")
    one = trained(RECURRENT, runs / "one")
    two = trained(RECURRENT, stopped(RECURRENT, runs / "two"))
    return one, two


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory):
    both = RunConfig(TALLY.family, TALLY.method, steps=TALLY.steps, seed=TALLY.seed, seeds=2)
    return trained(both, tmp_path_factory.mktemp("runs") / "both")


def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_state(recurrent):
    same_arrays(*recurrent)


def test_a_run_that_was_stopped_and_resumed_has_the_same_metrics(recurrent):
    one, two = recurrent
    assert metrics(one) == metrics(two)


def test_a_run_that_was_killed_and_resumed_ends_with_the_same_state(whole, resumed):
    same_arrays(whole, resumed)


def test_metrics_after_the_last_checkpoint_are_not_kept_twice(whole, resumed):
    assert metrics(resumed) == metrics(whole)


def test_ctrl_c_ends_the_call_in_progress_and_saves(tmp_path):
    directory = stopped(TALLY, tmp_path / "run")
    assert newest_checkpoint(directory / "checkpoints").stem == f"{STOPPED_AFTER:09d}"
    assert [line["iteration"] for line in metrics(directory)] == list(range(1, STOPPED_AFTER + 1))


def test_the_second_ctrl_c_interrupts_at_once():
    with interruptible() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_does_again_what_it_did_before():
    before = signal.getsignal(signal.SIGINT)
    with interruptible():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_ctrl_c_is_left_alone():
    found = []

    def work():
        with interruptible() as asked:
            found.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_going_on_with_a_run_that_is_done_changes_nothing(whole):
    before, lines = arrays(whole), metrics(whole)
    trained(TALLY, whole)
    assert {name: array.tobytes() for name, array in arrays(whole).items()} == {
        name: array.tobytes() for name, array in before.items()
    }
    assert metrics(whole) == lines


def test_every_line_of_metrics_counts_environment_steps(whole):
    assert [line["env_steps"] for line in metrics(whole)] == [32 * (i + 1) for i in range(ITERATIONS)]


def test_every_line_of_metrics_is_reported(tmp_path):
    lines = []
    trained(TALLY, tmp_path / "run", report=lines.append)
    assert lines == read_lines(tmp_path / "run" / "metrics.jsonl")


def test_every_metric_has_one_number_per_seed(two_seeds):
    line = metrics(two_seeds)[-1]
    assert {len(value) for value in line.values() if isinstance(value, list)} == {2}


def test_a_run_of_another_seed_is_another_run(whole, two_seeds):
    logits = arrays(two_seeds)[".meta.params['logits']"]
    assert abs(logits[0] - logits[1]).max() > 100 * CLOSE


def test_two_seeds_at_once_are_two_runs(whole, two_seeds, tmp_path):
    second = RunConfig(TALLY.family, TALLY.method, steps=TALLY.steps, seed=TALLY.seed + 1)
    alone = [arrays(whole), arrays(trained(second, tmp_path / "second"))]
    for name, array in arrays(two_seeds).items():
        np.testing.assert_allclose(array, np.concatenate([one[name] for one in alone]), atol=CLOSE, err_msg=name)


def test_the_parameters_of_a_run_are_those_of_its_newest_checkpoint(two_seeds):
    config = RunConfig(TALLY.family, TALLY.method, steps=TALLY.steps, seed=TALLY.seed, seeds=2)
    found = load_params(config, two_seeds)["logits"]
    np.testing.assert_array_equal(found, arrays(two_seeds)[".meta.params['logits']"])


def test_a_directory_with_another_run_is_refused(whole):
    other = RunConfig(TALLY.family, TALLY.method, steps=TALLY.steps, seed=4)
    with pytest.raises(
        UserError, match=r"other settings \(seed is \d+, not 4\): continue it with --resume .*another directory"
    ):
        train_run(other, whole)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make the run directory"):
        train_run(TALLY, tmp_path / "file" / "run")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_that_cannot_be_compiled_leaves_its_directory_to_another(tmp_path):
    with pytest.raises(UserError, match="sizes that do not fit"):
        train_run(RunConfig(TALLY.family, Unfit()), tmp_path / "run")
    gc.collect()
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_run_says_what_it_was_made_with(whole):
    found = json.loads((whole / "versions.json").read_text())
    assert found["jax"] == jax.__version__
    assert {"rl-meta", "python", "platform", "numpy"} <= found.keys()


def test_tensorboard_has_the_return_of_every_line(whole):
    expected = {line["env_steps"]: line["return"][0] for line in metrics(whole)}
    found = scalars(whole)["rollout/ep_rew_mean"]
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=CLOSE)


def test_tensorboard_has_the_numbers_of_the_method(whole):
    assert "train/spread" in scalars(whole)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Which updates of a run were skipped, and its directory."""
    directory = trained(FAULTY, tmp_path_factory.mktemp("runs") / "faulty")
    return [line["skipped_updates"] == [1.0] for line in metrics(directory)], directory


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    """The same run, given up after two updates in a row."""
    directory = tmp_path_factory.mktemp("runs") / "diverged"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rl_meta.training.run.MOST_SKIPPED_UPDATES", 2)
        with pytest.raises(UserError) as error:
            train_run(FAULTY, directory)
    return str(error.value), directory


def test_updates_that_are_not_finite_are_skipped_and_counted(faulty):
    skipped, directory = faulty
    assert 0 < sum(skipped) < ITERATIONS
    assert arrays(directory)[".meta.updates"].tolist() == [ITERATIONS - sum(skipped)]


def test_a_run_whose_updates_are_skipped_goes_on(faulty):
    _, directory = faulty
    assert np.isfinite(arrays(directory)[".meta.params['logits']"]).all()


def test_returns_that_are_not_numbers_are_null_in_the_metrics(faulty):
    skipped, directory = faulty
    assert [line["return"] == [None] for line in metrics(directory)] == skipped


def test_a_run_that_has_diverged_ends_after_so_many_skipped_updates_in_a_row(faulty, diverged):
    pairs = list(pairwise(faulty[0]))
    assert len(metrics(diverged[1])) == pairs.index((True, True)) + 2


def test_a_run_that_has_diverged_says_what_to_do(diverged):
    message, directory = diverged
    assert message.startswith("the run has diverged: the last 2 updates of a seed were not finite")
    assert message.endswith(f"Its last good state is in {directory}; lower the learning rate and train anew")


def test_the_last_good_state_of_a_run_that_has_diverged_is_saved(diverged):
    assert np.isfinite(arrays(diverged[1])[".meta.params['logits']"]).all()


def test_a_directory_with_checkpoints_of_nobody_knows_what_is_refused(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(UserError, match=r"has checkpoints but no config\.json"):
        rl_meta.train("bandit", "rl2", out=tmp_path / "run", steps=10)
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_damaged_line_of_metrics_is_named_and_nothing_is_lost(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    lines = path.read_text().splitlines()
    assert len(lines) > 2
    lines[1] = lines[1][:20]
    path.write_text("\n".join(lines) + "\n")
    before = path.read_text()
    with pytest.raises(UserError, match=r"line 2 of .* is damaged: mend it, or delete it"):
        MetricsFiles(tmp_path / "run", iteration=10**6)
    assert path.read_text() == before


def test_a_damaged_checkpoint_is_told_with_the_one_before(tmp_path):
    save_checkpoint(tmp_path, 1, {"x": np.ones(2)})
    save_checkpoint(tmp_path, 2, {"x": np.ones(2)}).write_bytes(b"torn")
    with pytest.raises(UserError, match=r"without this file, 000000001\.safetensors is taken"):
        load_checkpoint(newest_checkpoint(tmp_path), {"x": np.ones(2)})
