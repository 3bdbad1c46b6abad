"""What the package offers in Python: train, tune, evaluate, serve, export ...; the same on the command line."""

import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax

from rl_meta.aggregation import aggregate, sweep
from rl_meta.algorithms.base import MetaAlgorithm, Method, deterministic
from rl_meta.collection.agent import Agent
from rl_meta.collection.cluster import Cluster, crew_of
from rl_meta.comparison import evaluate
from rl_meta.errors import UserError
from rl_meta.exporting.artefact import check_target, write_artefact
from rl_meta.exporting.programs import programs_of
from rl_meta.exporting.walking import UnknownError
from rl_meta.integrations.foreign import ForeignReptile, lessons_of, meta_train
from rl_meta.integrations.learners import learner_of, library_of
from rl_meta.integrations.networks import network_of
from rl_meta.serving.settings import ServeSettings
from rl_meta.settings import from_plain, has_python, plain_value
from rl_meta.tasks.base import Family
from rl_meta.training.catalogue import families, methods
from rl_meta.training.config import LEARNER, RunConfig, described, read_config, restored
from rl_meta.training.merging import PROVENANCE
from rl_meta.training.run import Report, load_params, train_run
from rl_meta.tuning.searching import resume_tuning, tune
from rl_meta.types import PyTree

__all__ = [
    "Cluster",
    "aggregate",
    "evaluate",
    "export",
    "load",
    "report",
    "resume",
    "resume_tuning",
    "serve",
    "sweep",
    "train",
    "train_learner",
    "tune",
]


def train(  # noqa: PLR0913 (all of them are the caller's to choose)
    family: str | Family,
    method: str | Method = "rl2",
    *,
    out: str | Path,
    steps: int = RunConfig.steps,
    seed: int = RunConfig.seed,
    seeds: int = RunConfig.seeds,
    initial: Any = None,
    cluster: Cluster | None = None,
    report: Report = lambda line: None,
) -> Path:
    """Meta-train a method on a family.

    Args:
        family: a name (see `rl-meta list`), or settings such as `Bandit(arms=10)`, or a family of your own.
        method: a name, or settings such as `RL2(learning_rate=1e-3)`, or a method of your own.
        out: the run directory. If it holds an unfinished run with the same settings, that is continued.
        steps: environment steps over all lifetimes, per seed.
        seed: the first seed.
        seeds: how many seeds to train at once.
        initial: a network to begin with, in place of a drawn one: `sb3:PPO:model.zip`, a torch.nn.Sequential or a Keras
            Sequential (see `integrations.networks`). The method's network takes its form.
        cluster: who lives the lifetimes, such as `Cluster(4)` (processes of this machine) or `Cluster(64, ray="auto")`;
            None: this process does.
        report: called with every line of metrics.

    Returns:
        The run directory.

    Raises:
        UserError: unknown names, settings out of range, a directory with another run, divergence, no such cluster.
    """
    network, made = None if initial is None else network_of(initial), methods.make(method)
    if network is not None:
        made = network.shape(made)
    config = RunConfig(families.make(family), made, steps=steps, seed=seed, seeds=seeds)
    train_run(config, Path(out), initial=network, cluster=cluster, report=report)
    return Path(out)


def train_learner(  # noqa: PLR0913 (all of them are the caller's to choose)
    family: str | Family,
    learner: str = "sb3:PPO",
    method: ForeignReptile | None = None,
    *,
    out: str | Path,
    steps: int,
    seed: int = 0,
    n_envs: int = 8,
    settings: dict[str, Any] | None = None,
    cluster: Cluster | None = None,
    report: Report = lambda line: None,
) -> Path:
    """Meta-train a learner of another library by aggregation, or go on with what `out` holds of this very run.

    Args:
        family: a name, or settings, or a family of your own.
        learner: `sb3:` and `PPO`, `A2C`, `SAC`, `TD3`, `DQN`, `TRPO` or `QRDQN`; or `rllib:` and `PPO` or `DQN`.
        method: the settings of the outer loop; None: the default ones.
        out: the directory; the model is OUT/model.zip (of RLlib OUT/model), as its library writes and reads it.
        steps: environment steps over all tasks.
        seed: decides all randomness.
        n_envs: environments in a task.
        settings: of the learner, as its library calls them.
        cluster: who learns in the tasks, side by side, such as `Cluster(4)`; None: this process, one after the other.
        report: called with a line of metrics per iteration.

    Returns:
        The directory.

    Raises:
        UserError: unknown names or settings, a missing extra, a directory that holds something else.
    """
    if taken := {"seed", "n_envs"} & set(settings or {}):
        raise UserError(f"{' and '.join(sorted(taken))} must be given apart from the settings of the learner")
    made = families.make(family)
    make = partial(learner_of, learner, made, n_envs=n_envs, seed=seed, settings=settings or {})
    begun = make()
    about = {
        "family": described(families, made),
        "learner": {"name": learner, "n_envs": n_envs, **plain_value(settings or {})},
    }
    outer, model = method or ForeignReptile(), library_of(learner).model
    how: dict[str, Any] = {"steps": steps, "seed": seed, "model": model, "about": about, "report": report}
    if cluster is None:
        return meta_train(begun, made, outer, out=Path(out), **how)
    with closing(crew_of(cluster, partial(lessons_of, make))) as crew:
        return meta_train(begun, made, outer, out=Path(out), crew=crew, **how)


def resume(
    run: str | Path,
    *,
    cluster: Cluster | None = None,
    report: Report = lambda line: None,
    family: Family | None = None,
    method: Method | None = None,
) -> Path:
    """Continue a run that was stopped, to the same numbers as if it had not been.

    A family or method of your own has to be given again: nothing is imported because a file says so. The cluster, if
    there is one, is said again too: with as many collectors as before for the same numbers bit for bit.

    Learners of other libraries go on too (`method` is then not to be given), unless they were made with settings that
    no file can say, as functions: then call `train_learner` again.
    """
    if (Path(run) / LEARNER).exists():
        return _resume_learner(Path(run), family, cluster, report)
    if (Path(run) / PROVENANCE).exists():
        raise UserError(f"{run} is merged from other runs: it has no optimiser and no lifetimes to go on with")
    config = read_config(Path(run) / "config.json", family=family, method=method)
    train_run(config, Path(run), cluster=cluster, report=report)
    return Path(run)


def _resume_learner(run: Path, family: Family | None, cluster: Cluster | None, report: Report) -> Path:
    """See `resume`."""
    path = run / LEARNER
    try:
        told = json.loads(path.read_text())
        settings = dict(told["learner"])
        name, n_envs = settings.pop("name"), settings.pop("n_envs")
        stored, outer, steps, seed = (told[part] for part in ("family", "settings", "steps", "seed"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} does not say what was trained: {error!r}") from None
    if has_python(settings):
        raise UserError(f"{path} was made with settings of your own: call rl_meta.train_learner with them again")
    return train_learner(
        restored(families, family, stored, path),
        name,
        from_plain(ForeignReptile, outer),
        out=run,
        steps=steps,
        seed=seed,
        n_envs=n_envs,
        settings=settings,
        cluster=cluster,
        report=report,
    )


def load(run: str | Path, *, seed_index: int = 0, family: Family | None = None, method: Method | None = None) -> Agent:
    """The trained agent of a run, ready to adapt in an environment of your own.

    Args:
        run: the run directory.
        seed_index: which of the run's seeds.
        family: the family, where it is one of your own.
        method: the method, where it is one of your own.
    """
    config, algorithm, params = _trained(run, seed_index, family, method)
    view = config.method.view(config.family)
    seen = view.observation_space, view.action_space
    return Agent(algorithm.adapter, params, config.shape, *seen, best=deterministic(algorithm))


def _trained(
    run: str | Path, seed_index: int, family: Family | None, method: Method | None
) -> tuple[RunConfig, MetaAlgorithm, PyTree]:
    """A run's configuration and method, and the meta-parameters of one of its seeds."""
    config = read_config(Path(run) / "config.json", family=family, method=method)
    if not 0 <= seed_index < config.seeds:
        raise UserError(f"seed_index must be from 0 to {config.seeds - 1}, got {seed_index}")
    algorithm = config.method.build(config.method.view(config.family), config.iterations)
    return config, algorithm, jax.tree.map(lambda x: x[seed_index], load_params(config, Path(run)))


def export(
    run: str | Path,
    *,
    to: str = "onnx",
    out: str | Path,
    seed_index: int = 0,
    family: Family | None = None,
    method: Method | None = None,
) -> Path:
    """Write the trained agent as programs that adapt where neither RL-Meta nor JAX is.

    Args:
        run: the run directory.
        to: `onnx`, `tensorflow` or `torch`.
        out: the new directory; its README.md says how to use it.
        seed_index: which of the run's seeds.
        family: the family, where it is one of your own.
        method: the method, where it is one of your own.

    Returns:
        The new directory.

    Raises:
        UserError: an unknown target, a missing extra, or an agent that does something that cannot be exported so far.
    """
    check_target(to)
    config, algorithm, params = _trained(run, seed_index, family, method)
    view = config.method.view(config.family)
    about = {
        "to": to,
        "family": families.title_of(config.family),
        "method": methods.title_of(config.method),
    }
    try:
        programs = programs_of(algorithm, params, view, config.shape)
        write_artefact(Path(out), programs, view, config.shape, about)
    except UnknownError as error:
        raise UserError(f"{about['method']} cannot be exported to {to}: {error}") from None
    return Path(out)


def serve(
    run: str | Path,
    settings: ServeSettings | None = None,
    *,
    seed_index: int = 0,
    family: Family | None = None,
    method: Method | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the trained agent over HTTP until Ctrl-C; many clients, each of which it adapts to by itself.

    Args:
        run: the run directory.
        settings: where to listen, and for how many; None: on this machine only, at port 8000.
        seed_index: which of the run's seeds.
        family: the family, where it is one of your own.
        method: the method, where it is one of your own.
        say: told what is going on, in lines.

    Raises:
        UserError: a missing extra or token, an address that cannot be had, settings out of range.
    """
    try:
        from rl_meta.serving.server import serve_service, service_of  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UserError(f"serving needs an extra ({error}): pip install 'rl-meta[serve]'") from error
    settings = settings or ServeSettings()
    with settings.listening() as listener:
        config, algorithm, params = _trained(run, seed_index, family, method)
        about = {
            "family": families.title_of(config.family),
            "method": methods.title_of(config.method),
        }
        service = service_of(algorithm, params, config.method.view(config.family), config.shape, settings)
        serve_service(service, listener, about, settings, say)


def report(run: str | Path, *, film: bool = False, family: Family | None = None, method: Method | None = None) -> Path:
    """Write DIR/report.html, a page that needs no network.

    Args:
        run: the run directory.
        film: show pictures of the agent's first and last episode in a held-out task as well, for which it lives a
            lifetime there; of families that cannot be drawn there are none.
        family: the family, for a film where it is one of your own.
        method: the method, for a film where it is one of your own.
    """
    from rl_meta.analysis.film import film_of_run  # noqa: PLC0415 (plots are slow to import)
    from rl_meta.analysis.report import write_report  # noqa: PLC0415

    return write_report(Path(run), film_of_run(Path(run), family=family, method=method) if film else None)
