"""What is tried, checked before anything starts, and what is written of it."""

import json
import sys
from pathlib import Path

import pytest

import rl_meta
from rl_meta.errors import UserError
from rl_meta.training.config import RunConfig
from rl_meta.tuning.results import Results, Search, Trial, begin, read
from tuned import Leaning, SecondArmPays

OWN = {"family": SecondArmPays(), "method": Leaning()}
VALUES = [{"method.rate": 0.5, "method.widths": (8, 8)}, {"method.rate": 1.5, "method.widths": (4,)}]


def search(**settings):
    base = RunConfig(SecondArmPays(), Leaning(), steps=160)
    return Search(base, **{"trials": 2, "ranges": {"method.rate": "0.5:2"}, **settings})


def test_what_is_written_is_read_again(tmp_path):
    results = begin(tmp_path / "out", search(), VALUES)
    results.add_score(results.trials[0], 16, 3.5)
    results.trials[0].state = "running"
    results.write()
    again = read(tmp_path / "out", **OWN)
    assert (again.search, again.trials) == (results.search, results.trials)
    assert again.search.config(again.trials[1].values).method == Leaning(rate=1.5, widths=(4,))


def test_the_same_search_in_the_same_directory_goes_on_and_another_is_refused(tmp_path):
    begin(tmp_path, search(), VALUES).add_score(Trial(0, {}), 16, 1.0)
    assert [trial.values for trial in begin(tmp_path, search(), VALUES).trials] == VALUES
    with pytest.raises(UserError, match=r"holds other trials: go on with --resume"):
        begin(tmp_path, search(tasks=5), VALUES)


def test_values_that_contradict_each_other_are_told_before_anything_is_written(tmp_path):
    message = r"trial 1 \(method.parts=3\): parts must divide the 4 tasks, got 3"
    with pytest.raises(UserError, match=message):
        begin(tmp_path / "out", search(), [{"method.parts": 2}, {"method.parts": 3}])
    assert not (tmp_path / "out").exists()


def test_a_score_that_is_told_again_counts_once(tmp_path):
    results = Results(tmp_path, search(), [Trial(0, {})])
    for env_steps in (16, 32, 16, 32, 48):
        results.add_score(results.trials[0], env_steps, 1.0)
    results.add_score(results.trials[0], 64, -float("inf"))
    assert [row["env_steps"] for row in results.trials[0].scores] == [16, 32, 48, 64]
    assert json.loads(json.dumps(results.to_plain(), allow_nan=False))["trials"][0]["score"] is None


def test_the_best_trial_is_one_that_went_to_the_end():
    row = lambda score: [{"env_steps": 16, "score": score}]
    trials = [Trial(0, {}, "stopped", row(9.0)), Trial(1, {}, "finished", row(2.0)), Trial(2, {}, "finished", row(3.0))]
    assert Results(Path(), search(), trials).best.number == 2
    assert Results(Path(), search(), trials[:1]).best.number == 0
    assert Results(Path(), search(), [Trial(0, {})]).best is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"tasks": 0}, "tasks must be at least 1, got 0"),
        ({"schedule": "ahsa"}, "unknown schedule 'ahsa': did you mean 'asha'"),
    ],
)
def test_a_search_that_cannot_be_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        search(**settings)


def test_a_family_without_validation_tasks_is_refused():
    class Without(SecondArmPays):
        splits = ("train", "test")

    with pytest.raises(UserError, match="trials are scored in validation tasks, and Without has none"):
        Search(RunConfig(Without(), Leaning()), 2, {})


@pytest.mark.parametrize(
    ("text", "message"), [("[]", "is not what `rl-meta tune` writes"), ('{"format": 9, "trials": []}', "has format 9")]
)
def test_another_file_is_not_a_search(text, message, tmp_path):
    (tmp_path / "trials.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_a_missing_extra_is_named_with_its_install_command_before_anything_is_written(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'rl-meta\[ray\]'"):
        rl_meta.tune(**OWN, out=tmp_path / "out", trials=2, steps=160)
    with pytest.raises(UserError, match="has no trials: cannot read trials"):
        rl_meta.resume_tuning(tmp_path / "out")
