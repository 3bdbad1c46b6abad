"""PPO of rejax on gymnax's CartPole-v1. Run with .venv-peers-jax (see make_peers.sh)."""

from typing import Any

import jax
from measurement import (
    ENVIRONMENT,
    EPOCHS,
    HIDDEN_WIDTH,
    LEARNING_RATE,
    MINIBATCHES,
    ROLLOUT_STEPS,
    Workload,
    argument_parser,
    repeat,
    report,
    timed,
    workload,
)
from rejax import PPO
from rejax.evaluate import evaluate

SETTINGS = {
    "num_steps": ROLLOUT_STEPS,
    "num_epochs": EPOCHS,
    "num_minibatches": MINIBATCHES,
    "learning_rate": LEARNING_RATE,
    "max_grad_norm": 0.5,
}
NETWORK = {"activation": "tanh", "hidden_layer_sizes": (HIDDEN_WIDTH, HIDDEN_WIDTH)}
EVALUATION_EPISODES = 128


def training(work: Workload) -> PPO:
    """The agent, doing nothing but training.

    rejax counts its training in evaluations: `ceil(total_timesteps / eval_freq)` rounds of
    `ceil(eval_freq / (num_envs · num_steps))` updates. One round as long as the training is exact;
    its default, `eval_freq=4096`, would train for longer than asked. `create` puts in a callback that plays
    128 episodes, which only `replace` takes out.
    """
    agent = PPO.create(
        env=ENVIRONMENT,
        num_envs=work.envs,
        total_timesteps=work.steps,
        eval_freq=work.steps,
        skip_initial_evaluation=True,
        agent_kwargs=NETWORK,
        **SETTINGS,
    )
    return agent.replace(eval_callback=lambda *_: ())


def mean_return(agent: PPO, train_state: Any) -> float:
    """Mean return of fresh episodes."""
    key = jax.random.PRNGKey(0)
    act = agent.make_act(train_state)
    return float(evaluate(act, key, agent.env, agent.env_params, EVALUATION_EPISODES)[1].mean())


def main() -> None:
    """Compile, train once untimed, then time."""
    work = workload(argument_parser(__doc__, envs=64, steps=524_288).parse_args())
    agent = training(work)
    keys = jax.random.split(jax.random.PRNGKey(work.seed), work.repeats + 1)
    compiled, compilation = timed(lambda: jax.jit(lambda key: agent.train(key)).lower(keys[0]).compile())
    train_state, timings = repeat(lambda key: jax.block_until_ready(compiled(key)[0]), keys)
    if int(train_state.global_step) != work.steps:
        raise SystemExit(f"rejax trained for {int(train_state.global_step)} steps, expected {work.steps}")
    report(
        "rejax PPO",
        work,
        timings,
        compile_seconds=compilation.seconds,
        settings={**SETTINGS, **NETWORK, "device": jax.devices()[0].device_kind},
        packages=("rejax", "gymnax", "jax", "flax"),
        mean_return=mean_return(agent, train_state) if work.evaluate else None,
    )


if __name__ == "__main__":
    main()
