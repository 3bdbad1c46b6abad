"""Environments written for Gym, before Gymnasium, through Shimmy's compatibility layer.

In Gym before 0.26, `reset()` gives an observation alone and `step` four values, one of them `done`; since then both are
as Gymnasium's, but classes and spaces are Gym's own. Needs `pip install 'rl-meta[gym]'`.
"""

import inspect
from typing import Any

import gymnasium

from rl_meta.errors import UserError


def in_new_api(env: Any) -> gymnasium.Env:
    """The environment as one of Gymnasium's; one that is that already, as it is.

    Its `unwrapped` is what the user wrote: there attributes are set.

    Raises:
        UserError: the extra is missing.
    """
    takes_seed = "seed" in inspect.signature(env.reset).parameters
    if isinstance(env, gymnasium.Env) or (takes_seed and not _is_gyms(env)):
        return env
    try:
        import gym  # noqa: F401, PLC0415 (an extra; Shimmy converts its spaces)
        import shimmy  # noqa: PLC0415
    except ImportError as error:
        raise UserError(
            f"{type(env).__name__} is written for old Gym, and what that needs is missing ({error}): "
            "pip install 'rl-meta[gym]'"
        ) from error
    layer: Any = shimmy.GymV26CompatibilityV0 if takes_seed else shimmy.GymV21CompatibilityV0

    class OldGym(layer):
        """The layer around the user's environment."""

        @property
        def unwrapped(self) -> Any:
            return self.gym_env.unwrapped if hasattr(self.gym_env, "unwrapped") else self.gym_env

    made = OldGym(env=env)
    made.spec = None  # Gym's own; the limit of steps in it is no longer kept
    return made


def _is_gyms(env: Any) -> bool:
    """Is its class one of old Gym's? It is not imported for this."""
    return any(cls.__module__.partition(".")[0] == "gym" for cls in type(env).__mro__)
