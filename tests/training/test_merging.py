"""Runs merged into one, whatever method they are of."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.rl2 import RL2
from rl_meta.errors import UserError
from rl_meta.tasks.bandit import Bandit
from rl_meta.training.config import read_config
from rl_meta.training.merging import checked_weights, groups, merge, merge_runs, read_trained, write_merged
from rl_meta.training.run import load_params
from untrained import untrained_run

FAMILY = Bandit(arms=3, pulls=8)
METHODS = {
    "rl2": RL2(memory=4, encoder=(4,), meta_batch_size=8),
    "multitask": MultiTask(hidden=(4,), meta_batch_size=8),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module", params=METHODS)
def runs(request, directory):
    """Two runs of two seeds each."""
    make = lambda seed: untrained_run(directory / f"{request.param}-{seed}", FAMILY, METHODS[request.param], seed=seed)
    return [make(0), make(10)]


def other(directory, name, family=FAMILY, method=METHODS["multitask"], seeds=2):
    return untrained_run(directory / name, family, method, seeds=seeds)


def params_of(run):
    return load_params(read_config(run / "config.json"), run)


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.mark.parametrize("how", ["mean", "spherical"])
@pytest.mark.parametrize(("weights", "which"), [((1.0, 0.0), 0), ((0.0, 3.0), 1)])
def test_with_all_the_weight_a_run_is_itself_bit_for_bit(runs, how, weights, which):
    _, params, _ = merge_runs(read_trained(runs), how=how, weights=weights, base=None)
    assert_same(params, params_of(runs[which]))


@pytest.mark.parametrize("how", ["mean", "spherical"])
def test_a_run_merged_with_itself_is_itself(runs, how):
    _, params, _ = merge_runs(read_trained([runs[0], runs[0]]), how=how, weights=(0.3, 0.7), base=None)
    for x, y in zip(jax.tree.leaves(params), jax.tree.leaves(params_of(runs[0])), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_what_was_learned_after_the_base_and_once_added_is_the_run(runs):
    a, b = read_trained(runs)
    _, params, _ = merge_runs([b, b], how="arithmetic", weights=(1.5, -0.5), base=a)
    family = b.config.method.view(FAMILY)
    expected = [merge([b.seed(i)], (1.0,), "arithmetic", family, a.seed(i)) for i in (0, 1)]
    expected = jax.tree.map(lambda *x: np.stack(x), *expected)
    for x, y in zip(jax.tree.leaves(params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4)


def test_runs_are_merged_seed_by_seed_and_one_run_over_its_seeds(runs):
    both = read_trained(runs)
    assert [len(models) for models in groups(both)] == [2, 2]
    assert_same(groups(both)[1][0], both[0].seed(1))
    assert [len(models) for models in groups(both[:1])] == [2]
    config, params, made_of = merge_runs(both[:1], how="mean", weights=None, base=None)
    assert (config.seeds, len(jax.tree.leaves(params)[0])) == (1, 1)
    assert made_of["weights_by_seed"] == [[0.5, 0.5]]


def test_a_merged_run_is_a_run_and_knows_where_it_is_from(runs, tmp_path):
    config, params, made_of = merge_runs(read_trained(runs), how="mean", weights=(1, 3), base=None)
    write_merged(tmp_path / "merged", config, params, made_of)
    assert read_config(tmp_path / "merged" / "config.json") == read_trained(runs)[0].config
    assert_same(params_of(tmp_path / "merged"), params)
    told = json.loads((tmp_path / "merged" / "aggregation.json").read_text())
    assert told["runs"] == [str(run) for run in runs]
    assert told["weights_by_seed"] == [[0.25, 0.75]] * 2


def test_weights_are_scaled_to_sum_to_one_but_for_amounts():
    assert checked_weights("mean", (1, 3), 2) == [0.25, 0.75]
    assert checked_weights("mean", None, 4) == [0.25] * 4
    assert checked_weights("arithmetic", (1, -3), 2) == [1.0, -3.0]


@pytest.mark.parametrize(
    ("how", "weights", "count", "words"),
    [
        ("means", None, 2, "did you mean 'mean'"),
        ("mean", (1, 2, 3), 2, "one weight for each of the 2 models, got 3"),
        ("mean", (-1, 2), 2, "must not be negative"),
        ("mean", (0, 0), 2, "nor all zero"),
        ("mean", (float("nan"), 1), 2, "must not be negative"),
        ("soup", (1, 2), 2, "leave out the weights"),
        ("spherical", None, 3, "an arc joins two models, got 3"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(how, weights, count, words):
    with pytest.raises(UserError, match=words):
        checked_weights(how, weights, count)


def test_runs_that_do_not_belong_together_are_refused(directory):
    run = other(directory, "first")
    for name, words, settings in (
        ("family", "was trained on", {"family": replace(FAMILY, pulls=9)}),
        ("method", "trained by RL2, expected MultiTask", {"method": METHODS["rl2"]}),
        ("sizes", "other sizes", {"method": replace(METHODS["multitask"], hidden=(5,))}),
    ):
        with pytest.raises(UserError, match=words):
            read_trained([run, other(directory, name, **settings)])
    alone = other(directory, "alone", seeds=1)
    with pytest.raises(UserError, match="equally many"):
        groups(read_trained([run, alone]))
    with pytest.raises(UserError, match="has one seed"):
        groups(read_trained([alone]))


def test_a_base_belongs_to_arithmetic(directory):
    both = read_trained([other(directory, "one"), other(directory, "two")])
    for how, base in (("arithmetic", None), ("mean", both[0])):
        with pytest.raises(UserError, match="a base belongs to `arithmetic`"):
            merge_runs(both, how=how, weights=None, base=base)


def test_nothing_is_overwritten(runs, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        write_merged(tmp_path, *merge_runs(read_trained(runs), how="mean", weights=None, base=None))
