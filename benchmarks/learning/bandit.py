"""Bernoulli bandits, p ~ U(0, 1): total reward over n pulls of k arms, on 10,000 held-out tasks.

    python benchmarks/learning/bandit.py                      all
    python benchmarks/learning/bandit.py bandit-10-5-rl2      one of them

Bayes-optimal by dynamic programming (tests/known_answers.py); Gittins, Thompson sampling and the published RL² as in
Duan et al. 2016, table 1.
"""

from dataclasses import replace

from experiment import Experiment, run_chosen

from rl_meta.algorithms.hypernetwork import Hypernetwork
from rl_meta.algorithms.maml import MAML
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.transformer import Transformer
from rl_meta.tasks.bandit import Bandit

LONG = RL2(
    meta_batch_size=1024,
    minibatches=16,
    epochs=8,
    learning_rate=8e-3,
    anneal_to=0.0,
    discount=1.0,
    trace=0.9,
    entropy_weight=0.002,
    memory_span=100.0,
    encoder=(),
    heads=(64,),
)
"""Over 100 pulls: large batches and a long trace, for what a pull has taught pays late and little."""
RECALLING = replace(LONG, recall=64, learning_rate=4e-3)
JUDGING = replace(
    LONG,
    judge=8,
    memory=16,
    memory_span=500.0,
    heads=(32,),
    meta_batch_size=256,
    learning_rate=4e-3,
    trace=0.95,
    advantage_floor=0.01,
)
"""Over 500 pulls: a judge of each arm, and a small GRU that counts the time.

Values of 500 pulls vary much more than advantages do: with the floor that is usual, advantages would be next to nothing
beside the bonus for entropy.
"""
MANY_ARMS = replace(JUDGING, discount=0.998, entropy_weight=0.005)
COUNTING = Transformer(layer="linear-recurrence", blocks=1, learning_rate=3e-3, meta_batch_size=128, trace=0.7)
TWO_PULLS_A_STEP = MAML(
    copies=2,
    inner_steps=4,
    inner_rate=5.0,
    meta_batch_size=1000,
    discount=0.0,
    trace=0.0,
    hidden=(),
    kl_limit=1e-3,
)
"""Ten pulls are five stages of two; a pull counts by whether it paid more than the other one.

All arms being alike there is little to learn before the first pull, and outer steps of the usual size are walks at
random: with a limit of 0.01 and less damping, four of five seeds had forgotten how to adapt after 8 M steps (5.08).
"""

EXPERIMENTS = {
    name: Experiment(
        family=family,
        method=method,
        steps=steps,
        tasks=10_000,
        known=known,
        acting="sampled",
        sum_copies=True,
    )
    for name, family, method, steps, known in [
        (
            "bandit-10-5-rl2",
            Bandit(arms=5, pulls=10),
            RL2(
                meta_batch_size=512,
                learning_rate=3e-3,
                discount=1.0,
                trace=0.9,
                entropy_weight=0.005,
                memory_span=100.0,
            ),
            8_000_000,
            {"Bayes-optimal": 6.6600, "Thompson sampling": 5.7, "published RL²": 6.7, "target": 6.60},
        ),
        (
            "bandit-100-5-rl2",
            Bandit(arms=5, pulls=100),
            LONG,
            8_000_000,
            {"Gittins": 78.3, "Thompson sampling": 74.7, "published RL²": 78.7, "target": 77.5},
        ),
        (
            "bandit-100-10-rl2",
            Bandit(arms=10, pulls=100),
            RECALLING,
            6_000_000,
            {"Gittins": 82.8, "Thompson sampling": 76.7, "published RL²": 83.5, "target": 82.0},
        ),
        (
            "bandit-100-10-gru",
            Bandit(arms=10, pulls=100),
            LONG,
            12_000_000,
            {"Gittins": 82.8, "Thompson sampling": 76.7, "published RL²": 83.5, "target": 82.0},
        ),
        (
            "bandit-10-5-hypernetwork",
            Bandit(arms=5, pulls=10),
            Hypernetwork(meta_batch_size=512, discount=1.0, trace=0.9, entropy_weight=0.005),
            8_000_000,
            {"Bayes-optimal": 6.6600, "Thompson sampling": 5.7, "published RL²": 6.7, "target": 6.60},
        ),
        (
            "bandit-10-5-transformer",
            Bandit(arms=5, pulls=10),
            Transformer(meta_batch_size=512, discount=1.0, trace=0.9, entropy_weight=0.005),
            8_000_000,
            {"Bayes-optimal": 6.6600, "Thompson sampling": 5.7, "published RL²": 6.7, "target": 6.60},
        ),
        (
            "bandit-10-5-maml",
            Bandit(arms=5, pulls=1),
            TWO_PULLS_A_STEP,
            2_000_000,
            {"Bayes-optimal": 6.6600, "Thompson sampling": 5.7, "published RL²": 6.7},
        ),
        (
            "bandit-100-5-linear-recurrence",
            Bandit(arms=5, pulls=100),
            COUNTING,
            8_000_000,
            {"Gittins": 78.3, "Thompson sampling": 74.7, "published RL²": 78.7, "target": 77.5},
        ),
        (
            "bandit-100-10-linear-recurrence",
            Bandit(arms=10, pulls=100),
            COUNTING,
            12_000_000,
            {"Gittins": 82.8, "Thompson sampling": 76.7, "published RL²": 83.5, "target": 82.0},
        ),
        (
            "bandit-100-10-attention",
            Bandit(arms=10, pulls=100),
            Transformer(blocks=1, learning_rate=2e-3, meta_batch_size=128, trace=0.7),
            12_000_000,
            {"Gittins": 82.8, "Thompson sampling": 76.7, "published RL²": 83.5, "target": 82.0},
        ),
        (
            "bandit-500-10-rl2",
            Bandit(arms=10, pulls=500),
            JUDGING,
            8_000_000,
            {"Gittins": 437.8, "Thompson sampling": 429.5, "published RL²": 432.5, "target": 432.5},
        ),
        (
            "bandit-500-50-rl2",
            Bandit(arms=50, pulls=500),
            MANY_ARMS,
            9_000_000,
            {"Gittins": 463.7, "Thompson sampling": 427.2, "published RL²": 438.9, "target": 438.9},
        ),
    ]
}


if __name__ == "__main__":
    run_chosen(EXPERIMENTS)
