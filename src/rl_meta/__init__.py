"""RL-Meta: meta-reinforcement learning. Learn, over many tasks, how to learn the next one.

    import rl_meta
    run = rl_meta.train("cartpole", "rl2", out="runs/cartpole")
    print(rl_meta.evaluate(run)["episodes"][0])
    agent = rl_meta.load(run)

Nothing heavy is imported before it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rl_meta.api import (
        Cluster,
        aggregate,
        evaluate,
        export,
        load,
        report,
        resume,
        resume_tuning,
        serve,
        sweep,
        train,
        train_learner,
        tune,
    )
    from rl_meta.errors import UserError

__version__ = "0.1.0"
__all__ = [
    "Cluster",
    "UserError",
    "aggregate",
    "evaluate",
    "export",
    "load",
    "report",
    "resume",
    "resume_tuning",
    "serve",
    "sweep",
    "train",
    "train_learner",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'rl_meta' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module("rl_meta.errors" if name == "UserError" else "rl_meta.api"), name)
