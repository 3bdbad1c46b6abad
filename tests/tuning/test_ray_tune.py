"""Against the installed Ray Tune: trials are scheduled, stopped, interrupted and gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

import rl_meta
from rl_meta.errors import UserError
from rl_meta.tasks.distributions import Choice
from rl_meta.training.checkpoints import newest_checkpoint
from rl_meta.training.config import RunConfig
from rl_meta.tuning.results import OVER, Results, Search, Trial, read
from tuned import Leaning, SecondArmPays

pytestmark = [pytest.mark.frameworks, pytest.mark.xdist_group("ray"), pytest.mark.filterwarnings("ignore")]
ray = pytest.importorskip("ray")
pytest.importorskip("ray.tune")

from rl_meta.ray_session import start  # noqa: E402
from rl_meta.tuning.ray_tune import scheduler_of  # noqa: E402

STEPS = 45 * 16
RATES = (0.3, -0.1, 0.1, -0.3, 10.0)
"""The last one makes it diverge."""
SOON = 300


@pytest.fixture(scope="module")
def connected():
    """A Ray that `tune` finds: to start one takes longer than the trials."""
    start(1)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def tuned(connected, tmp_path_factory):
    """A directory, what was returned, and what was reported."""
    out, reported = tmp_path_factory.mktemp("tuned") / "out", []
    ranges = {"method.rate": Choice(RATES)}
    own = SecondArmPays(), Leaning()
    told = rl_meta.tune(
        *own, out=out, trials=5, steps=STEPS, ranges=ranges, tasks=200, parallel=1, seed=1, report=reported.append
    )
    return out, told, reported


def of_rate(told, rate):
    return next(trial for trial in told["trials"] if trial["values"]["method.rate"] == rate)


def test_every_trial_is_over_and_the_best_one_is_known(tuned):
    out, told, _ = tuned
    assert json.loads((out / "trials.json").read_text()) == told
    assert told["trials"][told["best"]]["values"] == {"method.rate": 0.3}
    assert of_rate(told, 0.3)["state"] == "finished"
    assert of_rate(told, 0.3)["scores"][-1]["env_steps"] == STEPS


def test_trials_that_fall_behind_are_stopped_early(tuned):
    _, told, _ = tuned
    stopped = [trial for trial in told["trials"] if trial["state"] == "stopped"]
    assert stopped
    assert all(trial["scores"][-1]["env_steps"] < STEPS for trial in stopped)
    assert all(trial["values"]["method.rate"] < 0.3 for trial in stopped)


def test_a_trial_that_diverges_is_told_and_the_others_go_on(tuned):
    _, told, reported = tuned
    failed = of_rate(told, 10.0)
    assert failed["state"] == "failed"
    assert failed["error"].startswith("the run has diverged")
    assert {trial["state"] for trial in told["trials"]} <= {*OVER, "failed"}
    assert reported[-1] == told


def test_a_trial_is_a_run_that_is_evaluated_and_reported(tuned):
    _, told, _ = tuned
    best = of_rate(told, 0.3)
    own = {"family": SecondArmPays(), "method": Leaning(rate=0.3)}
    evaluation = rl_meta.evaluate(best["run"], split="validation", tasks=50, baselines=(), **own)
    assert evaluation["stages"][0]["mean"] == pytest.approx(best["score"], abs=0.5)
    assert rl_meta.report(best["run"]).exists()


def test_trials_that_are_over_are_not_run_again_and_others_go_on(connected, tuned, tmp_path):
    shutil.copytree(tuned[0], tmp_path / "out")
    told = json.loads((tmp_path / "out" / "trials.json").read_text())
    cut = of_rate(told, 0.3)
    cut.update(state="interrupted", scores=cut["scores"][:4])
    (tmp_path / "out" / "trials.json").write_text(json.dumps(told))
    runs = {trial["number"]: tmp_path / "out" / "trials" / f"{trial['number']:03d}" for trial in told["trials"]}
    for checkpoint in (runs[cut["number"]] / "checkpoints").iterdir():
        checkpoint.unlink()
    before = {
        number: newest_checkpoint(run / "checkpoints").stat().st_mtime_ns
        for number, run in runs.items()
        if number != cut["number"]
    }
    own = {"family": SecondArmPays(), "method": Leaning()}
    again = rl_meta.resume_tuning(tmp_path / "out", parallel=1, **own)
    assert of_rate(again, 0.3)["scores"] == of_rate(tuned[1], 0.3)["scores"]
    for trial in again["trials"]:
        if trial["state"] in OVER and trial["number"] != cut["number"]:
            assert (
                newest_checkpoint(runs[trial["number"]] / "checkpoints").stat().st_mtime_ns == before[trial["number"]]
            )


def test_more_gpus_than_there_are_are_refused(connected, tmp_path):
    with pytest.raises(UserError, match="each trial was to have 99 GPUs, Ray found"):
        rl_meta.tune(SecondArmPays(), Leaning(), out=tmp_path / "out", trials=1, steps=STEPS, gpus=99)


def test_the_scheduler_knows_of_trials_that_are_over():
    search = Search(RunConfig(SecondArmPays(), Leaning(), steps=900), 3, {})
    rows = lambda *scores: [{"env_steps": 100 * (1 + i), "score": score} for i, score in enumerate(scores)]
    trials = [Trial(i, {}, "stopped", rows(5.0 + i)) for i in range(3)]

    def decided(results, score):
        scheduler, new = scheduler_of(results), type("New", (), {"trial_id": "new"})
        scheduler.on_trial_add(None, new)
        return scheduler.on_trial_result(None, new, {"env_steps": 100, "score": score})

    knowing, ignorant = Results(Path(), search, trials), Results(Path(), search, [Trial(0, {})])
    assert (decided(knowing, 4.0), decided(knowing, 8.0)) == ("STOP", "CONTINUE")
    assert decided(ignorant, 4.0) == "CONTINUE"


def test_ctrl_c_keeps_what_is_done(tmp_path):
    out = tmp_path / "out"
    line = f"tune bandit rl2 --trials 2 --steps 100000000 --method.memory 4 --method.encoder --parallel 1 --out {out}"
    code = "from rl_meta.cli import main; main()"
    heard = partial(
        signal.signal, signal.SIGINT, signal.SIG_DFL
    )  # which it may not be where tests run in the background
    work = subprocess.Popen(
        [sys.executable, "-c", code, *line.split()],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heard,
    )
    began = time.monotonic()
    while not any((out / "trials").glob("*/metrics.jsonl")) and time.monotonic() - began < SOON:
        time.sleep(0.5)
    os.killpg(work.pid, signal.SIGINT)
    try:
        _, said = work.communicate(timeout=SOON)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(work.pid, signal.SIGKILL)
    assert work.returncode == 130, said
    assert said.endswith(f"stopped; saved. Continue with: rl-meta tune --resume {out}\n")
    assert {trial.state for trial in read(out).trials} == {"interrupted", "waiting"}
