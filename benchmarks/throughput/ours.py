"""RL-Meta's side of the comparison: the same loop that `rl-meta train` runs, timed after compilation.

python benchmarks/throughput/ours.py --method plain-ppo --envs 256
python benchmarks/throughput/ours.py --method rl2 --envs 256
"""

import sys
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
    RECURRENT_WIDTH,
    ROLLOUT_STEPS,
    argument_parser,
    repeat,
    report,
    timed,
    workload,
)

from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.cartpole import CartPole
from rl_meta.training.config import RunConfig
from rl_meta.training.run import build_trainer, compiled_calls, root_keys

TIME_LIMIT_STEPS = 500
"""Of CartPole-v1."""
SCHEDULE: dict[str, Any] = {"epochs": EPOCHS, "minibatches": MINIBATCHES, "learning_rate": LEARNING_RATE}


def plain_ppo(envs: int) -> tuple[CartPole, MultiTask]:
    """Feed-forward PPO, without the normalisation of inputs that the peers do not have either."""
    widths = (HIDDEN_WIDTH, HIDDEN_WIDTH)
    rollout = {"meta_batch_size": envs, "rollout_steps": ROLLOUT_STEPS, "hidden": widths, "normalise": False}
    return CartPole(horizon=TIME_LIMIT_STEPS), MultiTask(**rollout, **SCHEDULE)


def rl2(envs: int) -> tuple[CartPole, RL2]:
    """Recurrent PPO over lifetimes of one rollout, with what RL² sees; like the peer, no layer before the memory."""
    method = RL2(meta_batch_size=envs, lifetime_episodes=1, memory=RECURRENT_WIDTH, encoder=(), **SCHEDULE)
    return CartPole(horizon=ROLLOUT_STEPS), method


def main() -> None:
    """Compile, run once untimed, then time."""
    parser = argument_parser(__doc__, envs=256, steps=500_000)
    parser.add_argument("--method", choices=("plain-ppo", "rl2"), default="plain-ppo")
    options = parser.parse_args()
    work = workload(options)
    family, method = {"plain-ppo": plain_ppo, "rl2": rl2}[options.method](work.envs)
    config = RunConfig(family, method, steps=work.steps * (work.repeats + 1), seed=work.seed)
    keys = root_keys(config)
    init, go_on = compiled_calls(config, build_trainer(config))
    state = init(keys)
    count = jnp.array(work.updates)
    compiled, compiling = timed(lambda: go_on.lower(keys, state, count).compile())
    info: dict[str, Any] = {}

    def train(_: int) -> None:
        nonlocal state, info
        state, info = compiled(keys, state, count)
        jax.block_until_ready((state, info))

    _, timings = repeat(train, range(work.repeats + 1))
    report(
        f"rl-meta {options.method}",
        work,
        timings,
        compile_seconds=compiling.seconds,
        settings={"method": repr(method), "family": repr(family)},
        packages=("rl-meta", "jax", "equinox", "optax"),
        mean_return=float(info["return"][0]) if options.evaluate else None,
    )


if __name__ == "__main__":
    main()
