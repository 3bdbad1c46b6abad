"""From `sb3:PPO` to a learner of another library."""

from importlib import import_module
from typing import Any, NamedTuple

from rl_meta.errors import UserError, unknown
from rl_meta.integrations.foreign import ForeignLearner
from rl_meta.tasks.base import Family


class Library(NamedTuple):
    """Where its learners are."""

    title: str
    module: str
    learner: str
    extra: str
    model: str
    """Name of what it writes."""
    loading: str
    """How its model is read, by `algorithm` and `model`."""


LIBRARIES = {
    "sb3": Library(
        "Stable-Baselines3",
        "rl_meta.integrations.sb3",
        "SB3Learner",
        "sb3",
        "model.zip",
        "{algorithm}.load({model!r})",
    ),
    "rllib": Library(
        "RLlib",
        "rl_meta.integrations.rllib",
        "RLlibLearner",
        "ray,torch",
        "model",
        "Algorithm.from_checkpoint({model!r})",
    ),
}
MISSING = "learners of {title} need an extra ({error}): pip install 'rl-meta[{extra}]'"


def library_of(name: str) -> Library:
    """The library of LIBRARY:ALGORITHM.

    Raises:
        UserError: an unknown one.
    """
    library = name.partition(":")[0]
    if library not in LIBRARIES:
        raise unknown("library of learners", library, LIBRARIES)
    return LIBRARIES[library]


def learner_of(name: str, family: Family, *, n_envs: int, seed: int, settings: dict[str, Any]) -> ForeignLearner:
    """The learner called LIBRARY:ALGORITHM. settings: as its library calls them.

    Raises:
        UserError: unknown names or settings, or a missing extra.
    """
    library = library_of(name)
    try:
        module = import_module(library.module)
    except ImportError as error:
        raise UserError(MISSING.format(title=library.title, error=error, extra=library.extra)) from error
    return getattr(module, library.learner)(name.partition(":")[2], family, n_envs=n_envs, seed=seed, **settings)
