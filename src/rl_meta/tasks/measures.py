"""What a family measures beside the reward: success, a crash, a speed.

    measures = ("success=max", "speed=mean")

Each is a number that every step tells, with how an episode sums up those of its steps. Agents do not see them, and do
not learn from them: evaluation reports them, and the metrics of training beside the return.
"""

from collections.abc import Sequence
from typing import Any

from rl_meta.errors import UserError

HOW = ("max", "mean", "sum", "last")
"""Of a flag, `max` says whether it was ever raised."""
TAKEN = ("iteration", "env_steps", "total_env_steps", "seconds", "steps_per_second")
"""What a line of a run's metrics begins with."""


def measures_of(family: Any) -> dict[str, str]:
    """By name, how an episode sums up what its steps tell; nothing where a family measures nothing."""
    return parse_measures(getattr(family, "measures", ()))


def parse_measures(entries: Sequence[str]) -> dict[str, str]:
    """Names and hows of entries NAME=HOW.

    Raises:
        UserError: an entry is not so, a name comes twice, or is one of `TAKEN`.
    """
    found: dict[str, str] = {}
    for entry in entries:
        name, _, how = entry.partition("=")
        if not name or how not in HOW:
            raise UserError(f"a measure must be like 'success=max', with one of {', '.join(HOW)}, got {entry!r}")
        if name in TAKEN:
            raise UserError(f"a measure cannot be called {name}, for a metric of training is; give it another name")
        if name in found:
            raise UserError(f"each measure must be named once, got {name} twice")
        found[name] = how
    return found
