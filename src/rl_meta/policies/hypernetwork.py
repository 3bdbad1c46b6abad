"""Networks whose weights another network writes, anew at every step, from what it has seen of the task.

A task embedding z [Z] becomes weights by linear maps, the heads of the hypernetwork:

    W(z) = W₀ + Σ_k z_k W_k,    b(z) = b₀ + Σ_k z_k b_k        for every layer x W + b

Bias-HyperInit (Beck et al. 2022, "Hypernetworks in meta-reinforcement learning"): the heads' weights W_k, b_k are
zero at first and their biases W₀, b₀ an ordinary initialisation of the layer. A new policy then is an ordinary one,
whatever the task; tasks come to differ only as far as that pays. FiLM (Perez et al. 2018) is the cheap relative: z
scales and shifts the units of the hidden layers of one network for all tasks.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.numerics.moments import Moments
from rl_meta.policies.layers import MLP, Linear, PolicyHead, ValueHead
from rl_meta.policies.layout import Layout, as_layout
from rl_meta.policies.memory import MakeMemory, SequenceMemory
from rl_meta.types import Array, Key, PyTree


class GeneratedMLP(eqx.Module):
    """An MLP with all weights and biases generated from z; its eyes, if it has some, are the same for all tasks."""

    ordinary: MLP
    """W₀ and b₀: the network at z = 0."""
    slopes: tuple[Array, ...]
    """Per layer [Z, in + 1, out]: W_k, and in the last row b_k."""

    def __init__(self, ordinary: MLP, size_z: int) -> None:
        sizes = [_sizes(layer) for layer in ordinary.layers]
        self.ordinary = ordinary
        self.slopes = tuple(jnp.zeros((size_z, size_in + 1, size_out)) for size_in, size_out in sizes)

    def __call__(self, z: Array, x: Array) -> Array:
        """[..., Z], [..., in] -> [..., out]."""
        x = self.ordinary.look(x)
        *hidden, last = zip(self.ordinary.layers, self.slopes, strict=True)
        for layer, slope in hidden:
            x = jnp.tanh(layer(x) + generated_product(slope, z, x))
        layer, slope = last
        return layer(x) + generated_product(slope, z, x)

    def rescaled(self, old: Moments, new: Moments) -> "GeneratedMLP":
        """See `MLP.rescaled`; the outputs are linear in the last layer's heads as well."""
        slopes = (*self.slopes[:-1], self.slopes[-1] * (old.std / new.std))
        return eqx.tree_at(lambda mlp: (mlp.ordinary, mlp.slopes), self, (self.ordinary.rescaled(old, new), slopes))


class ModulatedMLP(eqx.Module):
    """FiLM: an MLP with units (1 + γ(z)) ⊙ (x W + b) + β(z) in its hidden layers; γ = β = 0 at first."""

    ordinary: MLP
    slopes: tuple[Array, ...]
    """Per hidden layer [Z, 2 out]: of γ, then of β."""

    def __init__(self, ordinary: MLP, size_z: int) -> None:
        self.ordinary = ordinary
        self.slopes = tuple(jnp.zeros((size_z, 2 * layer.bias.size)) for layer in ordinary.layers[:-1])

    def __call__(self, z: Array, x: Array) -> Array:
        """[..., Z], [..., in] -> [..., out]."""
        x = self.ordinary.look(x)
        *hidden, last = self.ordinary.layers
        for layer, slope in zip(hidden, self.slopes, strict=True):
            scale, shift = jnp.split(z @ slope, 2, -1)
            x = jnp.tanh((1 + scale) * layer(x) + shift)
        return last(x)

    def rescaled(self, old: Moments, new: Moments) -> "ModulatedMLP":
        """See `MLP.rescaled`."""
        return eqx.tree_at(lambda mlp: mlp.ordinary, self, self.ordinary.rescaled(old, new))


def generated_product(slope: Array, z: Array, x: Array) -> Array:
    """Σ_k z_k (x W_k + b_k) for slope [Z, in + 1, out], z [..., Z] and x [..., in]: [..., out].

    The weights of a step, in × out numbers for every row of a batch, are never formed. One large product with
    z ⊗ (x, 1), or with x before the sum over k, needs Z in or Z out numbers per row; the smaller is taken.
    """
    size_z, size_in, size_out = slope.shape
    x = jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1))], -1)
    if size_in <= size_out:
        outer = z[..., :, None] * x[..., None, :]
        return outer.reshape(*outer.shape[:-2], -1) @ slope.reshape(-1, size_out)
    per_k = x @ jnp.moveaxis(slope, 0, 1).reshape(size_in, -1)
    return (z[..., None] * per_k.reshape(*per_k.shape[:-1], size_z, size_out)).sum(-2)


class HypernetworkActorCritic(eqx.Module):
    """A memory and a task embedding, from which policy and value networks are generated.

    The generated networks read the observation of the moment alone: all that happened before reaches them through
    their weights.
    """

    memory: SequenceMemory
    task: Linear
    policy: PolicyHead
    value: ValueHead
    size_obs: int = eqx.field(static=True)

    def __init__(
        self,
        sizes_in: tuple[int | Layout, int | Layout],
        make_memory: MakeMemory,
        sizes: tuple[int, int],
        *,
        embedding: int,
        base: Sequence[int],
        generate: Callable[[MLP, int], eqx.Module],
        key: Key,
    ) -> None:
        """sizes_in: of an input, and of the observation that it starts with. sizes: see `spaces.head_sizes`.

        embedding: Z. base: hidden layers of both networks. generate: `GeneratedMLP` or `ModulatedMLP`.
        """
        size_in, size_obs = map(as_layout, sizes_in)
        self.size_obs = size_obs.size
        key_memory, key_task, key_policy, key_value = jax.random.split(key, 4)
        self.memory = make_memory(size_in, key_memory)
        self.task = Linear(self.memory.size, embedding, key=key_task)
        generated = lambda head: eqx.tree_at(lambda head: head.mlp, head, generate(head.mlp, embedding))
        self.policy = generated(PolicyHead(size_obs, base, sizes, key=key_policy))
        self.value = generated(ValueHead(size_obs, base, key=key_value))

    def start(self) -> PyTree:
        """The memory at the start of a lifetime."""
        return self.memory.start()

    def step(self, memory: PyTree, x: Array) -> tuple[PyTree, Array, Array]:
        """memory, [..., in] -> memory, parameters of the policy, value."""
        memory, y = self.memory.step(memory, x)
        return memory, *self._decide(y, x)

    def unroll(self, memory: PyTree, xs: Array) -> tuple[Array, Array]:
        """memory, [T, ..., in] -> parameters of the policy [T, ...] and values [T, ...]."""
        return self._decide(self.memory.unroll(memory, xs), xs)

    def _decide(self, y: Array, x: Array) -> tuple[Array, Array]:
        z, obs = self.task(y), x[..., : self.size_obs]
        return self.policy(z, obs), self.value(z, obs)


def _sizes(layer: Linear) -> tuple[int, int]:
    size_out = layer.bias.size
    return layer.weight.size // size_out, size_out
