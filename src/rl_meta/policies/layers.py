"""Layers. Inputs are [..., in], so that a batch needs no `vmap`."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.errors import unknown
from rl_meta.numerics.moments import Moments
from rl_meta.numerics.orthogonal import orthogonal
from rl_meta.policies.layout import Layout, as_layout
from rl_meta.policies.vision import Eyes
from rl_meta.types import Array, Key, PyTree

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": jax.nn.elu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu-tanh": partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}
"""By the name that settings have for them."""
Activation = Literal["elu", "gelu", "gelu-tanh", "relu", "sigmoid", "silu", "softplus", "tanh"]
NARROW = 4
"""A layer is narrow if it has so many times fewer outputs than inputs."""


def functional(make: Callable[[Key], eqx.Module]) -> tuple[Callable[[Key], PyTree], Callable[[PyTree], Any]]:
    """A constructor (key) -> module, as (init, apply): parameters are arrays only, the structure is closed over.

    init: (key) -> params.  apply: (params) -> the module with these parameters.
    """
    is_array = lambda x: isinstance(x, jax.ShapeDtypeStruct)
    _, static = eqx.partition(eqx.filter_eval_shape(make, jax.random.key(0)), is_array)
    return (lambda key: eqx.filter(make(key), eqx.is_array)), (lambda params: eqx.combine(params, static))


def activation_of(name: str) -> Callable[[Array], Array]:
    """The activation called so. Raises `UserError` where there is none."""
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


class Linear(eqx.Module):
    """x W + b, orthogonal at first (Saxe et al. 2014) with the given gain; the bias is zero."""

    weight: Array
    """[in, out]; [out, in] where `narrow`."""
    bias: Array
    narrow: bool = eqx.field(static=True)
    """Few outputs: the gradient is then a product of a wide matrix, on a CPU six times as fast as of a narrow one."""

    def __init__(self, size_in: int, size_out: int, *, gain: float = 1.0, key: Key) -> None:
        self.narrow = size_out * NARROW <= size_in
        shape = (size_out, size_in) if self.narrow else (size_in, size_out)
        self.weight = orthogonal(key, shape, gain=gain)
        self.bias = jnp.zeros(size_out)

    def __call__(self, x: Array) -> Array:
        """[..., in] -> [..., out]."""
        return x @ (self.weight.T if self.narrow else self.weight) + self.bias

    @property
    def size_in(self) -> int:
        """Length of what it reads."""
        return self.weight.shape[1 if self.narrow else 0]

    def rereading(self, scale: Array, shift: Array) -> "Linear":
        """The layer that makes of x what this one makes of scale ⊙ x + shift; scale, shift [in]."""
        weight = self.weight * (scale if self.narrow else scale[:, None])
        bias = self.bias + (self.weight @ shift if self.narrow else shift @ self.weight)
        return eqx.tree_at(lambda layer: (layer.weight, layer.bias), self, (weight, bias))


class MLP(eqx.Module):
    """Linear layers with an activation between them (and after the last one, where `final` is False)."""

    eyes: Eyes | None
    """For the pictures in what it reads."""
    layers: tuple[Linear, ...]
    final: bool = eqx.field(static=True)
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        size_in: int | Layout,
        widths: Sequence[int],
        size_out: int | None = None,
        *,
        gain: float = 1.0,
        activation: Callable[[Array], Array] = jnp.tanh,
        key: Key,
    ) -> None:
        """`size_out` None: the last hidden layer is the output. `gain` is the output layer's."""
        self.eyes = eyes_for(size_in, key)
        size_first = as_layout(size_in).size if self.eyes is None else self.eyes.size_out
        self.final = size_out is not None
        self.activation = activation
        sizes = [size_first, *widths, *([size_out] if size_out is not None else [])]
        gains = [2**0.5] * len(widths) + [gain]
        keys = jax.random.split(key, len(gains))
        self.layers = tuple(
            Linear(i, o, gain=g, key=k) for (i, o), g, k in zip(pairwise(sizes), gains, keys, strict=False)
        )

    def __call__(self, x: Array) -> Array:
        """[..., in] -> [..., out]."""
        x = self.look(x)
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x) if self.final else self.activation(last(x))

    def look(self, x: Array) -> Array:
        """[..., in] -> what the first layer reads."""
        return x if self.eyes is None else self.eyes(x)

    def rescaled(self, old: Moments, new: Moments) -> "MLP":
        """The network whose outputs mean the same in the units of `new` as this one's did in those of `old`.

        PopArt (van Hasselt et al. 2016, eq. 9).
        """
        last = self.layers[-1]
        weight = last.weight * (old.std / new.std)
        bias = (old.std * last.bias + old.mean - new.mean) / new.std
        where = lambda mlp: (mlp.layers[-1].weight, mlp.layers[-1].bias)
        return eqx.tree_at(where, self, (weight, bias))

    @property
    def size_out(self) -> int:
        """Length of what it gives."""
        return self.layers[-1].bias.size

    @property
    def size_in(self) -> int:
        """Length of what it reads."""
        return self.layers[0].size_in if self.eyes is None else self.eyes.layout.size

    def rereading(self, scale: Array, shift: Array) -> "MLP":
        """See `Linear.rereading`."""
        first, *later = self.layers
        if self.eyes is not None:
            scale, shift = self.eyes.change(scale, shift)
        return eqx.tree_at(lambda mlp: mlp.layers, self, (first.rereading(scale, shift), *later))


def eyes_for(size_in: int | Layout, key: Key) -> Eyes | None:
    """Eyes, where there is something to see. `key` may have other uses: these draws are apart from them."""
    layout = as_layout(size_in)
    return Eyes(layout, key=jax.random.fold_in(key, layout.size)) if layout.pictures else None


class PolicyHead(eqx.Module):
    """From features to the parameters of the distribution over actions (see `spaces.distribution`)."""

    mlp: Any
    """An `MLP`, or what stands for one and reads more than features (see `hypernetwork`)."""
    free: Array
    """[m] Parameters that do not depend on the state: the log standard deviations; empty where discrete."""

    def __init__(
        self,
        size_in: int | Layout,
        widths: Sequence[int],
        sizes: tuple[int, int],
        *,
        activation: str = "tanh",
        key: Key,
    ) -> None:
        self.mlp = MLP(size_in, widths, sizes[0], gain=0.01, activation=activation_of(activation), key=key)
        self.free = jnp.full(sizes[1], -0.5)

    def __call__(self, *inputs: Array) -> Array:
        """[..., in] -> [..., outputs + m]."""
        out = self.mlp(*inputs)
        return jnp.concatenate([out, jnp.broadcast_to(self.free, (*out.shape[:-1], *self.free.shape))], -1)


class ValueHead(eqx.Module):
    """From features to a value."""

    mlp: Any
    """As of `PolicyHead`."""

    def __init__(self, size_in: int | Layout, widths: Sequence[int], *, activation: str = "tanh", key: Key) -> None:
        self.mlp = MLP(size_in, widths, 1, gain=1.0, activation=activation_of(activation), key=key)

    def __call__(self, *inputs: Array) -> Array:
        """[..., in] -> [...]."""
        return self.mlp(*inputs)[..., 0]

    def rescaled(self, old: Moments, new: Moments) -> "ValueHead":
        """See `MLP.rescaled`."""
        return eqx.tree_at(lambda head: head.mlp, self, self.mlp.rescaled(old, new))
