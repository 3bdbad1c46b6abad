"""Several trained models made one: meta-parameters of any method, brought to common units and then combined.

A network that reads standardised observations and predicts standardised values means something only together with the
statistics they are standardised by, and those differ from run to run. So before weights are combined, every
`PolicyParams` in the meta-parameters is re-expressed in merged statistics: its value head exactly, its first layer for
all observations that are not beyond the limit of ±10 standard deviations. What it does stays the same; only then are
its numbers comparable. Running statistics are merged as if all the data had been seen by one run. Everything else,
of any method, is an array and is combined as it is.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from rl_meta.algorithms.ppo import PolicyParams, renormalised
from rl_meta.numerics.aggregation import pooled
from rl_meta.numerics.moments import Moments
from rl_meta.policies.normaliser import Normaliser
from rl_meta.tasks.base import Family
from rl_meta.types import Array, PyTree

Combine = Callable[[PyTree], PyTree]
"""(trees [N, ...]) -> tree: a mean, an arc, ..."""


def combined(models: Sequence[PyTree], combine: Combine, shares: Array, family: Family) -> PyTree:
    """One model of the meta-parameters of several; `family` is as the agents see it.

    shares: [N], of the data of each that the merged statistics hold.
    """

    def join(*nodes: PyTree) -> PyTree:
        if isinstance(nodes[0], Moments):
            return pooled(_stacked(nodes), shares)
        if isinstance(nodes[0], PolicyParams):
            parts = zip(*(node.normaliser for node in nodes), strict=True)
            seen = Normaliser(*(pooled(_stacked(part), shares) for part in parts))
            return PolicyParams(combine(_stacked([in_units(node, seen, family).network for node in nodes])), seen)
        return combine(_stacked(nodes))

    return jax.tree.map(join, *models, is_leaf=lambda node: isinstance(node, PolicyParams | Moments))


def in_units(params: PolicyParams, seen: Normaliser, family: Family) -> PolicyParams:
    """The same policy and values, reading and predicting in the units of other running statistics.

    A network with a memory begins to read what `Normaliser.see_all` makes, any other what `see` makes. What follows (a
    belief) it reads as before. One without `rereading` (see `Linear`) keeps its weights.
    """
    network, normaliser, obs_space = params.network, params.normaliser, family.observation_space
    if hasattr(network, "rereading"):
        if hasattr(network, "memory"):
            scale, shift = normaliser.change_of_all(obs_space, family.action_space, seen)
        else:
            scale, shift = normaliser.change(obs_space, seen)
        more = network.size_in - len(scale)
        network = network.rereading(jnp.pad(scale, (0, more), constant_values=1.0), jnp.pad(shift, (0, more)))
    return renormalised(PolicyParams(network, params.normaliser), seen)


def _stacked(trees: Sequence[PyTree]) -> PyTree:
    """The trees as one, [N, ...]."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
