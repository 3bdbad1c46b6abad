"""Reptile over stable-baselines3 as one writes it first: for every task in turn a new PPO, with one environment.

This is our own loop, after the example of reptile_sb3, which is no package. Run with .venv-peers-torch (see
make_peers.sh).
"""

from dataclasses import replace

import gymnasium
import numpy as np
import torch
from measurement import (
    ENVIRONMENT,
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
    workload,
)
from stable_baselines3 import PPO

LAYERS = [HIDDEN_WIDTH, HIDDEN_WIDTH]
SETTINGS = {
    "n_steps": REPTILE_UPDATE_STEPS,
    "n_epochs": EPOCHS,
    "batch_size": REPTILE_UPDATE_STEPS // MINIBATCHES,
    "learning_rate": LEARNING_RATE,
}
OUTER_RATE = 0.5


def learner(length: float, seed: int) -> PPO:
    """A new one, on a pole of this length."""
    env = gymnasium.make(ENVIRONMENT)
    env.unwrapped.length = length
    env.unwrapped.polemass_length = env.unwrapped.masspole * length
    network = {"net_arch": {"pi": LAYERS, "vf": LAYERS}, "activation_fn": torch.nn.Tanh}
    return PPO("MlpPolicy", env, seed=seed, device="cpu", policy_kwargs=network, **SETTINGS)


def main() -> None:
    """One step of the meta-model untimed, then as many as the arguments ask for."""
    parser = argument_parser(__doc__, envs=1, steps=REPTILE_STEPS)
    options = parser.parse_args()
    if options.envs != 1:
        parser.error(f"every task has one environment, got --envs {options.envs}")
    torch.set_num_threads(1)
    random = np.random.default_rng(options.seed)
    theta = learner(0.5, options.seed).policy.state_dict()

    def step(_: int) -> None:
        nonlocal theta
        models = []
        for length in random.uniform(0.25, 1.0, REPTILE_TASKS):
            model = learner(length, int(random.integers(2**31)))
            model.policy.load_state_dict(theta)
            model.learn(REPTILE_UPDATES * REPTILE_UPDATE_STEPS)
            models.append(model.policy.state_dict())
        mean = {name: sum(model[name] for model in models) / len(models) for name in theta}
        theta = {name: x + OUTER_RATE * (mean[name] - x) for name, x in theta.items()}

    work = workload(options)
    rounds = max(1, round(work.steps / REPTILE_STEPS))
    _, timings = repeat(lambda _: [step(i) for i in range(rounds)], range(options.repeats + 1))
    report(
        "a new stable-baselines3 PPO for every task",
        replace(work, updates=rounds * REPTILE_STEPS // work.update_steps),
        timings,
        compile_seconds=0.0,
        settings={**SETTINGS, "net_arch": LAYERS, "tasks": REPTILE_TASKS, "updates": REPTILE_UPDATES},
        packages=("stable-baselines3", "torch", "gymnasium"),
    )


if __name__ == "__main__":
    main()
