"""Run directories of agents that were never trained: what merging needs, without the time that training takes."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.training.config import RunConfig
from rl_meta.training.merging import write_merged


def untrained_run(directory, family, method, *, seed=0, seeds=2):
    """Random networks [seeds], with running statistics that differ from seed to seed."""
    config = RunConfig(family, method, steps=1, seed=seed, seeds=seeds)
    init = _init(family, method)
    params = [_moved(init(jax.random.key(seed + i)).params, seed + i) for i in range(seeds)]
    write_merged(directory, config, jax.tree.map(lambda *x: jnp.stack(x), *params), {})
    (directory / "aggregation.json").unlink()
    return directory


@cache
def _init(family, method):
    return jax.jit(method.build(method.view(family), 1).init)


def _moved(params, seed):
    rng = np.random.default_rng(seed)
    move = lambda x: jnp.asarray(x + rng.uniform(0.5, 2.0, x.shape).astype(np.float32))
    return params._replace(normaliser=jax.tree.map(move, params.normaliser))
