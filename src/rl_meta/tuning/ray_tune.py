"""Trials under Ray Tune, which runs several at once and stops those that fall behind (ASHA; Li et al. 2020)."""

import logging
import math
import os
from collections.abc import Callable
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from rl_meta.errors import UserError
from rl_meta.ray_session import connected
from rl_meta.tuning.results import OVER, Results, Trial
from rl_meta.tuning.trial import SCORES, Job, run_trial

REDUCTION = 3
"""Of so many trials one goes on at each third of the way: after one ninth of the steps, and after one third."""
SETTINGS = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials write their own metrics
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
}


def run_trials(results: Results, *, parallel: int, gpus: int, report: Callable[[Results], None]) -> None:
    """Run all trials that are not over, so many at once; trials.json is always up to date.

    Ctrl-C raises KeyboardInterrupt. What was told until then is kept, and every run as of its last checkpoint.

    Raises:
        UserError: there are not as many GPUs as one trial is to have.
    """
    left = [trial for trial in results.trials if trial.state not in OVER]
    if not left:
        return
    jobs = {trial.number: _job(results, trial) for trial in left}
    scheduler = scheduler_of(results)
    watcher = Watcher(results, report)
    with connected(parallel), TemporaryDirectory() as scratch:
        _set_up()
        if gpus > (found := ray.cluster_resources().get("GPU", 0)):
            raise UserError(f"each trial was to have {gpus} GPUs, Ray found {found:g} in all")
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(_in_tune, jobs=jobs), {"cpu": 1, "gpu": gpus}),
            param_space={"number": tune.grid_search([trial.number for trial in left])},
            tune_config=tune.TuneConfig(scheduler=scheduler, max_concurrent_trials=parallel, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=scratch, name="trials", verbose=0, callbacks=[watcher]),
        )
        try:
            tuner.fit()
        finally:
            watcher.close()


def _job(results: Results, trial: Trial) -> Job:
    told = tuple((row["env_steps"], _number(row["score"])) for row in trial.scores)
    config = results.search.config(trial.values)
    return Job(config, results.run_of(trial).absolute(), results.search.tasks, told)


def _in_tune(config: dict[str, Any], jobs: dict[int, Job]) -> None:
    """What Tune calls in a process of its own."""
    told = {"env_steps": 0, "score": -math.inf}

    def tell(env_steps: int, score: float) -> None:
        told.update(env_steps=env_steps, score=-math.inf if math.isnan(score) else score)
        tune.report(told)

    try:
        run_trial(jobs[config["number"]], tell)
    except UserError as error:
        tune.report({**told, "error": str(error)})
    except Exception as error:
        tune.report({**told, "error": f"{type(error).__name__}: {error}"})


def _number(score: float | None) -> float:
    return -math.inf if score is None else score


def scheduler_of(results: Results) -> TrialScheduler:
    """The scheduler, which knows of all trials that are over."""
    if results.search.schedule == "none":
        return FIFOScheduler()
    steps = results.search.base.steps
    first = max(1, steps // SCORES)
    scheduler = AsyncHyperBandScheduler(
        "env_steps", "score", "max", max_t=steps, grace_period=first, reduction_factor=REDUCTION
    )
    no_controller: Any = None
    for trial in results.trials:
        if trial.state in OVER:
            known: Any = SimpleNamespace(trial_id=f"{trial.number:03d}", last_result={})
            scheduler.on_trial_add(no_controller, known)
            for row in trial.scores:
                told = {"env_steps": row["env_steps"], "score": _number(row["score"])}
                scheduler.on_trial_result(no_controller, known, told)
    return scheduler


class Watcher(tune.Callback):
    """Writes down what Tune tells."""

    def __init__(self, results: Results, report: Callable[[Results], None]) -> None:
        self.results, self.report = results, report

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks to go on by itself; here it is trials.json that one goes on from."""
        return {}

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **_: Any) -> None:  # noqa: ARG002
        """See `tune.Callback`."""
        self._now(trial, "running", error=None)

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **_: Any) -> None:  # noqa: ARG002
        """See `tune.Callback`."""
        one = self._of(trial)
        self.results.add_score(one, result["env_steps"], result["score"])
        if result.get("error"):
            self._now(trial, "failed", error=result["error"])
        self._say()

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **_: Any) -> None:  # noqa: ARG002
        """See `tune.Callback`. Also called of trials that were stopped."""
        one = self._of(trial)
        if one.state != "failed":
            done = one.env_steps >= self.results.search.base.steps
            self._now(trial, "finished" if done else "stopped", error=None)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **_: Any) -> None:  # noqa: ARG002
        """See `tune.Callback`."""
        self._now(trial, "failed", error="its process could not start, or was killed")

    def close(self) -> None:
        """What still runs is interrupted."""
        for one in self.results.trials:
            one.state = "interrupted" if one.state == "running" else one.state
        self._say()

    def _of(self, trial: Any) -> Trial:
        return self.results.trials[trial.config["number"]]

    def _now(self, trial: Any, state: str, *, error: str | None) -> None:
        one = self._of(trial)
        one.state, one.error = state, error
        self._say()

    def _say(self) -> None:
        self.results.write()
        self.report(self.results)


def _set_up() -> None:
    """Tune writes nothing of its own, and says nothing: failed trials are in the table."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
