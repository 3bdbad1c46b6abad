"""RecurrentPPO of sb3-contrib on Gymnasium's CartPole-v1. Run with .venv-peers-torch (see make_peers.sh).

One LSTM of 128 for policy and value, with linear heads: as close as it comes to RL² with one GRU of 128.
`--defaults` takes its own settings instead. It slows down as it learns: the LSTM is unrolled step by
step in Python over the longest episode of a minibatch. What is timed by default is a training after its
first 33 thousand steps; `--steps 4096` times its fast end, before it has learned anything.
"""

from typing import Any

import gymnasium
import torch
from measurement import (
    ENVIRONMENT,
    EPOCHS,
    LEARNING_RATE,
    RECURRENT_WIDTH,
    ROLLOUT_STEPS,
    Workload,
    argument_parser,
    repeat,
    report,
    workload,
)
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

NETWORK = {
    "lstm_hidden_size": RECURRENT_WIDTH,
    "shared_lstm": True,
    "enable_critic_lstm": False,
    "net_arch": [],
}
EVALUATION_EPISODES = 20


def matched_settings(work: Workload) -> dict[str, Any]:
    """Rollout, epochs and minibatches as everywhere in this comparison."""
    return {
        "n_steps": ROLLOUT_STEPS,
        "n_epochs": EPOCHS,
        "batch_size": work.minibatch_size,
        "learning_rate": LEARNING_RATE,
        "policy_kwargs": NETWORK,
    }


def main() -> None:
    """Learn once untimed, then time."""
    parser = argument_parser(__doc__, envs=16, steps=32_768)
    parser.add_argument("--threads", type=int, default=1, help="of torch; more than 1 is slow on busy cores")
    parser.add_argument("--defaults", action="store_true", help="the library's default settings")
    options = parser.parse_args()
    work = workload(options)
    torch.set_num_threads(options.threads)
    settings = {} if options.defaults else matched_settings(work)
    envs = DummyVecEnv([lambda: gymnasium.make(ENVIRONMENT)] * work.envs)
    model = RecurrentPPO("MlpLstmPolicy", envs, seed=work.seed, device="cpu", **settings)
    rounds = range(work.repeats + 1)
    timings = repeat(lambda _: model.learn(work.steps, reset_num_timesteps=False), rounds)[1]
    expected = len(rounds) * work.steps
    if model.num_timesteps != expected:
        raise SystemExit(f"sb3-contrib trained for {model.num_timesteps} steps, expected {expected}")
    report(
        "sb3-contrib RecurrentPPO " + ("(its defaults)" if options.defaults else "(one LSTM 128, 4x4)"),
        work,
        timings,
        compile_seconds=0.0,
        settings={**settings, "threads": options.threads, "device": "cpu"},
        packages=("sb3-contrib", "stable-baselines3", "torch", "gymnasium"),
        mean_return=evaluate_policy(model, model.get_env(), EVALUATION_EPISODES, warn=False)[0]
        if work.evaluate
        else None,
    )


if __name__ == "__main__":
    main()
