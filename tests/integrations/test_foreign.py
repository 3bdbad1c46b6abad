"""The outer loop over a learner that is known in closed form: it moves half-way to its task's number."""

import json
from contextlib import closing
from functools import partial

import numpy as np
import pytest

import rl_meta
from integrations.toy_learners import HalfWay, Wavering
from rl_meta.cli import main
from rl_meta.collection.crew import Crew
from rl_meta.collection.processes import Processes
from rl_meta.errors import UserError
from rl_meta.integrations.foreign import ForeignLearner, ForeignReptile, lessons_of, meta_train
from rl_meta.integrations.learners import learner_of
from rl_meta.tasks.probes import AimAt


def trained(tmp_path, learner, *, steps, crew=None, report=lambda line: None, **settings):
    made = ForeignReptile(meta_batch_size=4, task_steps=10, outer_anneal_to=1.0, **settings)
    return meta_train(learner, AimAt(), made, out=tmp_path / "out", steps=steps, seed=2, crew=crew, report=report)


def lines_of(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_the_meta_model_moves_by_its_rate_toward_the_mean(tmp_path):
    learner = HalfWay()
    assert isinstance(learner, ForeignLearner)
    out = trained(tmp_path, learner, steps=40, outer_rate=0.5)
    assert len(set(learner.goals)) > 1
    assert learner.x == pytest.approx(0.5 * np.mean(learner.goals) / 2)
    assert float((out / "model.zip").read_text()) == pytest.approx(float(learner.x))


def test_every_task_begins_from_the_meta_model(tmp_path):
    learner = HalfWay()
    trained(tmp_path, learner, steps=80)
    first, second = np.mean(learner.goals[:4]) / 2, learner.begun[5:9]
    assert learner.begun[:4] == [0.0] * 4
    np.testing.assert_allclose(second, [first] * 4, rtol=1e-6)


def test_a_model_with_a_higher_return_counts_more(tmp_path):
    learner = HalfWay()
    trained(tmp_path, learner, steps=40, weighting="return", temperature=0.01)
    assert learner.x == pytest.approx(max(learner.goals) / 2, abs=1e-4)


def test_what_was_made_is_written_down(tmp_path):
    out = trained(tmp_path, HalfWay(), steps=80)
    assert [line["env_steps"] for line in lines_of(out)] == [40, 80]
    assert json.loads((out / "learner.json").read_text())["settings"]["meta_batch_size"] == 4


def test_a_directory_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not empty: choose another directory"):
        trained(tmp_path, HalfWay(), steps=40)


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(tmp_path):
    def stop(line):
        if line["iteration"] == 2:
            raise KeyboardInterrupt

    whole = trained(tmp_path / "whole", Wavering(), steps=160)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", Wavering(), steps=160, report=stop)
    (tmp_path / "cut" / "out" / "model.zip").write_text("torn")
    cut = trained(tmp_path / "cut", Wavering(), steps=160)
    told = lambda run: [{k: v for k, v in line.items() if "per_second" not in k} for line in lines_of(run)]
    assert told(cut) == told(whole)
    assert len(lines_of(cut)) == 4
    assert (cut / "model.zip").read_text() == (whole / "model.zip").read_text()


def test_a_run_with_other_settings_is_not_gone_on_with(tmp_path):
    trained(tmp_path, HalfWay(), steps=40)
    with pytest.raises(UserError, match="holds a run with other settings: continue it with --resume"):
        trained(tmp_path, HalfWay(), steps=80)


def test_weighting_by_return_needs_returns(tmp_path):
    with pytest.raises(UserError, match="no episode ended within 10 steps: give more task_steps"):
        trained(tmp_path, HalfWay(returned=lambda goal: float("nan")), steps=40, weighting="return")


def test_settings_out_of_range_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"outer_rate must be in \[0, 1\], got 2"):
        trained(tmp_path, HalfWay(), steps=40, outer_rate=2.0)


def test_workers_learn_the_same_also_when_one_dies(tmp_path, monkeypatch):
    out = trained(tmp_path, Wavering(), steps=80, weighting="return")
    alone = float((out / "model.zip").read_text())
    monkeypatch.setenv("GRAVE", str(tmp_path / "grave"))
    with closing(Crew(Processes(partial(lessons_of, Wavering)), 2)) as crew:
        trained(tmp_path / "two", Wavering(), steps=80, weighting="return", crew=crew)
    out = tmp_path / "two" / "out"
    assert float((out / "model.zip").read_text()) == alone
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert (line["worker_deaths"], line["tasks_done_again"]) == (1, 1)


def test_a_learner_that_cannot_be_reseeded_is_refused_by_workers():
    with pytest.raises(UserError, match="HalfWay has no `reseed`"):
        lessons_of(HalfWay)


def test_an_unknown_library_is_named(tmp_path):
    with pytest.raises(UserError, match="unknown library of learners 'sb4': did you mean 'sb3'"):
        rl_meta.train_learner("bandit", "sb4:PPO", out=tmp_path / "out", steps=10)


@pytest.mark.parametrize(("library", "extra"), [("sb3", "sb3"), ("rllib", "ray,torch")])
def test_a_missing_extra_is_named_with_its_install_command(library, extra, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, f"rl_meta.integrations.{library}", None)
    with pytest.raises(UserError, match=rf"pip install 'rl-meta\[{extra}\]'"):
        learner_of(f"{library}:PPO", AimAt(), n_envs=2, seed=0, settings={})


def test_another_method_than_reptile_takes_no_learner(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "bandit", "rl2", "--learner", "sb3:PPO"])
    assert end.value.code == 2
    assert "goes with a family and the method reptile, got bandit rl2" in capsys.readouterr().err


class Updating(HalfWay):
    update_steps = 8


def test_steps_are_those_of_whole_updates(tmp_path):
    out = trained(tmp_path, Updating(), steps=100)
    assert [line["env_steps"] for line in lines_of(out)] == [64, 128]


def test_a_task_of_fewer_steps_than_an_update_is_refused(tmp_path):
    learner = Updating()
    learner.update_steps = 11
    with pytest.raises(UserError, match="an update of this learner takes 11 steps, a task has 10"):
        trained(tmp_path, learner, steps=40)
    assert not (tmp_path / "out").exists()


def test_a_run_that_diverges_ends(tmp_path):
    class Falling(HalfWay):
        def learn(self, task, steps):
            self.x = np.float32("nan")
            return 0.0

    with pytest.raises(UserError, match="has diverged: a model is not finite any more"):
        trained(tmp_path, Falling(), steps=40)


def test_a_seed_is_no_setting_of_the_learner(tmp_path):
    with pytest.raises(UserError, match="seed must be given apart from the settings of the learner"):
        rl_meta.train_learner("bandit", "sb3:PPO", out=tmp_path / "out", steps=10, settings={"seed": 3})
