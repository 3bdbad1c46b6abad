"""A crew: workers that make something once and do jobs with it. One that dies is replaced, and its job is done again.

A job is a pure function of what comes with it: whoever does it, and however often, its result is the same, and results
are returned in the order of the jobs. So a death costs time and changes no number.
Where workers are is a workplace's affair: processes of this machine (`collection.processes`), or actors of a
Ray cluster (`collection.ray_actors`).
"""

import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import cloudpickle

from rl_meta.errors import UserError

MOST_DEATHS = 10
"""Of workers, without a job in between that was done: the run ends."""
NOBODY_SECONDS = 300.0
"""After which a crew without a single worker gives up."""
LISTEN_SECONDS = 5.0

Work = Callable[[Any, Any], Any]
"""(what all jobs share, job) -> result."""
Make = Callable[[], Work]
"""Called once in every worker."""


class News(NamedTuple):
    """What is heard of a worker."""

    worker: Any
    kind: Literal["ready", "done", "wrong", "died"]
    """ready: it has started; done: its job; wrong: a `UserError`; died: it is gone, or raised something else."""
    told: Any
    """The result of a job, or what went wrong."""


@runtime_checkable
class Workplace(Protocol):
    """Where workers are. A worker is anything that has a hash."""

    def hire(self) -> Any:
        """Start a worker; its first news is that it is ready, or died."""

    def share(self, value: Any) -> Any:
        """What `give` is to be told of a value that goes with several jobs."""

    def give(self, worker: Any, shared: Any, job: Any) -> None:
        """Let a worker that is ready do a job; its next news is what came of it."""

    def news(self, seconds: float) -> list[News]:
        """Wait so long for news."""

    def dismiss(self, worker: Any) -> None:
        """End a worker, dead or alive."""

    def close(self) -> None:
        """End all."""

    def about(self) -> str:
        """What there is to start workers with, for a person."""


class Crew:
    """So many workers; any of them may die at any time, and others start when there is room for them."""

    def __init__(self, place: Workplace, workers: int) -> None:
        self.workers = workers
        self.deaths = self.redone = 0
        """Workers that died so far; jobs that had to be done again."""
        self._place, self._in_a_row = place, 0
        self._starting = {place.hire() for _ in range(workers)}
        self._idle: deque[Any] = deque()
        self._busy: dict[Any, int] = {}

    @property
    def present(self) -> int:
        """Workers that have started."""
        return len(self._idle) + len(self._busy)

    def do(self, shared: Any, jobs: Sequence[Any]) -> list[Any]:
        """The results of the jobs, in their order.

        Raises:
            UserError: a worker did, or workers died `MOST_DEATHS` times in a row, or there is none.
        """
        shared = self._place.share(shared)
        waiting, results, seen = deque(range(len(jobs))), dict[int, Any](), time.monotonic()
        while len(results) < len(jobs):
            while self._idle and waiting:
                worker, index = self._idle.popleft(), waiting.popleft()
                self._busy[worker] = index
                self._place.give(worker, shared, jobs[index])
            for news in self._place.news(LISTEN_SECONDS):
                if self._busy.get(news.worker) is not None:
                    index = self._busy.pop(news.worker)
                    if news.kind == "done":
                        results[index] = news.told
                    else:
                        waiting.appendleft(index)
                        self.redone += 1
                self._take(news)
            seen = time.monotonic() if self.present else seen
            if time.monotonic() - seen > NOBODY_SECONDS:
                raise UserError(f"no worker has started within {NOBODY_SECONDS:g} seconds: {self._place.about()}")
        return [results[index] for index in range(len(jobs))]

    def _take(self, news: News) -> None:
        """See to the worker that news are of."""
        if news.kind == "wrong":
            raise UserError(news.told)
        if news.kind == "died":
            self._replace(news.worker, news.told)
            return
        self._starting.discard(news.worker)
        self._idle.append(news.worker)
        if news.kind == "done":
            self._in_a_row = 0

    def _replace(self, worker: Any, told: str) -> None:
        """Start another worker for one that died."""
        self._starting.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        self._place.dismiss(worker)
        self.deaths += 1
        self._in_a_row += 1
        if self._in_a_row >= MOST_DEATHS:
            raise UserError(f"workers died {MOST_DEATHS} times in a row, the last one so: {told.strip()}")
        self._starting.add(self._place.hire())

    def close(self) -> None:
        """End all workers."""
        self._starting, self._busy = set(), {}
        self._idle.clear()
        self._place.close()


class Worker:
    """The other side: what a worker does wherever it is. Answers are those of `News`, kind and what is told."""

    def __init__(self) -> None:
        self._work: Work | None = None

    def begin(self, made: bytes, *, accelerated: bool = False) -> tuple[str, Any]:
        """Make what does the work.

        Args:
            made: a pickled `Make`.
            accelerated: may JAX use an accelerator? Where not, all of its memory is left to the learner.
        """

        def make() -> None:
            if not accelerated:
                os.environ["JAX_PLATFORMS"] = "cpu"  # JAX is not imported before what is made needs it
            self._work = cloudpickle.loads(made)()

        return _answered("ready", make)

    def do(self, shared: Any, job: Any) -> tuple[str, Any]:
        """A job."""
        assert self._work is not None
        work = self._work
        return _answered("done", lambda: work(shared, job))


def _answered(kind: str, function: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return kind, function()
    except UserError as error:
        return "wrong", str(error)
    except Exception:  # whatever it is, the other side is told
        return "died", traceback.format_exc()
