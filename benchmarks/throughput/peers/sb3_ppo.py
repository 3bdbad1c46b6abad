"""PPO of stable-baselines3 on Gymnasium's CartPole-v1. Run with .venv-peers-torch (see make_peers.sh)."""

import gymnasium
import torch
from measurement import (
    ENVIRONMENT,
    EPOCHS,
    HIDDEN_WIDTH,
    LEARNING_RATE,
    ROLLOUT_STEPS,
    argument_parser,
    repeat,
    report,
    workload,
)
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

LAYERS = [HIDDEN_WIDTH, HIDDEN_WIDTH]
EVALUATION_EPISODES = 20


def main() -> None:
    """Learn once untimed, then time."""
    parser = argument_parser(__doc__, envs=8, steps=20_480)
    parser.add_argument("--threads", type=int, default=1, help="of torch; more than 1 is slow on busy cores")
    options = parser.parse_args()
    work = workload(options)
    torch.set_num_threads(options.threads)
    settings = {
        "n_steps": ROLLOUT_STEPS,
        "n_epochs": EPOCHS,
        "batch_size": work.minibatch_size,
        "learning_rate": LEARNING_RATE,
    }
    envs = DummyVecEnv([lambda: gymnasium.make(ENVIRONMENT)] * work.envs)
    model = PPO(
        "MlpPolicy",
        envs,
        seed=work.seed,
        device="cpu",
        policy_kwargs={"net_arch": {"pi": LAYERS, "vf": LAYERS}, "activation_fn": torch.nn.Tanh},
        **settings,
    )
    rounds = range(work.repeats + 1)
    timings = repeat(lambda _: model.learn(work.steps, reset_num_timesteps=False), rounds)[1]
    expected = len(rounds) * work.steps
    if model.num_timesteps != expected:
        raise SystemExit(f"stable-baselines3 trained for {model.num_timesteps} steps, expected {expected}")
    report(
        "stable-baselines3 PPO",
        work,
        timings,
        compile_seconds=0.0,
        settings={**settings, "net_arch": LAYERS, "threads": options.threads, "device": "cpu"},
        packages=("stable-baselines3", "torch", "gymnasium"),
        mean_return=evaluate_policy(model, model.get_env(), EVALUATION_EPISODES, warn=False)[0]
        if work.evaluate
        else None,
    )


if __name__ == "__main__":
    main()
