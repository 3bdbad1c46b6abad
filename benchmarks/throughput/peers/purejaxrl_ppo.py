"""PPO of PureJaxRL on gymnax's CartPole-v1. Run with .venv-peers-jax (see make_peers.sh).

PureJaxRL is not packaged: `--checkout` names the root of your own checkout of luchris429/purejaxrl, the
folder that holds `purejaxrl/ppo.py`.
"""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
from measurement import (
    ENVIRONMENT,
    EPOCHS,
    LEARNING_RATE,
    MINIBATCHES,
    ROLLOUT_STEPS,
    argument_parser,
    repeat,
    report,
    timed,
    workload,
)

# Its network is fixed in its source: separate policy and value networks of two layers of 64.
SETTINGS = {
    "NUM_STEPS": ROLLOUT_STEPS,
    "UPDATE_EPOCHS": EPOCHS,
    "NUM_MINIBATCHES": MINIBATCHES,
    "LR": LEARNING_RATE,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
    "ACTIVATION": "tanh",
    "ENV_NAME": ENVIRONMENT,
    "ANNEAL_LR": False,
    "DEBUG": False,
}


def import_make_train(checkout: Path) -> Callable[[dict[str, Any]], Callable]:
    """`make_train` of the checkout."""
    if not (checkout / "purejaxrl" / "ppo.py").is_file():
        raise SystemExit(f"expected a checkout of PureJaxRL with purejaxrl/ppo.py in it, got {checkout}")
    if find_spec("brax") is None:
        # Its wrappers import Brax at the top, for a wrapper that CartPole does not use.
        sys.modules["brax"] = ModuleType("brax")
        sys.modules["brax"].envs = ModuleType("brax.envs")
    sys.path.insert(0, str(checkout))
    from purejaxrl.ppo import make_train

    return make_train


def mean_return(metrics: dict[str, Any]) -> float:
    """Mean return of the episodes that ended during the last update."""
    ended = metrics["returned_episode"][-1]
    return float((metrics["returned_episode_returns"][-1] * ended).sum() / ended.sum())


def main() -> None:
    """Compile, train once untimed, then time."""
    parser = argument_parser(__doc__, envs=64, steps=524_288)
    parser.add_argument("--checkout", type=Path, required=True, help="root of your checkout of PureJaxRL")
    options = parser.parse_args()
    work = workload(options)
    make_train = import_make_train(options.checkout)
    train = make_train({**SETTINGS, "NUM_ENVS": work.envs, "TOTAL_TIMESTEPS": work.steps})
    keys = jax.random.split(jax.random.PRNGKey(work.seed), work.repeats + 1)
    compiled, compilation = timed(lambda: jax.jit(train).lower(keys[0]).compile())
    outcome, timings = repeat(lambda key: jax.block_until_ready(compiled(key)), keys)
    report(
        "PureJaxRL PPO",
        work,
        timings,
        compile_seconds=compilation.seconds,
        settings={**SETTINGS, "device": jax.devices()[0].device_kind},
        packages=("gymnax", "jax", "flax", "distrax"),
        mean_return=mean_return(outcome["metrics"]) if work.evaluate else None,
    )


if __name__ == "__main__":
    main()
