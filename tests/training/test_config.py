import dataclasses
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.scratch import Scratch
from rl_meta.errors import UserError
from rl_meta.settings import Count
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.grid_navigation import GridNavigation
from rl_meta.training.catalogue import FAMILIES, METHODS, families, methods
from rl_meta.training.config import CALLS, FORMAT, MOST_STEPS_PER_CALL, RunConfig, config_from, read_config

EXAMPLE = RunConfig(Bandit(arms=2, pulls=4), RL2(memory=8, meta_batch_size=8), steps=1000, seed=3, seeds=2)


def of(cls, **fields):
    """Settings of a class, yet to be made: (class, fields)."""
    return st.tuples(st.just(cls), st.fixed_dictionaries(fields))


def made(family, method, sizes):
    """The configuration."""
    return RunConfig(family[0](**family[1]), method[0](**method[1]), **sizes)


counts = st.integers(1, 300)
widths = st.lists(counts, max_size=3).map(tuple)
positive = st.floats(0, 1e6, exclude_min=True, allow_subnormal=False)
some_families = st.one_of(
    of(Bandit, arms=counts, pulls=counts),
    of(CartPole, horizon=counts, hide_direction=st.booleans()),
    of(GridNavigation, size=st.integers(3, 9), horizon=counts, held_out=st.integers(0, 4)),
)
some_methods = st.one_of(
    of(RL2, learning_rate=positive, memory=counts, encoder=widths, value_clip=st.none() | positive),
    of(MultiTask, discount=st.floats(0, 1), hidden=widths, rollout_steps=st.none() | counts),
    of(Scratch, clip=positive, copies=counts, normalise=st.booleans()),
)
sizes = st.fixed_dictionaries({"steps": st.integers(1, 10**9), "seed": st.integers(0, 2**32 - 1), "seeds": counts})


@dataclasses.dataclass(frozen=True)
class OwnBandit:
    """A family that is in no table."""

    arms: Count = 3

    def __getattr__(self, name):
        return getattr(Bandit(arms=self.arms), name)


class Case(NamedTuple):
    """A file that is not a run configuration, by what is wrong with it."""

    why: str
    text: str


NOT_CONFIGURATIONS = (
    Case("empty", ""),
    Case("cut off", EXAMPLE.to_json()[:40]),
    Case("a list", "[]"),
    Case("without a format", "{}"),
    Case("without a method", json.dumps({"format": FORMAT, "family": {"name": "bandit"}})),
    Case("with names alone", json.dumps({"format": FORMAT, "family": "bandit", "method": "rl2"})),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Where a configuration may be written; also by hypothesis, many times."""
    return tmp_path_factory.mktemp("run") / "config.json"


def again(config, path):
    """The configuration after a round trip through a file."""
    path.write_text(config.to_json())
    return read_config(path)


def edited(path, change):
    """Write the example's file after `change` was made to what is in it."""
    plain = json.loads(EXAMPLE.to_json())
    change(plain)
    path.write_text(json.dumps(plain))
    return path


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_listed_family_and_method_survives_a_round_trip(family, method, path):
    config = RunConfig(families.make(family), methods.make(method))
    assert again(config, path) == config


@settings(deadline=None, max_examples=60)
@given(some_families, some_methods, sizes)
def test_settings_survive_a_round_trip(path, family, method, sizes):
    config = made(family, method, sizes)
    assert again(config, path) == config


@settings(deadline=None, max_examples=30)
@given(some_families, some_methods, sizes)
def test_a_configuration_is_written_the_same_way_every_time(path, family, method, sizes):
    config = made(family, method, sizes)
    assert again(config, path).to_json() == config.to_json()


def test_the_file_names_family_and_method_as_the_command_line_does():
    plain = json.loads(EXAMPLE.to_json())
    assert (plain["family"]["name"], plain["method"]["name"]) == ("bandit", "rl2")


def test_the_file_holds_every_setting():
    plain = json.loads(EXAMPLE.to_json())
    assert set(plain["method"]) == {"name"} | {field.name for field in dataclasses.fields(RL2)}


def test_settings_that_are_left_out_of_a_file_take_their_defaults(path):
    assert read_config(edited(path, lambda plain: plain["family"].pop("pulls"))).family == Bandit(arms=2)


def test_a_newer_format_is_refused_with_what_to_do(path):
    edited(path, lambda plain: plain.update(format=FORMAT + 1))
    with pytest.raises(UserError, match=rf"has format {FORMAT + 1}.*install the version named in versions\.json"):
        read_config(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain: plain["family"].update(name="bandid"), "unknown family 'bandid': did you mean 'bandit'"),
        (lambda plain: plain["method"].update(name="rl3"), "unknown method 'rl3': did you mean 'rl2'"),
        (lambda plain: plain["family"].update(amrs=3), "unknown field of Bandit 'amrs': did you mean 'arms'"),
        (
            lambda plain: plain["method"].update(learnin_rate=1.0),
            "unknown field of RL2 'learnin_rate': did you mean 'learning_rate'",
        ),
        (lambda plain: plain.update(sed=3), "unknown field 'sed'; known: seed, seeds, steps"),
    ],
)
def test_an_unknown_name_in_a_file_is_refused_with_the_known_ones(change, message, path):
    with pytest.raises(UserError, match=message):
        read_config(edited(path, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain: plain.update(steps=0), r"RunConfig\.steps must be at least 1, got 0"),
        (lambda plain: plain.update(seed=-1), r"RunConfig\.seed must be in \[0, 4294967295\], got -1"),
        (lambda plain: plain.update(seeds=0), r"RunConfig\.seeds must be at least 1, got 0"),
        (lambda plain: plain["family"].update(pulls=0), r"Bandit\.pulls must be at least 1, got 0"),
        (lambda plain: plain["method"].update(discount=1.5), r"RL2\.discount must be in \[0, 1\], got 1\.5"),
    ],
)
def test_a_number_out_of_range_in_a_file_is_refused(change, message, path):
    with pytest.raises(UserError, match=message):
        read_config(edited(path, change))


@pytest.mark.parametrize("text", [pytest.param(case.text, id=case.why) for case in NOT_CONFIGURATIONS])
def test_another_file_is_not_a_run_configuration(text, path):
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.json is not a run configuration$"):
        read_config(path)


def test_a_directory_without_a_configuration_is_not_a_run(tmp_path):
    with pytest.raises(UserError, match=r"is not a run directory: cannot read config\.json"):
        read_config(tmp_path / "config.json")


def test_a_family_of_ones_own_has_to_be_given(path):
    path.write_text(RunConfig(OwnBandit(), EXAMPLE.method).to_json())
    with pytest.raises(
        UserError, match=r"made with a family of your own, .*:OwnBandit; give it as the argument `family`"
    ):
        read_config(path)


def test_a_method_of_ones_own_has_to_be_given(path):
    path.write_text(EXAMPLE.to_json().replace('"rl2"', '"mine:Own"'))
    with pytest.raises(UserError, match="made with a method of your own, mine:Own; give it as the argument `method`"):
        read_config(path)


def test_a_family_of_ones_own_that_is_given_is_taken(path):
    config = RunConfig(OwnBandit(arms=4), EXAMPLE.method)
    path.write_text(config.to_json())
    assert read_config(path, family=OwnBandit(arms=4)) == config


@pytest.mark.parametrize(
    ("family", "method", "message"),
    [
        (Bandit(pulls=10), RL2(chunk_steps=3), "chunk_steps must divide the 10 steps of a segment, got 3"),
        (
            GridNavigation(),
            RL2(segment_episodes=2, chunk_steps=20),
            "chunk_steps must divide the 30 steps of a segment, got 20",
        ),
        (GridNavigation(), RL2(segment_episodes=3), "got 4 stages in segments of 3"),
        (Bandit(), RL2(lifetime_episodes=2, segment_episodes=4), "got 2 stages in segments of 4"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(family, method, message):
    with pytest.raises(UserError, match=message):
        RunConfig(family, method)


def test_chunks_may_reach_across_episodes():
    assert RunConfig(Bandit(pulls=10), RL2(lifetime_episodes=4, chunk_steps=20)).shape.steps_per_call == 40


def test_an_iteration_is_one_segment_in_every_task():
    config = RunConfig(GridNavigation(horizon=15), RL2(meta_batch_size=8, segment_episodes=2))
    assert config.steps_per_iteration == 8 * 2 * 15


def test_training_stops_at_the_first_iteration_that_reaches_the_steps():
    config = dataclasses.replace(EXAMPLE, steps=33)
    assert (config.steps_per_iteration, config.iterations) == (32, 2)


@settings(deadline=None)
@given(some_families, some_methods, sizes)
def test_a_call_has_as_many_iterations_as_its_two_limits_allow(family, method, sizes):
    config = made(family, method, sizes)
    in_all, limit = math.ceil(config.iterations / CALLS), MOST_STEPS_PER_CALL
    fits = config.iterations_per_call * config.steps_per_iteration <= limit or config.iterations_per_call == 1
    more_would_fit = (config.iterations_per_call + 1) * config.steps_per_iteration <= limit
    assert 1 <= config.iterations_per_call <= in_all
    assert fits
    assert config.iterations_per_call == in_all or not more_would_fit


def test_a_given_family_must_be_the_one_that_the_run_was_made_with(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(RunConfig(Bandit(arms=3), RL2()).to_json())
    with pytest.raises(UserError, match="was made with the family"):
        read_config(path, family=Bandit(arms=4))


@pytest.mark.parametrize(
    ("family", "method", "tasks"),
    [
        (Bandit(arms=2, pulls=10), RL2(), 64),
        (Bandit(arms=2, pulls=200), RL2(), 32),
        (Bandit(arms=2, pulls=600), RL2(), 16),
        (CartPole(horizon=200), RL2(lifetime_episodes=4, segment_episodes=1), 32),
        (CartPole(horizon=200), MultiTask(rollout_steps=50), 64),
        (CartPole(horizon=200), RL2(meta_batch_size=7), 7),
    ],
)
def test_long_lifetimes_are_lived_few_at_once_unless_told_otherwise(family, method, tasks):
    config = RunConfig(family, method)
    assert config.tasks == config.method.meta_batch_size == tasks
    assert json.loads(config.to_json())["method"]["meta_batch_size"] == tasks, "later versions may choose otherwise"


def test_more_steps_than_can_be_counted_are_refused():
    with pytest.raises(UserError, match="steps must be fewer than"):
        RunConfig(Bandit(), RL2(), steps=10**20)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_would_be_another_one_is_refused(seed):
    with pytest.raises(UserError, match=r"RunConfig\.seed must be in"):
        RunConfig(Bandit(), RL2(), seed=seed)


def test_numbers_of_numpy_are_written_as_numbers():
    config = RunConfig(Bandit(), RL2())
    object.__setattr__(config, "steps", np.int64(10))  # past the types that are checked in tests
    assert config_from(json.loads(config.to_json()), Path("config.json")).to_json() == config.to_json()
