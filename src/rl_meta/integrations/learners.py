"""From `sb3:PPO` to a learner of another library."""

from typing import Any

from rl_meta.errors import UserError, unknown
from rl_meta.integrations.foreign import ForeignLearner
from rl_meta.tasks.base import Family

LIBRARIES = ("sb3",)
MISSING = "learners of Stable-Baselines3 need an extra ({error}): pip install 'rl-meta[sb3]'"


def learner_of(name: str, family: Family, *, n_envs: int, seed: int, settings: dict[str, Any]) -> ForeignLearner:
    """The learner called LIBRARY:ALGORITHM. settings: as its library calls them.

    Raises:
        UserError: unknown names or settings, or a missing extra.
    """
    library, _, algorithm = name.partition(":")
    if library not in LIBRARIES:
        raise unknown("library of learners", library, LIBRARIES)
    try:
        from rl_meta.integrations.sb3 import SB3Learner  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UserError(MISSING.format(error=error)) from error
    return SB3Learner(algorithm, family, n_envs=n_envs, seed=seed, **settings)
