"""RLlib's PPO begun from aggregated weights: environment steps until a new task is mastered (see `head_start`).

python benchmarks/learning/reptile_rllib.py                                   5 seeds, 50 tasks: many hours
python benchmarks/learning/reptile_rllib.py --seeds 1 --tasks 2 --steps 20000 a trial run; nothing is written
"""

from head_start import Study, main

from rl_meta.integrations.foreign import ForeignReptile
from rl_meta.integrations.rllib import RLlibLearner
from rl_meta.tasks.cartpole import CartPole
from rl_meta.types import PyTree

ITERATION = 512
SETTINGS = {
    "lr": 1e-3,
    "gamma": 0.99,
    "train_batch_size_per_learner": ITERATION,
    "minibatch_size": 128,
    "num_epochs": 8,
    "model_config": {"fcnet_hiddens": [64, 64], "fcnet_activation": "tanh", "vf_share_layers": False},
}


def learn_pooled(learner: RLlibLearner, steps: int) -> None:
    """See `Study`."""
    learner.env.tasks.every_episode = True
    learner.learn(learner.env.get_task(), steps)
    learner.env.tasks.every_episode = False


def steps_to(learner: RLlibLearner, task: PyTree, target: float, longest: int) -> int | None:
    """See `Study`: mean return of the episodes that ended in an iteration."""
    for iteration in range(longest // ITERATION):
        if learner.learn(task, ITERATION) >= target:
            return (iteration + 1) * ITERATION
    return None


STUDY = Study(
    name="reptile-rllib-ppo-cartpole",
    family=CartPole(),
    learner={"name": "rllib:PPO", "n_envs": 8, **SETTINGS},
    make=lambda seed: RLlibLearner("PPO", CartPole(), n_envs=8, seed=seed, **SETTINGS),
    learn_pooled=learn_pooled,
    steps_to=steps_to,
    outer=ForeignReptile(meta_batch_size=8, task_steps=8 * ITERATION),
    train_steps=31 * 8 * 8 * ITERATION,
    target=190.0,
    longest=40_960,
)

if __name__ == "__main__":
    main([STUDY], str(__doc__))
