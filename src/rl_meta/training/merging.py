"""Runs merged into one: an ordinary run directory whose meta-parameters are made of those of others.

    mean         Σ wᵢ θᵢ, the weights scaled to sum to one: α θ₁ + (1 − α) θ₂ for two models
    spherical    the same way along an arc, between two models
    arithmetic   θ₀ + Σ aᵢ (θᵢ − θ₀), with another run as the base θ₀ and amounts as they are given
    soup         the mean of those that a validation score keeps (see `training.soup`)

Several runs are merged seed by seed; of one run, all seeds are merged into one. See `algorithms.averaging` for what
has to be done before weights may be averaged at all.

A mean of models is a good model where they lie in one basin of the loss, as models do that were trained on from a
common one. Independently trained networks have their units in different orders, and between them there is often a
valley.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_meta.algorithms.averaging import combined
from rl_meta.algorithms.base import Method
from rl_meta.errors import UserError, unknown
from rl_meta.numerics.aggregation import arithmetic, spherical, weighted_mean
from rl_meta.tasks.base import Family
from rl_meta.training.checkpoints import newest_checkpoint, save_checkpoint, write_whole
from rl_meta.training.config import RunConfig, read_config
from rl_meta.training.run import load_params, versions
from rl_meta.types import PyTree

HOW = ("mean", "soup", "arithmetic", "spherical")
FORMAT = 1
PROVENANCE = "aggregation.json"

Models = list[PyTree]
"""Meta-parameters of one seed each, of models to be merged into one."""


@dataclass(frozen=True)
class Trained:
    """A run with its meta-parameters."""

    directory: Path
    config: RunConfig
    params: PyTree
    """[seeds, ...]"""

    def seed(self, index: int) -> PyTree:
        """The model of one seed."""
        return jax.tree.map(lambda x: x[index], self.params)


class Merged(NamedTuple):
    """What a checkpoint of merged runs holds: no optimiser and no lifetimes to go on with."""

    iteration: jax.Array
    meta: "MergedMeta"


class MergedMeta(NamedTuple):
    """Where a run has its meta-state."""

    params: PyTree


def read_trained(
    runs: Sequence[str | Path], *, family: Family | None = None, method: Method | None = None
) -> list[Trained]:
    """The runs, all of one family, method and architecture.

    Raises:
        UserError: there are none, one cannot be read, or one differs from the first.
    """
    if not runs:
        raise UserError("no run to merge: give several runs, or one with several seeds")
    found: list[Trained] = []
    for directory in map(Path, runs):
        config = read_config(directory / "config.json", family=family, method=method)
        one = Trained(directory, config, load_params(config, directory))
        _check_alike(found[0] if found else one, one)
        found.append(one)
    return found


def _check_alike(first: Trained, other: Trained) -> None:
    ours, theirs = first.config, other.config
    where = f"{other.directory} cannot be merged with {first.directory}"
    if theirs.family != ours.family:
        raise UserError(f"{where}: it was trained on {theirs.family}, expected {ours.family}")
    if type(theirs.method) is not type(ours.method):
        names = type(theirs.method).__name__, type(ours.method).__name__
        raise UserError(f"{where}: it was trained by {names[0]}, expected {names[1]}")
    shapes = [
        {jax.tree_util.keystr(path): x.shape[1:] for path, x in jax.tree_util.tree_leaves_with_path(run.params)}
        for run in (first, other)
    ]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        if shapes[0].get(name) != shapes[1].get(name):
            raise UserError(
                f"{where}: its networks have other sizes ({name} is {shapes[1].get(name)}, "
                f"expected {shapes[0].get(name)})"
            )


def groups(runs: Sequence[Trained]) -> list[Models]:
    """Which models are merged with one another: one group for every seed of the result.

    Raises:
        UserError: fewer than two models, or runs with different numbers of seeds.
    """
    if len(runs) == 1:
        (alone,) = runs
        if alone.config.seeds < 2:
            raise UserError(f"{alone.directory} has one seed: give several runs to merge, or one with several seeds")
        return [[alone.seed(index) for index in range(alone.config.seeds)]]
    seeds = {run.config.seeds for run in runs}
    if len(seeds) != 1:
        counts = ", ".join(f"{run.directory}: {run.config.seeds}" for run in runs)
        raise UserError(f"runs are merged seed by seed and must have equally many, got {counts}")
    return [[run.seed(index) for run in runs] for index in range(seeds.pop())]


def checked_weights(how: str, weights: Sequence[float] | None, count: int) -> list[float]:
    """One weight for each of `count` models; for all but `arithmetic` they sum to one.

    Raises:
        UserError: another number of weights, or such as `how` cannot use.
    """
    if how not in HOW:
        raise unknown("way of aggregating", how, HOW)
    if how == "soup" and weights is not None:
        raise UserError("a soup finds out by itself which models to keep: leave out the weights")
    if how == "spherical" and count != 2:
        raise UserError(f"an arc joins two models, got {count}")
    given = [1 / count] * count if weights is None else [float(weight) for weight in weights]
    if len(given) != count:
        raise UserError(f"there must be one weight for each of the {count} models, got {len(given)}")
    if how == "arithmetic":
        return given
    if min(given) < 0 or not 0 < sum(given) < float("inf"):
        raise UserError(f"weights must not be negative, nor all zero, got {given}")
    return [weight / sum(given) for weight in given]


def merge(models: Models, weights: Sequence[float], how: str, family: Family, base: PyTree = None) -> PyTree:
    """One model of several; bit for bit that model which has all the weight.

    Args:
        models: see `Models`.
        weights: as `checked_weights` returns them.
        how: of `HOW`, but for the soup.
        family: as the agents see it.
        base: θ₀, for `arithmetic`.
    """
    shares = jnp.array(weights)
    if how == "arithmetic":
        add = lambda trees: arithmetic(_nth(trees, 0), jax.tree.map(lambda x: x[1:], trees), shares)
        return combined([base, *models], add, jnp.eye(1 + len(models))[0], family)
    if 1.0 in weights:
        return models[list(weights).index(1.0)]
    models, shares = [model for model, w in zip(models, weights, strict=True) if w], shares[shares > 0]
    if how == "spherical":
        arc = lambda trees: spherical(_nth(trees, 0), _nth(trees, 1), shares[0])
        return combined(models, arc, shares, family)
    return combined(models, lambda trees: weighted_mean(trees, shares), shares, family)


def _nth(trees: PyTree, index: int) -> PyTree:
    return jax.tree.map(lambda x: x[index], trees)


def merge_runs(
    runs: Sequence[Trained],
    *,
    how: str,
    weights: Sequence[float] | None,
    base: Trained | None,
    choose: Callable[[int, Models], list[float]] | None = None,
) -> tuple[RunConfig, PyTree, dict[str, Any]]:
    """Configuration (of the first run), meta-parameters [seeds, ...], and what they were made of.

    choose: (index of the group, models) -> weights; where how is `soup`.
    """
    together = groups(runs)
    config = replace(runs[0].config, seeds=len(together))
    if (base is not None) != (how == "arithmetic"):
        raise UserError("a base belongs to `arithmetic`, which needs one: the run that the others were trained on from")
    if base is not None:
        _check_alike(runs[0], base)
        if base.config.seeds not in (1, len(together)):
            raise UserError(f"{base.directory} must have 1 or {len(together)} seeds, got {base.config.seeds}")
    given = checked_weights(how, weights, len(together[0]))
    family = config.method.view(config.family)
    merged, used = [], []
    for index, models in enumerate(together):
        mine = choose(index, models) if choose else given
        theta = base.seed(index % base.config.seeds) if base else None
        merged.append(merge(models, mine, "mean" if how == "soup" else how, family, theta))
        used.append(mine)
    made_of = {
        "format": FORMAT,
        "how": how,
        "runs": [str(run.directory) for run in runs],
        "checkpoints": [newest_checkpoint(run.directory / "checkpoints").name for run in runs],
        "base": str(base.directory) if base else None,
        "weights_by_seed": used,
    }
    return config, jax.tree.map(lambda *x: jnp.stack(x), *merged), made_of


def write_merged(out: Path, config: RunConfig, params: PyTree, made_of: dict[str, Any]) -> None:
    """The run directory of a merged model, with `aggregation.json` about where it is from.

    Raises:
        UserError: the directory holds something.
    """
    check_free(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run directory {out}: {error.strerror}") from None
    for name, text in {
        "config.json": config.to_json(),
        "versions.json": json.dumps(versions(), indent=2) + "\n",
        "metrics.jsonl": "",
        PROVENANCE: json.dumps(made_of, indent=1) + "\n",
    }.items():
        write_whole(out / name, text.encode())
    iteration = jnp.full(config.seeds, config.iterations)
    save_checkpoint(out / "checkpoints", config.iterations, Merged(iteration, MergedMeta(params)))


def check_free(out: Path) -> None:
    """Nothing is overwritten."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty: choose another directory for the merged model")
