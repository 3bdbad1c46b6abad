"""A run on disk: train it, stop it, resume it to the same numbers.

DIR/config.json     all that determines the run        DIR/metrics.jsonl   one line per call
DIR/versions.json   what it was made with              DIR/tensorboard/    the same for TensorBoard
DIR/initial.safetensors   weights it began with, where they were given
DIR/checkpoints/    the newest states                  DIR/evaluation.json, DIR/report.html   later
"""

import json
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.collection.cluster import Cluster
from rl_meta.collection.device import device_collector
from rl_meta.errors import UserError
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.envs import on_device, on_host
from rl_meta.tasks.measures import measures_of
from rl_meta.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint, write_whole
from rl_meta.training.config import RunConfig
from rl_meta.training.initial import INITIAL, InitialNetwork, as_bytes, beginning_with, of_run
from rl_meta.training.loop import Trainer, TrainState, improving, trainer
from rl_meta.training.metrics import Line, MetricsFiles, plain
from rl_meta.training.program import HostProgram, Program, cluster_program
from rl_meta.types import Info, Key, PyTree

CHECKPOINT_SECONDS = 60.0
MOST_SKIPPED_UPDATES = 20
"""So many updates in a row that had to be skipped end a run."""

Report = Callable[[Line], None]


class Looks(NamedTuple):
    """Points of a run at which its state is saved and somebody looks at it."""

    iterations: Sequence[int] = ()
    """So many of them done."""
    look: Callable[[int, PyTree], None] = lambda iteration, params: None
    """(iterations done, meta-parameters [seeds, ...]); what it raises ends the run."""


def build_trainer(config: RunConfig, initial: InitialNetwork | None = None) -> Trainer:
    """The run's loop for one seed, on the device. initial: see `train_run`."""
    family, method, shape = on_device(config.method.view(config.family)), config.method, config.shape
    algorithm = beginning_with(method.build(family, config.iterations), initial, family)
    collector = device_collector(algorithm.adapter, family, shape)
    sample = lambda key: draw_tasks(family, key, config.tasks)
    return trainer(algorithm, collector, sample, shape, improve=improving(algorithm, shape, measures_of(family)))


def root_keys(config: RunConfig) -> Key:
    """One root key per seed, [seeds]: seed s of a run with several is the same as a run of seed s alone."""
    return jnp.stack([jax.random.key(config.seed + i) for i in range(config.seeds)])


def over_seeds(function: Callable, seeds: int) -> Callable:
    """`function` mapped over a first axis of seeds; a single seed is not mapped, which compiles to faster code."""
    if seeds > 1:
        return jax.vmap(function)
    alone = lambda *arguments: function(*jax.tree.map(lambda x: x[0], arguments))
    return lambda *arguments: jax.tree.map(lambda x: jnp.asarray(x)[None], alone(*arguments))


def compiled_calls(config: RunConfig, train: Trainer) -> tuple[Callable, Callable]:
    """init: (keys [K]) -> state; go_on: (keys [K], state, iterations) -> state, info (the mean over iterations)."""

    def go_on(key: Key, state: TrainState, iterations: jax.Array) -> tuple[TrainState, Info]:
        shapes = jax.eval_shape(train.iterate, key, state)[1]
        nothing = jax.tree.map(lambda x: jnp.zeros((2, *x.shape)), shapes)

        def iterate(_: jax.Array, carry: tuple[TrainState, Info]) -> tuple[TrainState, Info]:
            state, sums = carry
            state, info = train.iterate(key, state)
            add = lambda s, x: s + jnp.stack([jnp.where(jnp.isnan(x), 0.0, x), 1.0 - jnp.isnan(x)])
            return state, jax.tree.map(add, sums, info)

        state, sums = jax.lax.fori_loop(0, iterations, iterate, (state, nothing))
        return state, jax.tree.map(lambda s: s[0] / s[1], sums)

    init = jax.jit(over_seeds(train.init, config.seeds))
    # the count of iterations is not mapped over: a loop of unequal length per seed would be slower
    mapped = lambda keys, state, n: over_seeds(lambda k, s: go_on(k, s, n), config.seeds)(keys, state)
    return init, jax.jit(mapped, donate_argnums=1)


class DeviceProgram:
    """The run of a family on the device: many iterations of all seeds are one compiled program."""

    def __init__(self, config: RunConfig, initial: InitialNetwork | None = None) -> None:
        self.init, self._go_on = compiled_calls(config, build_trainer(config, initial))

    def go_on(self, keys: Key, state: TrainState, iterations: int) -> tuple[TrainState, Info]:
        """See `Program`."""
        return self._go_on(keys, state, jnp.array(iterations))

    def shapes(self, keys: Key) -> PyTree:
        """See `Program`."""
        state = jax.eval_shape(self.init, keys)
        jax.eval_shape(self._go_on, keys, state, jnp.array(1))
        return state

    def resumed(self, keys: Key, state: TrainState) -> TrainState:  # noqa: ARG002
        """See `Program`."""
        return state

    def close(self) -> None:
        """See `Program`."""


def program_of(config: RunConfig, cluster: Cluster | None = None, initial: InitialNetwork | None = None) -> Program:
    """The run as `train_run` calls it."""
    if cluster:
        return cluster_program(config, cluster, initial)
    hosted = on_host(config.method.view(config.family))
    return HostProgram(config, hosted, initial=initial) if hosted else DeviceProgram(config, initial)


def train_run(
    config: RunConfig,
    directory: Path,
    *,
    initial: InitialNetwork | None = None,
    report: Report = lambda line: None,
    cluster: Cluster | None = None,
    looks: Looks | None = None,
) -> None:
    """Train, or continue what `directory` holds of this very run, to `config.steps`.

    `initial` are weights to begin with in place of drawn ones; a run that is continued has its own. `report` is called
    with every line of metrics. `cluster` says who lives the lifetimes; None: this process. A run that is continued
    where it was to be looked at is looked at first. Ctrl-C ends the call in progress, saves a checkpoint and raises
    KeyboardInterrupt.

    Raises:
        UserError: the directory holds another run, or (its last good state is saved) the run has diverged, or
            environments or collectors died again and again.
    """
    initial = of_run(directory, initial)
    with closing(program_of(config, cluster, initial)) as program:
        like = program.shapes(root_keys(config))  # what cannot be compiled, or has no environments, leaves no directory
        _prepare(directory, config, initial)
        _train(config, directory, program, like, report=report, looks=looks or Looks())


def _train(config: RunConfig, directory: Path, program: Program, like: PyTree, *, report: Report, looks: Looks) -> None:
    """See `train_run`. like: a state, or its shapes."""
    keys = root_keys(config)
    state = _start(directory, program, keys, like)
    iteration = _iteration(state)
    save = lambda: save_checkpoint(directory / "checkpoints", iteration, state)
    saved, skipped = time.monotonic(), 0

    def look() -> None:
        if iteration in looks.iterations:
            save()
            looks.look(iteration, state.meta.params)

    with interruptible() as stop_asked, closing(MetricsFiles(directory, iteration=iteration)) as metrics:
        look()
        while iteration < config.iterations and not stop_asked():
            began = time.monotonic()
            count = _iterations_to_go(config, iteration, looks)
            with last_good_state_kept(save):
                state, info = program.go_on(keys, state, count)
            info = jax.tree.map(np.asarray, info)
            iteration += count
            line = _line(config, iteration, count, time.monotonic() - began, info)
            metrics.write(line)
            report(line)
            skipped = skipped + count if np.max(info["skipped_updates"]) == 1.0 else 0
            if skipped >= MOST_SKIPPED_UPDATES:
                break
            look()
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                save()
                saved = time.monotonic()
        save()
        if skipped >= MOST_SKIPPED_UPDATES:
            raise UserError(
                f"the run has diverged: the last {skipped} updates of a seed were not finite and were skipped. "
                f"Its last good state is in {directory}; lower the learning rate and train anew"
            )
        if stop_asked():
            raise KeyboardInterrupt


def _iterations_to_go(config: RunConfig, iteration: int, looks: Looks) -> int:
    """Of the next compiled call."""
    ends = (iteration + config.iterations_per_call, config.iterations, *looks.iterations)
    return min(end for end in ends if end > iteration) - iteration


@contextmanager
def last_good_state_kept(save: Callable[[], Any]) -> Iterator[None]:
    """Inside, environments or collectors may die for good."""
    try:
        yield
    except UserError:
        save()
        raise


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C only sets a flag, so that no state is torn; the second one interrupts at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(*_: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _iteration(state: TrainState) -> int:
    return int(state.iteration[0])


def _start(directory: Path, program: Program, keys: Key, like: PyTree) -> TrainState:
    """The newest checkpoint, or a new state where there is none. like: a state, or its shapes."""
    checkpoints = directory / "checkpoints"
    if not any(checkpoints.glob("*.safetensors")):
        return program.init(keys)
    return program.resumed(keys, load_checkpoint(newest_checkpoint(checkpoints), like))


def _line(config: RunConfig, iteration: int, count: int, seconds: float, info: dict[str, np.ndarray]) -> Line:
    per_second = count * config.steps_per_iteration * config.seeds / seconds
    return {
        "iteration": iteration,
        "env_steps": iteration * config.steps_per_iteration,
        "total_env_steps": config.iterations * config.steps_per_iteration,
        "seconds": round(seconds, 4),
        "steps_per_second": round(per_second, 1),
        **{name: plain(np.asarray(value).tolist()) for name, value in sorted(info.items())},
    }


def _prepare(directory: Path, config: RunConfig, initial: InitialNetwork | None) -> None:
    """Write the configuration, or make sure that it is the one already there."""
    path = directory / "config.json"
    if path.exists():
        if path.read_text() != config.to_json():
            raise UserError(
                f"{directory} holds a run with other settings{_other_than(path, config)}: continue it with "
                f"--resume {directory}, or choose another directory"
            )
        return
    if any((directory / "checkpoints").glob("*.safetensors")):
        raise UserError(f"{directory} has checkpoints but no config.json that says of what: choose another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run directory {directory}: {error.strerror}") from None
    if initial is not None:
        write_whole(directory / INITIAL, as_bytes(initial))
    write_whole(path, config.to_json().encode())
    write_whole(directory / "versions.json", (json.dumps(versions(), indent=2) + "\n").encode())


def _other_than(path: Path, config: RunConfig) -> str:
    """Which settings of a stored run are others, in brackets; nothing where they cannot be compared."""
    try:
        stored, given = (_by_path(json.loads(text)) for text in (path.read_text(), config.to_json()))
    except ValueError:
        return ""
    names = [name for name in {**given, **stored} if given.get(name) != stored.get(name)]
    told = [f"{name} is {stored.get(name)}, not {given.get(name)}" for name in names[:3]]
    return f" ({'; '.join(told)}{' ...' if names[3:] else ''})" if told else ""


def _by_path(plain: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Settings within settings as one dictionary, by names such as `method.discount`."""
    found: dict[str, Any] = {}
    for name, value in plain.items():
        found |= _by_path(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return found


def versions() -> dict[str, str]:
    """What a run was made with."""
    packages = ("rl-meta", "jax", "jaxlib", "equinox", "optax", "gymnasium", "numpy")
    found = {name: version(name) for name in packages} | versions_of_worlds()
    return found | {"python": platform.python_version(), "platform": platform.platform()}


def versions_of_worlds() -> dict[str, str]:
    """Of the simulators that are installed."""
    found = {}
    for name in ("envpool", "gymnax", "highway-env", "metaworld", "minigrid", "mujoco"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def load_params(config: RunConfig, directory: Path) -> PyTree:
    """The meta-parameters of a run's newest checkpoint, [seeds, ...]."""
    algorithm = config.method.build(config.method.view(config.family), config.iterations)
    like: Any = jax.eval_shape(over_seeds(algorithm.init, config.seeds), root_keys(config))
    path = newest_checkpoint(directory / "checkpoints")
    return load_checkpoint(path, like.params, within=".meta.params")
