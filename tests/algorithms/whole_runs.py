"""Whole runs, and how the agents that come of them live in new tasks: what the probes with known answers look at."""

import jax

from rl_meta.evaluation.lifetimes import live_through
from rl_meta.tasks.base import draw_tasks
from rl_meta.training.run import build_trainer

LONG = 500_000
"""Environment steps that take longer than it takes to compile a program that is twice as fast."""


def compiled(run, *, optimised):
    """Quickly, unless it runs for so long that optimising is worth the wait."""
    return jax.jit(run, compiler_options={"xla_backend_optimization_level": 1} if optimised else {})


def trained(config, *, updates_often=False):
    """The algorithm, and the meta-state after the whole run. updates_often: few steps take long."""
    train = build_trainer(config)
    key = jax.random.key(config.seed)
    go = lambda state, _: (train.iterate(key, state)[0], None)
    whole = lambda: jax.lax.scan(go, train.init(key), length=config.iterations)[0]
    algorithm = config.method.build(config.method.view(config.family), config.iterations)
    return algorithm, compiled(whole, optimised=updates_often or config.steps >= LONG)().meta


def adapts(config, tasks=400, **how):
    """Lifetimes in new tasks after the whole run. how: as `live_through` takes it."""
    algorithm, state = trained(config)
    drawn = draw_tasks(config.family, jax.random.key(99), tasks, "test")
    seen = config.method.view(config.family)
    return live_through(algorithm.adapter, state.params, seen, config.shape, drawn, jax.random.key(7), **how)
