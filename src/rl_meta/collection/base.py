"""Where environments run: on the device, on the host, on a cluster. Algorithms and loop are the same for all."""

from collections.abc import Callable
from typing import NamedTuple

from rl_meta.types import Key, Lifetimes, Live, PyTree


class Collector(NamedTuple):
    """Lifetimes that are over are begun anew, in `tasks`, when `collect` is called."""

    begin: Callable[[Key, PyTree, PyTree], Live]
    """(key, meta_params, tasks [N]) -> live."""
    collect: Callable[[Key, PyTree, Live, PyTree], tuple[Live, Lifetimes]]
    """(key, meta_params, live, tasks [N]) -> live, lifetimes."""
