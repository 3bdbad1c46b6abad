"""What the package offers in Python, with a family and a method of the user's own."""

import json
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest
from gymnasium import spaces

import rl_meta
from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape, keep_adapted
from rl_meta.algorithms.scratch import Scratch
from rl_meta.errors import UserError
from rl_meta.settings import Count, Rate
from rl_meta.tasks.base import Transition, draw_tasks, split_key
from rl_meta.training.config import RunConfig
from rl_meta.types import Array, PyTree

TASKS = 12


class Prize(NamedTuple):
    """Hidden parameters."""

    door: Array


@dataclass(frozen=True)
class Doors:
    """Behind one door, the same for a whole lifetime, is a prize: a family of one's own."""

    doors: Count = 3
    horizon: Count = 3

    splits = ("train", "test")
    episodes = 2

    @property
    def observation_space(self):
        return spaces.Discrete(1)

    @property
    def action_space(self):
        return spaces.Discrete(self.doors)

    @property
    def task_space(self):
        return spaces.Dict({"door": spaces.Discrete(self.doors)})

    def sample(self, key, split="train"):
        return Prize(jax.random.randint(split_key(key, split), (), 0, self.doors))

    def reset(self, key, task):
        return jnp.array(0), jnp.array(0)

    def step(self, key, state, action, task):
        paid = (action == task.door).astype(float)
        return Transition(state + 1, jnp.array(0), paid, jnp.zeros((), bool), state + 1 >= self.horizon)


class Belief(NamedTuple):
    """A meta-state: the least that there can be."""

    params: PyTree


@dataclass(frozen=True)
class Searcher:
    """Opens one door after the other and stays at the one with the prize: a method of one's own."""

    meta_batch_size: Count = 4
    laziness: Rate = 0.0

    def view(self, family):
        return family

    def shape(self, family):
        return Shape(family.episodes, 1, family.horizon, restart=False)

    def build(self, family, iterations):
        def act(key, params, adapted, memory, inputs):
            door = jnp.where(inputs.last_reward > 0, memory, (memory + 1) % family.doors)
            return door, door, ()

        begin = lambda key, params: ((), jnp.int32(family.doors - 1))
        init = lambda key: Belief({"updates": jnp.array(0.0)})
        update = lambda key, state, lifetimes: (Belief({"updates": state.params["updates"] + 1}), {})
        return MetaAlgorithm(Adapter(begin, act, keep_adapted), init, update)


OWN = {"family": Doors(), "method": Searcher()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "own"
    assert rl_meta.train(Doors(), Searcher(), out=directory, steps=96, seeds=2) == directory
    return directory


@pytest.fixture(scope="module")
def evaluation(run):
    return rl_meta.evaluate(run, tasks=TASKS, baselines=(), **OWN)


def test_a_run_remembers_which_classes_were_ones_own(run):
    plain = json.loads((run / "config.json").read_text())
    assert plain["family"] == {"name": f"{__name__}:Doors", "doors": 3, "horizon": 3}
    assert plain["method"] == {"name": f"{__name__}:Searcher", "meta_batch_size": 4, "laziness": 0.0}


def test_a_method_of_ones_own_is_trained(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4]


def test_training_again_with_the_same_settings_goes_on(run):
    lines = []
    rl_meta.train(Doors(), Searcher(), out=run, steps=96, seeds=2, report=lines.append)
    assert lines == []


def test_a_method_of_ones_own_is_evaluated_on_a_family_of_ones_own(evaluation):
    doors = draw_tasks(Doors(), jax.random.key(0), TASKS, "test").door
    assert evaluation["scores"] == {"first": (3.0 - doors).tolist(), "last": [3.0] * TASKS}


def test_an_evaluation_names_ones_own_classes(evaluation):
    assert (evaluation["family"], evaluation["method"], evaluation["seeds"]) == ("Doors", "Searcher", 2)


def test_an_evaluation_is_written_to_the_run(run, evaluation):
    assert json.loads((run / "evaluation.json").read_text()) == evaluation


def test_an_evaluation_is_repeated_by_its_seed(run, evaluation):
    assert rl_meta.evaluate(run, tasks=TASKS, baselines=(), **OWN) == evaluation


def test_another_seed_draws_other_tasks(run, evaluation):
    again = rl_meta.evaluate(run, tasks=TASKS, baselines=(), seed=1, **OWN)
    assert again["scores"]["first"] != evaluation["scores"]["first"]


def test_progress_counts_the_tasks_of_all_seeds(run):
    said = []
    rl_meta.evaluate(run, tasks=TASKS, baselines=(), progress=lambda *x: said.append(x), **OWN)
    assert said == [("Searcher", TASKS, 2 * TASKS), ("Searcher", 2 * TASKS, 2 * TASKS)]


def test_an_agent_of_ones_own_plays(run):
    agent = rl_meta.load(run, **OWN)
    agent.begin_task()
    told = [(0.0,), (0.0,), (1.0,), (1.0,)]
    assert [int(agent.act(0, *outcome)) for outcome in told] == [0, 1, 1, 1]


def test_an_agent_knows_its_spaces(run):
    agent = rl_meta.load(run, **OWN)
    assert (agent.observation_space, agent.action_space) == (spaces.Discrete(1), spaces.Discrete(3))


def test_every_seed_of_a_run_can_be_loaded(run):
    assert rl_meta.load(run, seed_index=1, **OWN).action_space == spaces.Discrete(3)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_seed_that_the_run_does_not_have_is_refused(run, index):
    with pytest.raises(UserError, match=f"seed_index must be from 0 to 1, got {index}"):
        rl_meta.load(run, seed_index=index, **OWN)


@pytest.mark.parametrize("kind", ["family", "method"])
@pytest.mark.parametrize("use", [rl_meta.evaluate, rl_meta.load])
def test_ones_own_classes_have_to_be_given(run, use, kind):
    given = {name: value for name, value in OWN.items() if name != kind}
    with pytest.raises(UserError, match=f"made with a {kind} of your own, .*; give it as the argument `{kind}`"):
        use(run, **given)


def test_settings_that_change_the_parameters_do_not_fit_the_run(run):
    with pytest.raises(UserError, match="another directory"):
        rl_meta.train(replace(OWN["family"], doors=4), Searcher(), out=run, steps=96, seeds=2)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"tasks": 0}, "tasks must be at least 1, got 0"),
        ({"baseline_tasks": 0}, "baseline_tasks must be at least 1, got 0"),
        ({"stages": -1}, "stages must be at least 1, got -1"),
        ({"split": "tset"}, "unknown split of Doors 'tset': did you mean 'test'"),
        ({"split": "extrapolation"}, "unknown split of Doors 'extrapolation': .*known: test, train"),
        ({"acting": "determinstic"}, "unknown way of acting 'determinstic': did you mean 'deterministic'"),
        ({"baselines": ("scrach",)}, "unknown method 'scrach': did you mean 'scratch'"),
        ({"baselines": ("oracle",)}, r"'oracle' has to be trained first: .*`--against DIR`"),
        ({"against": ("nowhere",)}, "nowhere is not a run directory"),
    ],
)
def test_wrong_arguments_of_an_evaluation_are_refused(run, how, message):
    with pytest.raises(UserError, match=message):
        rl_meta.evaluate(run, **{"baselines": (), **how}, **OWN)


def test_a_run_on_a_family_of_ones_own_can_stand_beside_another(run, tmp_path):
    (tmp_path / "config.json").write_text(RunConfig(Doors(), Scratch()).to_json())
    with pytest.raises(UserError, match="no checkpoint in"):
        rl_meta.evaluate(run, tasks=TASKS, baselines=(), against=(tmp_path,), **OWN)


def test_a_baseline_may_have_settings(run):
    short = Scratch(improvements=2, rollout_steps=4, copies=1)
    evaluation = rl_meta.evaluate(run, tasks=TASKS, baselines=(short,), baseline_tasks=1, **OWN)
    assert evaluation["baselines"]["scratch"]["tasks"] == 1


def test_agents_can_live_longer_than_in_training(run):
    evaluation = rl_meta.evaluate(run, tasks=TASKS, stages=5, baselines=(), **OWN)
    assert len(evaluation["stages"]) == 5


def test_a_run_stands_beside_itself_with_its_own_method(run):
    rival = (run, OWN["method"])
    evaluation = rl_meta.evaluate(run, tasks=TASKS, baselines=(), against=(rival,), **OWN)
    (beside,) = evaluation["baselines"].values()
    assert beside["stages"] == evaluation["stages"]


def test_an_unknown_family_is_refused_with_the_nearest_one(tmp_path):
    with pytest.raises(UserError, match="unknown family 'cartpol': did you mean 'cartpole'"):
        rl_meta.train("cartpol", out=tmp_path / "run")


def test_nothing_is_offered_beside_what_is_named():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        rl_meta.trian  # noqa: B018
