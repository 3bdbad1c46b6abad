"""Whole runs, and how the agents that come of them live in new tasks: what the probes with known answers look at."""

import jax

from rl_meta.evaluation.lifetimes import live_through
from rl_meta.tasks.base import draw_tasks
from rl_meta.training.run import build_trainer


def trained(config):
    """Adapter and meta-parameters after the whole run."""
    train = build_trainer(config)
    key = jax.random.key(config.seed)
    go = lambda state, _: (train.iterate(key, state)[0], None)
    state = jax.jit(lambda: jax.lax.scan(go, train.init(key), length=config.iterations)[0])()
    seen = config.method.view(config.family)
    return config.method.build(seen, config.iterations).adapter, state.meta.params


def adapts(config, tasks=400, **how):
    """Lifetimes in new tasks after the whole run. how: as `live_through` takes it."""
    adapter, params = trained(config)
    drawn = draw_tasks(config.family, jax.random.key(99), tasks, "test")
    seen = config.method.view(config.family)
    return live_through(adapter, params, seen, config.shape, drawn, jax.random.key(7), **how)
