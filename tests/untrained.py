"""Run directories of agents that were never trained: what merging needs, without the time that training takes."""

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.training.config import RunConfig
from rl_meta.training.merging import write_merged


def untrained_run(directory, family, method, *, seed=0, seeds=2):
    """Random networks [seeds], with running statistics that differ from seed to seed."""
    config = RunConfig(family, method, steps=1, seed=seed, seeds=seeds)
    init = method.build(method.view(family), 1).init
    params = [_moved(init(jax.random.key(seed + i)).params, seed + i) for i in range(seeds)]
    write_merged(directory, config, jax.tree.map(lambda *x: jnp.stack(x), *params), {})
    (directory / "aggregation.json").unlink()
    return directory


def _moved(params, seed):
    rng = np.random.default_rng(seed)
    move = lambda x: x + jnp.float32(rng.uniform(0.5, 2.0, x.shape))
    return params._replace(normaliser=jax.tree.map(move, params.normaliser))
