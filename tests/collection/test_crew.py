"""Workers that die, and what the crew makes of it, with processes of this machine."""

import os
import signal
import time
from contextlib import closing
from functools import partial

import pytest

from rl_meta.collection import crew
from rl_meta.collection.crew import Crew, News
from rl_meta.collection.processes import Processes
from rl_meta.errors import UserError


def squares(before=lambda job: None):
    """The work (shared, job) -> shared + job². before: called with the job first, in the worker."""

    def work(shared, job):
        before(job)
        return shared + job**2

    return work


def die_once(mark, job):
    """In job 3, if no worker has done so before."""
    if job == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def raise_in_two(job):
    if job == 2:
        raise ArithmeticError("two is not to be squared")


def refuse_two(job):
    if job == 2:
        raise UserError("two is not welcome: give another number")


def wait_in_one(job):
    if job == 1:
        time.sleep(0.3)


def test_results_come_in_the_order_of_the_jobs_however_long_each_takes():
    with closing(Crew(Processes(partial(squares, wait_in_one)), 2)) as some:
        assert some.do(10, [1, 2, 3, 4, 5]) == [11, 14, 19, 26, 35]
        assert some.do(20, [1, 2]) == [21, 24]
        assert (some.deaths, some.redone) == (0, 0)


def test_the_job_of_a_worker_that_died_is_done_again_and_counted(tmp_path):
    with closing(Crew(Processes(partial(squares, partial(die_once, tmp_path / "died"))), 2)) as some:
        assert some.do(10, [1, 2, 3, 4]) == [11, 14, 19, 26]
        assert (some.deaths, some.redone) == (1, 1)
        assert some.do(0, [3] * 6) == [9] * 6


def test_a_worker_that_died_between_two_calls_is_replaced():
    place = Processes(squares)
    with closing(Crew(place, 1)) as some:
        some.do(0, [1])
        os.kill(place.pids()[0], signal.SIGKILL)
        assert some.do(0, [2, 3]) == [4, 9]
        assert some.deaths == 1


def test_the_tenth_death_in_a_row_ends_it_with_the_error_of_the_worker(monkeypatch):
    monkeypatch.setattr(crew, "MOST_DEATHS", 2)  # ten processes take long to start
    with (
        closing(Crew(Processes(partial(squares, raise_in_two)), 1)) as some,
        pytest.raises(UserError, match=r"(?s)died 2 times in a row.*ArithmeticError: two is not to be squared"),
    ):
        some.do(0, [1, 2, 3])


def test_an_error_of_the_users_own_ends_it_at_once():
    with (
        closing(Crew(Processes(partial(squares, refuse_two)), 1)) as some,
        pytest.raises(UserError, match=r"^two is not welcome: give another number$"),
    ):
        some.do(0, [1, 2])


class Scripted:
    """A workplace without workers: the news that a test has written down."""

    def __init__(self, *news):
        self.to_come, self.hired, self.given, self.dismissed = list(news), 0, [], []

    def hire(self):
        self.hired += 1
        return self.hired

    def share(self, value):
        return value

    def give(self, worker, shared, job):
        self.given.append((worker, job))

    def news(self, seconds):
        return self.to_come.pop(0) if self.to_come else []

    def dismiss(self, worker):
        self.dismissed.append(worker)

    def close(self):
        self.to_come = []

    def about(self):
        return "there are 0 CPUs"


def test_a_worker_that_starts_late_takes_part_from_then_on():
    place = Scripted(
        [News(1, "ready", None)],
        [News(1, "done", "a")],
        [News(1, "done", "b"), News(2, "ready", None)],
        [News(2, "done", "d")],
        [News(1, "done", "c")],
    )
    some = Crew(place, 2)
    assert some.do(None, [0, 1, 2, 3]) == ["a", "b", "c", "d"]
    assert place.given == [(1, 0), (1, 1), (1, 2), (2, 3)]
    assert some.present == 2


def stones(*workers):
    return [[News(worker, "died", "a stone fell")] for worker in workers]


def ready(worker, told):
    return [News(worker, "ready", None)], [News(worker, "done", told)]


def test_ten_deaths_in_a_row_are_too_many():
    with pytest.raises(UserError, match="workers died 10 times in a row, the last one so: a stone fell"):
        Crew(Scripted(*stones(*range(1, 11))), 1).do(None, ["a"])


def test_deaths_are_counted_anew_when_a_job_was_done():
    place = Scripted(*stones(*range(1, 10)), *ready(10, "a"), *stones(*range(10, 19)), *ready(19, "b"))
    some = Crew(place, 1)
    assert some.do(None, ["first", "second"]) == ["a", "b"]
    assert (some.deaths, some.redone) == (18, 1)
    assert place.dismissed == [*range(1, 19)]


def test_a_crew_without_a_worker_gives_up_and_says_what_there_is(monkeypatch):
    monkeypatch.setattr(crew, "NOBODY_SECONDS", 0.0)
    with pytest.raises(UserError, match="no worker has started within 0 seconds: there are 0 CPUs"):
        Crew(Scripted(), 1).do(None, ["a"])
