import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.progress import Progress

import rl_meta
from rl_meta import api
from rl_meta.cli import main
from rl_meta.errors import UserError
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.distributions import Uniform
from rl_meta.tasks.gymnasium_env import GymnasiumFamily
from rl_meta.training.catalogue import FAMILIES, METHODS
from rl_meta.training.checkpoints import newest_checkpoint
from rl_meta.training.config import read_config
from rl_meta.training.run import train_run

COMMANDS = (
    "demo",
    "list",
    "train",
    "train bandit rl2",
    "tune",
    "tune bandit rl2",
    "evaluate",
    "report",
    "aggregate",
    "export",
)
SETTINGS = (
    "--seed 3 --steps 768 --family.arms 2 --family.pulls 4 --method.memory 8 --method.encoder "
    "--method.meta-batch-size 8 --method.lifetime-episodes 2 --method.segment-episodes 1 --method.learning-rate 1e-3"
)
ROW = {"env_steps", "mean", "iqm", "low", "high", "p20"}
IMPORT_SECONDS = 1.0
"""What importing the package may take, in time of the processor."""


class Said(NamedTuple):
    """What came of a command."""

    status: object
    out: str
    err: str


def say(line, *paths):
    """Run `rl-meta` in this process; every `{}` of the line is a path."""
    words = [str(path) for word in line.split() for path in ([paths[0]] if word == "{}" else [word])]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as end:
            status = end.code
    return Said(status, out.getvalue(), err.getvalue())


def in_a_process(*words):
    """Run the installed command."""
    command = Path(sys.executable).with_name("rl-meta")
    return subprocess.run([command, *words], capture_output=True, text=True, check=False)


def arrays(run):
    return newest_checkpoint(run / "checkpoints").read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, and what the command said."""
    run = tmp_path_factory.mktemp("runs") / "run"
    return run, say(f"train bandit rl2 --out {{}} {SETTINGS}", run)


@pytest.fixture(scope="module")
def run(trained):
    return trained[0]


@pytest.fixture(scope="module")
def evaluated(run):
    """What `evaluate --json` said, with a baseline."""
    return say("evaluate {} --tasks 6 --baseline-tasks 1 --json", run)


@pytest.fixture(scope="module")
def evaluation(evaluated):
    return json.loads(evaluated.out)


@pytest.fixture
def told(monkeypatch):
    """Nothing is trained; what the command asks for is kept."""
    kept = []
    monkeypatch.setattr(api, "train", lambda *words, **options: kept.append((words, options)))
    return kept


# ------------------------------------------------------------------------------------------- train


def test_training_ends_well_and_says_what_is_next(trained):
    run, said = trained
    assert (said.status, said.out) == (0, f"trained: {run}   next: rl-meta evaluate {run}\n")


def test_a_run_directory_has_everything_in_it(run):
    expected = {"config.json", "versions.json", "metrics.jsonl", "tensorboard", "checkpoints"}
    assert expected <= {path.name for path in run.iterdir()}


def test_the_options_of_the_command_line_are_those_of_the_run(run):
    config = read_config(run / "config.json")
    assert (config.seed, config.steps, config.family) == (3, 768, Bandit(arms=2, pulls=4))
    assert (config.method.memory, config.method.meta_batch_size, config.method.learning_rate) == (8, 8, 1e-3)


def test_fields_of_family_and_method_are_options(told):
    say("train bandit rl2 --out x --family.arms 5 --family.pulls 10 --method.learning-rate 1e-2 --method.encoder 8 4")
    ((family, method), _), *_ = told
    assert (family, method.learning_rate, method.encoder) == (Bandit(arms=5, pulls=10), 1e-2, (8, 4))


def test_several_seeds_are_an_option(told):
    say("train bandit rl2 --out x --seeds 5")
    assert told[0][1]["seeds"] == 5


def test_a_run_without_a_directory_gets_a_free_one(told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "bandit-rl2-1").mkdir(parents=True)
    said = say("train bandit rl2")
    assert told[0][1]["out"] == Path("runs/bandit-rl2-2")
    assert "trained: runs/bandit-rl2-2" in said.out


def test_any_environment_of_gymnasium_is_a_family(told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = say("train gym:CartPole-v1 rl2 --vary length=0.25:1.0 --vary tau=0.02,0.03 --family.max-steps 9 --steps 1")
    assert said.status == 0
    ((family, _), options), *_ = told
    assert (family.env, family.vary, family.horizon) == ("CartPole-v1", ("length=0.25:1.0", "tau=0.02,0.03"), 9)
    assert options["out"] == Path("runs/gym-CartPole-v1-rl2-1")


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch):
    def interrupted(*words, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "train", interrupted)
    said = say("train bandit rl2 --out {}", tmp_path / "run")
    assert said.status == 130
    assert f"Continue with: rl-meta train --resume {tmp_path / 'run'}" in said.err


def test_a_run_that_was_stopped_is_resumed_to_the_same_state(run, tmp_path):
    stop = lambda line: signal.raise_signal(signal.SIGINT) if line["iteration"] == 5 else None
    with pytest.raises(KeyboardInterrupt):
        train_run(read_config(run / "config.json"), tmp_path / "run", report=stop)
    said = say("train --resume {}", tmp_path / "run")
    assert (said.status, said.out.split("   ")[0]) == (0, f"trained: {tmp_path / 'run'}")
    assert arrays(tmp_path / "run") == arrays(run)


# ------------------------------------------------------------------------------------------- tune


def trials_of(out, *rows):
    """What `api.tune` returns: the first trial went to the end, the others did not."""
    row = lambda i, score: {"number": i, "values": {"method.trace": 0.5 + i / 10}, "score": score, "error": None}
    trials = [
        row(i, score) | {"state": state, "scores": [{"env_steps": 10, "score": score}], "run": f"{out}/trials/00{i}"}
        for i, (state, score) in enumerate(rows)
    ]
    best = max(range(len(rows)), key=lambda i: (rows[i][0] == "finished", rows[i][1] or -1))
    return {"trials": trials, "ranges": {"method.trace": "0.5:0.9"}, "tasks": 7, "best": best}


@pytest.fixture
def tried(monkeypatch):
    """No trial is run; what the command asks for is kept."""
    kept = []
    told = trials_of("x", ("stopped", 9.0), ("finished", 3.25), ("failed", None))
    told["trials"][2]["error"] = "the run has diverged"
    monkeypatch.setattr(
        api, "tune", lambda *words, report, **options: report(told) or kept.append((words, options)) or told
    )
    monkeypatch.setattr(api, "resume_tuning", lambda out, **options: kept.append((out, options)) or told)
    return kept


def test_the_options_of_tuning_are_those_of_the_search(tried):
    line = "tune bandit rl2 --family.arms 3 --method.memory 8 --trials 4 --steps 100 --tasks 7 --parallel 2 --seed 5"
    said = say(f"{line} --schedule none --range method.trace=0.5:0.9 --range family.pulls=choice:5,10 --out x --json")
    ((family, method), options), *_ = tried
    assert (family, method.memory, options["out"]) == (Bandit(arms=3), 8, Path("x"))
    assert options["ranges"] == {"method.trace": "0.5:0.9", "family.pulls": "choice:5,10"}
    named = [options[name] for name in ("trials", "steps", "tasks", "parallel", "seed", "schedule")]
    assert named == [4, 100, 7, 2, 5, "none"]
    assert len(json.loads(said.out)["trials"]) == 3


def test_trials_are_told_in_a_table_and_the_best_is_what_is_next(tried):
    said = say("tune --resume x --parallel 3")
    assert (said.status, tried[0][0], tried[0][1]["parallel"]) == (0, Path("x"), 3)
    rows = [line for line in said.out.splitlines() if "finished" in line or "stopped" in line]
    assert ["finished" in row for row in rows] == [True, False]
    assert "3.25" in rows[0]
    assert "trial 2 failed: the run has diverged" in said.out
    assert said.out.endswith("best: trial 1   next: rl-meta evaluate x/trials/001\n")


def test_trials_that_are_stopped_say_how_to_go_on(tried, monkeypatch):
    def interrupted(*words, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "tune", interrupted)
    said = say("tune bandit rl2 --out x")
    assert (said.status, said.err) == (130, "stopped; saved. Continue with: rl-meta tune --resume x\n")


# ------------------------------------------------------------------------------------------- evaluate


def test_standard_output_is_one_json_object_alone(evaluated):
    assert evaluated.status == 0
    assert isinstance(json.loads(evaluated.out), dict)


def test_an_evaluation_has_the_keys_that_programs_rely_on(evaluation):
    keys = {"family", "method", "split", "tasks", "seeds", "stages", "episodes", "delta", "baselines"}
    assert keys <= evaluation.keys()


def test_an_evaluation_says_what_was_evaluated(evaluation):
    names = ("family", "method", "split", "tasks", "seeds")
    assert tuple(evaluation[name] for name in names) == ("bandit", "rl2", "test", 6, 1)


@pytest.mark.parametrize(("field", "name"), [("stages", "stage"), ("episodes", "episode")])
def test_every_row_of_an_evaluation_has_what_programs_rely_on(field, name, evaluation):
    lists = [evaluation[field], *(baseline[field] for baseline in evaluation["baselines"].values())]
    assert all(rows and all(set(row) == {name} | ROW for row in rows) for rows in lists)


def test_environment_steps_are_counted_from_the_start_of_the_task(evaluation):
    assert [row["env_steps"] for row in evaluation["stages"]] == [4, 8]
    assert [row["env_steps"] for row in evaluation["episodes"]] == [4, 8]


def test_the_difference_that_adaptation_makes_has_an_interval(evaluation):
    assert {"mean", "low", "high"} <= evaluation["delta"].keys()


def test_learning_from_scratch_stands_beside_it(evaluation):
    assert evaluation["baselines"]["scratch"]["tasks"] == 1
    assert {"return", "steps", "times", "at_least"} <= evaluation["speedup"]["scratch"].keys()


def test_what_is_printed_is_what_is_written(run, evaluation):
    assert json.loads((run / "evaluation.json").read_text()) == evaluation


def test_a_report_is_written(run, evaluation):
    said = say("report {}", run)
    assert (said.status, said.out) == (0, f"written: {run / 'report.html'}\n")
    assert (run / "report.html").read_text().rstrip().endswith("</html>")


@pytest.fixture(scope="module")
def rivals(run, evaluated, tmp_path_factory):
    """The run, set beside two copies of itself, as a table and as written."""
    copies = [tmp_path_factory.mktemp("runs") / name for name in ("one", "two")]
    for copy in copies:
        shutil.copytree(run, copy)
    mine = tmp_path_factory.mktemp("runs") / "mine"
    shutil.copytree(run, mine)
    said = say(f"evaluate {{}} --tasks 6 --against {copies[0]} {copies[1]} --baselines", mine)
    return said, json.loads((mine / "evaluation.json").read_text())


def test_without_json_there_is_a_table(rivals):
    said, _ = rivals
    assert said.status == 0
    assert "rl2 on 6 test tasks of bandit" in said.out


def test_another_run_stands_beside_it_on_the_same_tasks(rivals):
    _, found = rivals
    assert found["baselines"]["rl2"]["stages"] == found["stages"]


def test_two_runs_of_one_method_stand_beside_it(rivals):
    _, found = rivals
    assert len(found["baselines"]) == 2


def test_every_agent_that_adapts_has_one_progress_bar(run, evaluation, monkeypatch):
    bars = []

    def evaluate(*words, progress, **options):
        for what, done in (("rl2", 1), ("rl2", 2), ("scratch", 1)):
            progress(what, done, 4)
        return evaluation

    add = Progress.add_task
    monkeypatch.setattr(api, "evaluate", evaluate)
    monkeypatch.setattr(Progress, "add_task", lambda bar, name, **how: bars.append(name) or add(bar, name, **how))
    say("evaluate {} --json", run)
    assert bars == ["adapting (rl2)", "adapting (scratch)"]


# ------------------------------------------------------------------------------------------- list, demo, help


def test_the_list_names_everything(run):
    said = say("list --json")
    found = json.loads(said.out)
    assert (found["family"].keys(), found["method"].keys()) == (FAMILIES.keys(), METHODS.keys())


@pytest.mark.parametrize(
    ("kind", "name", "what"), [("family", "bandit", "slot machines"), ("method", "multitask", "all tasks")]
)
def test_the_list_says_what_everything_is(kind, name, what):
    assert what in json.loads(say("list --json").out)[kind][name]


def test_the_list_tells_everything_apart():
    for entries in json.loads(say("list --json").out).values():
        assert len(set(entries.values())) == len(entries)


def test_the_list_says_of_a_method_what_it_does_in_a_short_line():
    said = json.loads(say("list --json").out)["method"]
    assert [name for name, line in said.items() if not 20 <= len(line) <= 70] == []


def test_the_list_is_for_people_as_well():
    said = say("list")
    assert all(name in said.out for name in (*FAMILIES, *METHODS))


def test_the_demo_trains_evaluates_and_reports(told, evaluation, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "evaluate", lambda run, **options: told.append(options) or evaluation)
    monkeypatch.setattr(api, "report", lambda run: run / "report.html")
    said = say("demo --out {}", tmp_path / "demo")
    assert (said.status, told[0][0], told[1]["tasks"]) == (0, ("cartpole", "rl2"), 200)
    assert said.out.rstrip().endswith(f"look at: {tmp_path / 'demo' / 'report.html'}")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_ends_well(command):
    said = say(f"{command} --help")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("usage: rl-meta")


def test_help_shows_the_fields_of_family_and_method():
    said = say("train bandit rl2 --help")
    assert all(option in said.out for option in ("--family.arms", "--method.learning-rate", "--steps", "--out"))


def test_the_version_is_told():
    assert say("--version").out == f"rl-meta {rl_meta.__version__}\n"


# ------------------------------------------------------------------------------------------- wrong input


def refused(said):
    """The last line of standard error, of a command that was refused."""
    assert said.status == 2
    assert "Traceback" not in said.err
    return said.err.rstrip("\n").splitlines()[-1]


def test_a_rate_out_of_range_is_refused(tmp_path):
    said = say("train cartpole rl2 --method.learning-rate -1 --out {}", tmp_path / "run")
    assert refused(said) == "rl-meta: RL2.learning_rate must be more than 0, got -1.0"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train bandit rl2 --method.learning-rate -1", "train --resume x", "evaluate x"])
def test_wrong_input_is_told_in_one_line(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = say(command)
    assert said.err.strip("\n") == refused(said)
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train cartpol rl2", "unknown family 'cartpol': did you mean 'cartpole'?"),
        ("train cartpole rl3", "unknown method 'rl3': did you mean 'rl2'?"),
        ("evalute x", "unknown command 'evalute': did you mean 'evaluate'?"),
        ("train bandit rl2 --method.chunk-steps 3", "chunk_steps must divide the 10 steps of a segment, got 3"),
        ("train bandit rl2 --seeds 0", "RunConfig.seeds must be at least 1, got 0"),
        ("tune bandit rl2 --range method.learnin-rate=1:2", "unknown field 'method.learnin-rate': did you mean"),
        ("tune bandit rl2 --range method.learning-rate", "--range must be like method.learning-rate=log:1e-4:1e-2"),
        ("tune --resume nowhere", "nowhere has no trials: cannot read trials.json"),
        ("train --resume nowhere", "nowhere is not a run directory"),
        ("evaluate nowhere", "nowhere is not a run directory"),
        ("report nowhere", "nowhere is not a directory"),
    ],
)
def test_wrong_input_is_told_with_what_is_right(command, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused(say(command)).startswith(f"rl-meta: {message}")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_parameter_of_an_environment_is_told_before_training(tmp_path):
    done = in_a_process("train", "gym:CartPole-v1", "rl2", "--vary", "lenght=1:2", "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    assert done.stderr.startswith("rl-meta: unknown parameter of the environment 'lenght': did you mean 'length'?")
    assert not (tmp_path / "run").exists()


def test_an_unknown_option_is_answered_with_the_nearest_one():
    said = say("train bandit rl2 --method.learnin-rate 1")
    assert said.status == 2
    assert "--method.learning-rate" in said.err


@pytest.mark.parametrize("command", ["", "train", "train bandit", "tune bandit"])
def test_a_command_that_is_not_whole_shows_its_usage(command):
    said = say(command)
    assert said.status == 2
    assert said.out.startswith("usage: rl-meta")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--split tset", "unknown split of Bandit 'tset': did you mean 'test'?"),
        ("--split extrapolation", "unknown split of Bandit 'extrapolation'"),
        ("--tasks 0", "tasks must be at least 1, got 0"),
        ("--stages 0", "stages must be at least 1, got 0"),
        ("--seed -3", "seed must be from 0 to 4294967295, got -3"),
        ("--baselines rl2", "'rl2' has to be trained first"),
    ],
)
def test_wrong_options_of_an_evaluation_are_refused(options, message, run):
    assert refused(say(f"evaluate {{}} {options}", run)).startswith(f"rl-meta: {message}")


def test_a_run_without_a_checkpoint_cannot_be_evaluated(run, tmp_path):
    shutil.copy(run / "config.json", tmp_path)
    assert "no checkpoint in" in refused(say("evaluate {}", tmp_path))


def test_a_broken_checkpoint_is_told(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    checkpoint = newest_checkpoint(tmp_path / "run" / "checkpoints")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    assert "cannot read the checkpoint" in refused(say("evaluate {}", tmp_path / "run"))


def test_a_run_of_a_newer_version_is_told(run, tmp_path):
    plain = json.loads((run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**plain, "format": 99}))
    assert "install the version named in versions.json" in refused(say("evaluate {}", tmp_path))


# ------------------------------------------------------------------------------------------- as a program


def test_the_program_ends_with_status_2_after_wrong_input():
    done = in_a_process("train", "cartpol", "rl2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rl-meta: unknown family 'cartpol': did you mean 'cartpole'?")
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def imported():
    """Processor seconds, and which heavy packages came along."""
    code = """
import sys, time
began = time.process_time()
import rl_meta
from rl_meta.errors import UserError
print(time.process_time() - began, *(name for name in ("jax", "matplotlib", "tyro", "rich") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_package_is_quick(imported):
    assert float(imported[0]) < IMPORT_SECONDS


def test_importing_the_package_imports_nothing_heavy(imported):
    assert imported[1:] == []


def test_a_module_is_imported_first_where_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "registers.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control.pendulum import PendulumEnv\n"
        "gymnasium.register('Swinging-v0', lambda g=10.0: PendulumEnv(g=g), max_episode_steps=5)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    line = "train gym:Swinging-v0 rl2 --vary g=5:15 --steps 20 --method.meta-batch-size 4 --out {}"
    with pytest.raises(UserError, match="rl-meta --import MODULE"):
        _ = GymnasiumFamily("Swinging-v0", vary={"g": Uniform(5, 15)}).horizon
    assert "rl-meta --import registers train gym:Swinging-v0" in refused(
        say(line.replace("gym:", "gym:registers:"), tmp_path / "run")
    )
    assert say(f"--import registers {line}", tmp_path / "run").status == 0
    assert "cannot import nothing_here" in refused(say("--import nothing_here list"))
    assert "must be followed by a module and a command" in refused(say("--import registers"))


def test_what_the_system_refuses_is_told_in_one_line(monkeypatch):
    def full(words):
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr("rl_meta.commands.listing.run", full)
    assert refused(say("list")) == "rl-meta: [Errno 28] No space left on device: '/somewhere'"
