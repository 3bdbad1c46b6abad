"""Weights that a run begins with in place of drawn ones, where a method's network is an MLP actor-critic.

A network made elsewhere reads observations as they are and its actions are in the space's own units; ours come in units
of half the space's width. The last layer takes that up, so that the policy is exactly the one that was given.
"""

import dataclasses
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rl_meta.algorithms.base import MetaAlgorithm
from rl_meta.errors import UserError
from rl_meta.policies.actor_critic import FeedForwardActorCritic
from rl_meta.policies.layers import MLP, PolicyHead
from rl_meta.policies.spaces import from_unit
from rl_meta.tasks.base import Family
from rl_meta.types import PyTree

INITIAL = "initial.safetensors"
"""The file in a run directory."""
NEEDED = (
    "an initial network needs a method whose meta-parameters are an MLP actor-critic: reptile, maml, promp, multitask "
    "or oracle"
)
Layers = tuple[tuple[np.ndarray, np.ndarray], ...]
"""Weights [in, out] and biases [out]."""


@dataclass(frozen=True, eq=False)
class InitialNetwork:
    """A policy, and perhaps a value function, as linear layers with an activation between them."""

    policy: Layers
    """To logits, or to means in the units of the actions."""
    activation: str = "tanh"
    """Of `layers.ACTIVATIONS`."""
    value: Layers | None = None
    """None: drawn as ever."""
    log_std: np.ndarray | None = None
    """[m] In the units of the actions; None: as ever."""

    @property
    def architecture(self) -> dict[str, Any]:
        """The settings of a method whose network has this form: `Reptile(**network.architecture)`.

        Observations are not scaled, for the network would see others as soon as their statistics move.
        """
        hidden = tuple(len(bias) for _, bias in self.policy[:-1])
        return {"hidden": hidden, "activation": self.activation, "normalise": False}

    def shape(self, method: Any) -> Any:
        """The method with a network of this form.

        Raises:
            UserError: it has no such settings.
        """
        known = {field.name for field in dataclasses.fields(method)} if dataclasses.is_dataclass(method) else set()
        if not self.architecture.keys() <= known:
            raise UserError(NEEDED)
        return dataclasses.replace(method, **self.architecture)


def beginning_with(algorithm: MetaAlgorithm, initial: InitialNetwork | None, family: Family) -> MetaAlgorithm:
    """The method, whose meta-parameters begin with these weights. family: as the agent sees it.

    Raises:
        UserError: (when it is traced) its network is no MLP actor-critic, or one of another form.
    """
    if initial is None:
        return algorithm

    def init(key: Any) -> PyTree:
        state = algorithm.init(key)
        return state._replace(params=replaced(state.params, initial, family))

    return algorithm._replace(init=init)


def replaced(params: PyTree, initial: InitialNetwork, family: Family) -> PyTree:
    """Meta-parameters with the weights of `initial` in their network."""
    kinds = FeedForwardActorCritic | PolicyHead
    found = []

    def put(node: Any) -> Any:
        if not isinstance(node, kinds):
            return node
        found.append(node)
        if isinstance(node, PolicyHead):
            return _policy(node, initial, family.action_space)
        where = lambda network: (network.policy, network.value)
        policy, value = _policy(node.policy, initial, family.action_space), node.value
        if initial.value is not None:
            value = eqx.tree_at(lambda head: head.mlp, value, _mlp(value.mlp, initial.value, "value function"))
        return eqx.tree_at(where, node, (policy, value))

    network = getattr(params, "network", None)
    if network is None:
        network = getattr(getattr(params, "learned", None), "network", None)
    if not isinstance(network, kinds):
        raise UserError(NEEDED)
    after = jax.tree.map(put, params, is_leaf=lambda node: isinstance(node, kinds))
    assert len(found) == 1
    return after


def as_bytes(initial: InitialNetwork) -> bytes:
    """As a safetensors file, which holds no code."""
    arrays = {} if initial.log_std is None else {"log_std": initial.log_std}
    for name, layers in (("policy", initial.policy), ("value", initial.value or ())):
        for index, (weight, bias) in enumerate(layers):
            arrays |= {f"{name}.{index}.weight": weight, f"{name}.{index}.bias": bias}
    return save(
        {name: np.ascontiguousarray(x, np.float32) for name, x in arrays.items()}, {"activation": initial.activation}
    )


def of_run(directory: Path, given: InitialNetwork | None) -> InitialNetwork | None:
    """What the run in this directory began with; what is given, where there is none so far.

    Raises:
        UserError: they are not the same, or the file cannot be read.
    """
    path = directory / INITIAL
    if not (directory / "config.json").exists():
        return given
    if given is not None and (not path.exists() or path.read_bytes() != as_bytes(given)):
        raise UserError(f"{directory} holds a run that began with other weights: choose another directory")
    return _read(path) if path.exists() else None


def _read(path: Path) -> InitialNetwork:
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            activation = file.metadata()["activation"]
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise UserError(f"cannot read the weights that the run began with, {path}: {error}") from None

    def layers(name: str) -> Layers:
        present = takewhile(lambda layer: f"{layer}.weight" in arrays, (f"{name}.{index}" for index in count()))
        return tuple((arrays[f"{layer}.weight"], arrays[f"{layer}.bias"]) for layer in present)

    return InitialNetwork(layers("policy"), activation, layers("value") or None, arrays.get("log_std"))


def _policy(head: PolicyHead, initial: InitialNetwork, space: spaces.Space) -> PolicyHead:
    layers, free = initial.policy, head.free
    if isinstance(space, spaces.Box):
        with jax.ensure_compile_time_eval():
            zeros = jnp.zeros(int(np.prod(space.shape)))
            middle = np.asarray(from_unit(space, zeros))
            half = np.asarray(from_unit(space, zeros + 1)) - middle
        *_, (weight, bias) = layers
        if bias.shape == middle.shape:  # if not, `_mlp` tells
            layers = (*layers[:-1], (weight / half, (bias - middle) / half))
        if initial.log_std is not None:
            free = jnp.asarray(initial.log_std - np.log(half), jnp.float32)
    return eqx.tree_at(lambda head: (head.mlp, head.free), head, (_mlp(head.mlp, layers, "policy"), free))


def _mlp(mlp: MLP, layers: Layers, what: str) -> MLP:
    """The same structure with other weights."""
    ours = [layer.weight.shape[::-1] if layer.narrow else layer.weight.shape for layer in mlp.layers]
    given = [weight.shape for weight, _ in layers]
    if ours != given:
        raise UserError(f"the initial {what} has layers of {_sizes(given)}, the method's network has {_sizes(ours)}")
    weights = [
        jnp.asarray(weight.T if layer.narrow else weight, jnp.float32)
        for layer, (weight, _) in zip(mlp.layers, layers, strict=True)
    ]
    biases = [jnp.asarray(bias, jnp.float32) for _, bias in layers]
    where = lambda mlp: [x for layer in mlp.layers for x in (layer.weight, layer.bias)]
    return eqx.tree_at(where, mlp, [x for pair in zip(weights, biases, strict=True) for x in pair])


def _sizes(shapes: list[tuple[int, ...]]) -> str:
    return "-".join(str(size) for size in (shapes[0][0], *(shape[1] for shape in shapes)))
