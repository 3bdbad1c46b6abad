"""Environments in pure JAX: the collector is a pure function, part of the compiled training loop.

A lifetime is a pure function of (key, meta_params, task): cutting it into segments changes no number.
Auto-reset is the only reset after birth; lifetimes begin only at the start of a call, so inside a segment
nothing is ever renewed and updates need no reset logic.
"""

from functools import partial

import jax
import jax.numpy as jnp

from rl_meta.algorithms.base import Adapter, Shape, birth_keys, stage_keys
from rl_meta.axes import select, strongly_typed, tile
from rl_meta.collection.base import Collector, keys_of_each
from rl_meta.policies.spaces import into_space, no_action
from rl_meta.tasks.base import DeviceFamily
from rl_meta.types import Array, Inputs, Key, Lifetimes, Live, PyTree, Step


def first_inputs(obs: PyTree, none: PyTree) -> Inputs:
    """At birth; `none` stands for the action that was not taken."""
    return Inputs(obs, jnp.array(True), none, jnp.array(0.0), jax.tree.map(jnp.zeros_like, obs))  # noqa: FBT003


def device_collector(adapter: Adapter, family: DeviceFamily, shape: Shape) -> Collector:
    """Lifetimes of `adapter` in tasks of `family`, as long as `shape` says."""
    none = no_action(family.action_space)

    def be_born(params: PyTree, key: Key, task: PyTree) -> Live:
        key_begin, key_resets = birth_keys(key)
        adapted, memory = adapter.begin(key_begin, params)
        env, obs = jax.vmap(family.reset, (0, None))(jax.random.split(key_resets, shape.copies), task)
        inputs = jax.vmap(first_inputs, (0, None))(obs, none)
        live = Live(key, task, jnp.array(0), adapted, tile(memory, shape.copies), inputs, env)
        return strongly_typed(live)

    def live_step(params: PyTree, live: Live, carry: tuple, moment: tuple) -> tuple[tuple, Step]:
        (memory, inputs, env), ((key_act, key_env, key_reset), last) = carry, moment
        memory, action, extras = adapter.act(key_act, params, live.adapted, memory, inputs)
        done_to = into_space(family.action_space, action)
        env, next_obs, reward, terminated, truncated, measured = family.step(key_env, env, done_to, live.task)
        truncated = (truncated | (last & shape.restart)) & ~terminated
        done = terminated | truncated
        env, obs = select(done, family.reset(key_reset, live.task), (env, next_obs))
        step = Step(inputs, action, extras, reward, next_obs, terminated, truncated, measured)
        return (memory, Inputs(obs, done, action, reward, next_obs), env), step

    def live_stage(params: PyTree, live: Live, _: None) -> tuple[Live, Step]:
        keys, key_learn = stage_keys(live.key, live.stage, shape.copies, shape.steps)
        last = jnp.arange(shape.steps) == shape.steps - 1
        live_copy = lambda keys, *carry: jax.lax.scan(partial(live_step, params, live), carry, (keys, last))
        (memory, inputs, env), steps = jax.vmap(live_copy)(keys, live.memory, live.inputs, live.env)
        adapted = adapter.learn(key_learn, params, live.adapted, steps._replace(measured=()))
        return Live(live.key, live.task, live.stage + 1, adapted, memory, inputs, env), steps

    def begin(key: Key, params: PyTree, tasks: PyTree) -> Live:
        return jax.vmap(partial(be_born, params))(keys_of_each(key, tasks), tasks)

    def collect(key: Key, params: PyTree, live: Live, tasks: PyTree) -> tuple[Live, Lifetimes]:
        start = select(live.stage >= shape.stages, begin(key, params, tasks), live)
        go_on = lambda live: jax.lax.scan(partial(live_stage, params), live, length=shape.stages_per_call)
        end, steps = jax.vmap(go_on)(start)
        over: Array = end.stage >= shape.stages
        return end, Lifetimes(start, steps, end, over)

    return Collector(begin, collect)
