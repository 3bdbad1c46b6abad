"""An agent as three programs of named arrays: begin, act and learn, as `Adapter` describes them.

    begin(noise_*)                                            -> next_adapted_*, next_memory_*
    act(adapted_*, memory_*, inputs_*, noise_*)               -> next_memory_*, action, drawn, extras_*
    learn(adapted_*, steps_* [C, T, ...], noise_*)            -> next_adapted_*

Meta-parameters are constants in them. `noise_*` is what is drawn (see `draws`): with zeros, `act` is deterministic.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from rl_meta.algorithms.base import MetaAlgorithm, Shape, keep_adapted
from rl_meta.collection.device import first_inputs
from rl_meta.errors import UserError
from rl_meta.exporting.draws import Draw, Explicit, explicit
from rl_meta.policies.spaces import blank, into_space, no_action
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Inputs, PyTree, Step


class Tensor(NamedTuple):
    """An input or output."""

    name: str
    """An identifier."""
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Program:
    """A function of flat arrays."""

    name: str
    inputs: tuple[Tensor, ...]
    """The last of them are the noise."""
    outputs: tuple[Tensor, ...]
    draws: tuple[Draw, ...]
    """What the noise stands for."""
    function: Callable[..., tuple[Array, ...]]
    """(*inputs) -> outputs."""
    explicit: Explicit
    """The same before its arrays were flat."""

    @property
    def traced(self) -> core.ClosedJaxpr:
        """The function as JAX traces it."""
        like = [jax.ShapeDtypeStruct(tensor.shape, tensor.dtype) for tensor in self.inputs]
        return jax.make_jaxpr(self.function)(*like)


@dataclass(frozen=True)
class Programs:
    """An agent."""

    begin: Program
    act: Program
    learn: Program | None
    """None: it adapts by its memory alone, or not at all."""
    kept_noise: int
    """So many of the draws of `act` are made by a deterministic agent too, the first ones: its way of exploring."""

    @property
    def all(self) -> tuple[Program, ...]:
        """Those that there are: an agent with nothing to begin with has no `begin`."""
        return tuple(program for program in (self.begin, self.act, self.learn) if program and program.outputs)


def programs_of(algorithm: MetaAlgorithm, params: PyTree, family: Family, shape: Shape) -> Programs:
    """The trained agent with these meta-parameters, as its family looks to it.

    Raises:
        UserError: what it does cannot be said in flat arrays and explicit draws.
    """
    adapter, obs_space, action_space = algorithm.adapter, family.observation_space, family.action_space
    key = jax.eval_shape(lambda: jax.random.key(0))
    adapted, memory = jax.eval_shape(adapter.begin, key, params)
    inputs = jax.eval_shape(lambda: first_inputs(blank(obs_space), no_action(action_space)))

    def begin(key: Any) -> dict[str, PyTree]:
        adapted, memory = adapter.begin(key, params)
        return {"next_adapted": adapted, "next_memory": memory}

    def act(key: Any, adapted: PyTree, memory: PyTree, inputs: Inputs) -> dict[str, PyTree]:
        memory, drawn, extras = adapter.act(key, params, adapted, memory, inputs)
        action = into_space(action_space, drawn)
        return {"next_memory": memory, "action": action, "drawn": drawn, "extras": extras}

    def learn(key: Any, adapted: PyTree, steps: Step) -> dict[str, PyTree]:
        return {"next_adapted": adapter.learn(key, params, adapted, steps)}

    acting = _program("act", act, adapted=adapted, memory=memory, inputs=inputs)
    learning = None
    if adapter.learn is not keep_adapted:
        steps = _steps(jax.eval_shape(act, key, adapted, memory, inputs), inputs, shape)
        learning = _program("learn", learn, adapted=adapted, steps=steps)
    kept = 0
    if algorithm.best is not None:
        best = lambda key, *rest: algorithm.best.act(key, params, *rest)
        kept = len(explicit(best, adapted, memory, inputs).draws)
    return Programs(_program("begin", begin), acting, learning, kept)


def _steps(acted: dict[str, PyTree], inputs: Inputs, shape: Shape) -> Step:
    """Shapes of what `learn` is given."""
    flag: Any = jax.ShapeDtypeStruct((), jnp.bool_)
    reward: Any = jax.ShapeDtypeStruct((), jnp.float32)
    step = Step(inputs, acted["drawn"], acted["extras"], reward, inputs.obs, flag, flag)
    in_stage = lambda x: jax.ShapeDtypeStruct((shape.copies, shape.steps, *x.shape), x.dtype)
    return jax.tree.map(in_stage, step)


def _program(name: str, function: Callable[..., dict[str, PyTree]], **args: PyTree) -> Program:
    """A function (key, *args) as one of flat arrays, named after the arguments and what they hold."""
    made = explicit(function, *args.values())
    noise = tuple(draw.like for draw in made.draws)
    given = {**args, "noise": noise}
    leaves, structure = jax.tree.flatten(tuple(given.values()))
    there = [bool(leaf.size) for leaf in leaves]  # what has no elements is no input

    def flat(*arrays: Array) -> tuple[Array, ...]:
        left = iter(arrays)
        filled = [
            next(left) if kept else jnp.zeros(leaf.shape, leaf.dtype) for leaf, kept in zip(leaves, there, strict=True)
        ]
        *rest, noise = jax.tree.unflatten(structure, filled)
        return tuple(x for x in jax.tree.leaves(made.function(noise, *rest)) if x.size)

    out = jax.eval_shape(made.function, noise, *args.values())
    return Program(name, _tensors(given), _tensors(out), made.draws, flat, made)


def _tensors(tree: PyTree) -> tuple[Tensor, ...]:
    """Names, shapes and types of the leaves that have elements."""
    found = []
    for top, part in tree.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(part):
            inside = jax.tree_util.keystr(path, simple=True, separator="_")
            name = re.sub(r"\W", "_", f"{top}_{inside}" if inside else top)
            found.append(Tensor(name, tuple(leaf.shape), str(leaf.dtype)))
    found = [tensor for tensor in found if 0 not in tensor.shape]
    names = [tensor.name for tensor in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two arrays of the agent would be called {name}: rename a key of the observation space")
    return tuple(found)
