"""A policy that is told the task: what perfect adaptation from the first step on would reach.

`multitask` on a family whose observations carry the hidden parameters. No method that has to find them out can be
expected to do better.
"""

from dataclasses import dataclass

from rl_meta.algorithms.multitask import MultiTask
from rl_meta.tasks.base import Family
from rl_meta.tasks.wrappers import reveal_task


@dataclass(frozen=True)
class Oracle(MultiTask):
    """One policy that is told the task; what others can at best reach."""

    def view(self, family: Family) -> Family:
        """The task is part of every observation."""
        return reveal_task(family)
