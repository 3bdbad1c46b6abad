"""Merging and sweeping from Python and from the command line."""

import json

import pytest

import rl_meta
from rl_meta import cli
from rl_meta.algorithms.multitask import MultiTask
from rl_meta.errors import UserError
from rl_meta.tasks.bandit import Bandit
from untrained import untrained_run

FAMILY = Bandit(arms=3, pulls=8)
FEW = {"tasks": 6}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of two seeds each, and another that is like neither."""
    directory = tmp_path_factory.mktemp("runs")
    method = MultiTask(hidden=(4,), meta_batch_size=8)
    make = lambda name, seed, family: untrained_run(directory / name, family, method, seed=seed)
    return make("a", 0, FAMILY), make("b", 10, FAMILY), make("c", 0, Bandit(arms=2, pulls=8))


def say(capsys, *words):
    """Run `rl-meta`; exit status, and what was said and told off."""
    status = 0
    try:
        cli.main([str(word) for word in words])
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_merged_run_is_evaluated_reported_and_loaded(runs, tmp_path):
    merged = rl_meta.aggregate(runs[:2], out=tmp_path / "merged")
    evaluation = rl_meta.evaluate(merged, baselines=(), **FEW)
    assert (evaluation["seeds"], evaluation["method"]) == (2, "multitask")
    assert rl_meta.report(merged).exists()
    agent = rl_meta.load(merged, seed_index=1)
    agent.begin_task(seed=0)
    assert agent.act(0) in range(3)


def test_a_merged_run_cannot_be_resumed(runs, tmp_path):
    merged = rl_meta.aggregate(runs[:2], out=tmp_path / "merged")
    with pytest.raises(UserError, match="merged from other runs"):
        rl_meta.resume(merged)


def test_a_run_that_has_all_the_weight_is_evaluated_as_itself(runs, tmp_path):
    merged = rl_meta.aggregate(runs[:2], out=tmp_path / "merged", weights=(0, 1))
    evaluate = lambda run: rl_meta.evaluate(run, baselines=(), **FEW)["lifetime"]
    assert evaluate(merged) == evaluate(runs[1])


def test_a_soup_is_not_worse_than_its_best_ingredient(runs, tmp_path):
    told = []
    rl_meta.aggregate(
        runs[:1],
        out=tmp_path / "soup",
        how="soup",
        progress=lambda what, done, total: told.append((done, total)),
        **FEW,
    )
    (weights,) = json.loads((tmp_path / "soup" / "aggregation.json").read_text())["weights_by_seed"]
    assert sorted(weights) in ([0.0, 1.0], [0.5, 0.5])
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.fixture(scope="module")
def swept(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep")
    return out, rl_meta.sweep(*runs[:2], out=out, points=3, split="test", **FEW)


def test_a_sweep_is_written(swept):
    out, told = swept
    assert json.loads((out / "sweep.json").read_text()) == told
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert [row["alpha"] for row in told["points"]] == [0.0, 0.5, 1.0]


def test_the_ends_of_a_sweep_are_the_models_in_the_same_tasks(runs, swept):
    for run, row in zip(runs[:2], swept[1]["points"][::-2], strict=True):
        evaluation = rl_meta.evaluate(run, baselines=(), **FEW)
        assert row["last"] == pytest.approx({k: evaluation["stages"][-1][k] for k in row["last"]})


def test_the_barrier_is_how_far_a_sweep_sags(swept):
    _, told = swept
    second, middle, first = (row["last"]["mean"] for row in told["points"])
    assert told["barrier"] == pytest.approx(max(0.0, (first + second) / 2 - middle), abs=1e-6)


# ------------------------------------------------------------------------------------------- the command line


def test_the_command_merges(runs, tmp_path, capsys):
    out = tmp_path / "merged"
    status, said, _ = say(capsys, "aggregate", *runs[:2], "--weights", 1, 3, "--out", out)
    assert status == 0
    assert said == (
        f"seed 0: weights 0.25, 0.75\nseed 1: weights 0.25, 0.75\nwritten: {out}   next: rl-meta evaluate {out}\n"
    )
    assert json.loads((out / "aggregation.json").read_text())["how"] == "mean"


def test_the_command_sweeps(runs, tmp_path, capsys):
    status, said, _ = say(capsys, "aggregate", *runs[:2], "--sweep", "--points", 2, "--tasks", 6, "--out", tmp_path)
    assert status == 0
    assert f"written: {tmp_path / 'sweep.json'} and {tmp_path / 'sweep.png'}" in said


def test_the_command_prints_json(runs, tmp_path, capsys):
    _, said, _ = say(capsys, "aggregate", runs[0], "--out", tmp_path / "merged", "--json")
    assert json.loads(said)["run"] == str(tmp_path / "merged")


def test_a_result_without_a_directory_gets_a_free_one(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    say(capsys, "aggregate", *runs[:2])
    assert (tmp_path / "runs" / "aggregate-1" / "config.json").exists()


def test_what_the_command_cannot_do_ends_in_one_line(runs, tmp_path, capsys):
    a, b, c = runs
    for words, told in (
        ((a, c), "cannot be merged"),
        ((a, tmp_path / "nothing"), "is not a run directory"),
        ((a, b, "--weights", 1), "one weight for each of the 2 models"),
        ((a, b, "--how", "mena"), "did you mean 'mean'"),
        ((a, b, "--how", "arithmetic"), "a base belongs to"),
        ((a, "--sweep"), "give two, got 1"),
        ((a, b, "--sweep", "--weights", 1, 2), "leave out --weights"),
        ((a, b, "--sweep", "--how", "soup"), "along the line"),
        ((a, b, "--sweep", "--points", 1), "points must be at least 2"),
        ((a, b, "--sweep", "--split", "tset"), "did you mean 'test'"),
        ((), "give several runs"),
    ):
        status, said, error = say(capsys, "aggregate", *words, "--out", tmp_path / "out")
        assert (status, said, error.count("\n")) == (2, "", 1), error
        assert error.startswith("rl-meta: ")
        assert told in error, (words, error)
        assert not (tmp_path / "out").exists()
