"""Where environments run: on the device, on the host, on a cluster. Algorithms and loop are the same for all."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax

from rl_meta.types import Key, Lifetimes, Live, PyTree


class Collector(NamedTuple):
    """Lifetimes that are over are begun anew, in `tasks`, when `collect` is called.

    A key is one for all lifetimes, which `keys_of_each` splits, or an array of one for each [N].
    """

    begin: Callable[[Key, PyTree, PyTree], Live]
    """(key, meta_params, tasks [N]) -> live."""
    collect: Callable[[Key, PyTree, Live, PyTree], tuple[Live, Lifetimes]]
    """(key, meta_params, live, tasks [N]) -> live, lifetimes."""


@runtime_checkable
class Lives(Protocol):
    """A collector that has something to let go of: environments, or workers that have them."""

    portable: bool
    """Can lifetimes be gone on with from `Live` alone, wherever that is?"""

    def begin(self, key: Key, params: PyTree, tasks: PyTree) -> Live:
        """See `Collector`."""

    def collect(self, key: Key, params: PyTree, live: Live, tasks: PyTree) -> tuple[Live, Lifetimes]:
        """See `Collector`."""

    def counts(self) -> dict[str, int]:
        """By name, what has been counted so far; metrics show how much it was per iteration."""

    def close(self) -> None:
        """Let go."""


def keys_of_each(key: Key, tasks: PyTree) -> Key:
    """The keys of lifetimes in these tasks [N]."""
    return key if key.ndim else jax.random.split(key, len(jax.tree.leaves(tasks)[0]))
