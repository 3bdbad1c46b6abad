"""Reptile over stable-baselines3's PPO, and our own: environment steps per second of whole steps of the meta-model.

python benchmarks/throughput/reptile.py --learner sb3:PPO
python benchmarks/throughput/reptile.py --learner ours

Run with .venv-frameworks (`make .venv-frameworks/.installed`). The peer is `peers/sb3_reptile.py`, with as many updates
of as many steps. Over stable-baselines3 a step of the meta-model also writes its file and a line of metrics.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from measurement import (
    EPOCHS,
    HIDDEN_WIDTH,
    LEARNING_RATE,
    MINIBATCHES,
    REPTILE_STEPS,
    REPTILE_TASKS,
    REPTILE_UPDATE_STEPS,
    REPTILE_UPDATES,
    argument_parser,
    repeat,
    report,
    timed,
    workload,
)

from rl_meta.algorithms.reptile import Reptile
from rl_meta.integrations.foreign import ForeignReptile, meta_train
from rl_meta.tasks.cartpole import CartPole
from rl_meta.training.config import RunConfig
from rl_meta.training.run import build_trainer, compiled_calls, root_keys

FAMILY = CartPole(horizon=500)
COPIES = 8
"""Environments in each task. An update has as many steps as the peer's."""
COPY_STEPS = REPTILE_UPDATE_STEPS // COPIES
LAYERS = [HIDDEN_WIDTH, HIDDEN_WIDTH]
SETTINGS: dict[str, Any] = {
    "n_steps": COPY_STEPS,
    "n_epochs": EPOCHS,
    "batch_size": REPTILE_UPDATE_STEPS // MINIBATCHES,
    "learning_rate": LEARNING_RATE,
}


def over_sb3(steps: int, seed: int) -> tuple[Callable[[int], None], float]:
    """What trains for so many steps, and the seconds that it took to compile."""
    import torch

    from rl_meta.integrations.sb3 import SB3Learner

    torch.set_num_threads(1)
    network = {"net_arch": {"pi": LAYERS, "vf": LAYERS}, "activation_fn": torch.nn.Tanh}
    learner = SB3Learner("PPO", FAMILY, n_envs=COPIES, seed=seed, policy_kwargs=network, **SETTINGS)
    outer = ForeignReptile(meta_batch_size=REPTILE_TASKS, task_steps=REPTILE_UPDATES * REPTILE_UPDATE_STEPS)

    def train(_: int) -> None:
        with tempfile.TemporaryDirectory() as out:
            meta_train(learner, FAMILY, outer, out=Path(out) / "run", steps=steps, seed=seed)

    return train, 0.0


def ours(steps: int, seed: int) -> tuple[Callable[[int], None], float]:
    """As `over_sb3`."""
    schedule: dict[str, Any] = {"epochs": EPOCHS, "minibatches": MINIBATCHES, "learning_rate": LEARNING_RATE}
    rollout = {"copies": COPIES, "rollout_steps": COPY_STEPS, "improvements": REPTILE_UPDATES}
    method = Reptile(meta_batch_size=REPTILE_TASKS, hidden=tuple(LAYERS), normalise=False, **rollout, **schedule)
    config = RunConfig(FAMILY, method, steps=steps, seed=seed)
    keys = root_keys(config)
    init, go_on = compiled_calls(config, build_trainer(config))
    state, count = init(keys), jnp.array(config.iterations)
    compiled, compiling = timed(lambda: go_on.lower(keys, state, count).compile())

    def train(_: int) -> None:
        nonlocal state
        state, info = compiled(keys, state, count)
        jax.block_until_ready((state, info))

    return train, compiling.seconds


def main() -> None:
    """Once untimed, then as often as the arguments ask for."""
    parser = argument_parser(__doc__, envs=COPIES, steps=8 * REPTILE_STEPS)
    parser.add_argument("--learner", choices=("sb3:PPO", "ours"), default="ours")
    options = parser.parse_args()
    if options.envs != COPIES:
        parser.error(f"every task has {COPIES} environments, got --envs {options.envs}")
    work = workload(options)
    steps = max(1, round(work.steps / REPTILE_STEPS)) * REPTILE_STEPS
    train, compile_seconds = (ours if options.learner == "ours" else over_sb3)(steps, options.seed)
    _, timings = repeat(train, range(options.repeats + 1))
    report(
        f"rl-meta reptile, {options.learner}",
        replace(work, updates=steps // work.update_steps),
        timings,
        compile_seconds=compile_seconds,
        settings={**SETTINGS, "net_arch": LAYERS, "tasks": REPTILE_TASKS, "updates": REPTILE_UPDATES},
        packages=("rl-meta", "stable-baselines3", "torch", "jax"),
    )


if __name__ == "__main__":
    main()
