"""Environments in worker processes, several in each; a worker that dies or hangs is started again in its tasks.

Workers are fresh processes, not forks: nothing of JAX is shared with them, and scripts need no guard.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import numpy as np

from rl_meta.errors import UserError
from rl_meta.tasks.envs import Envs, Outcome
from rl_meta.types import Key, PyTree

MOST_DEATHS = 10
"""Of one worker, without a lifetime in between that it outlived: the run ends."""
START_SECONDS = 120.0
"""That a worker may take to start and to put its environments into their tasks."""

Make = Callable[[int], Envs]


class WorkerEnvs:
    """See `tasks.envs.Envs`."""

    wants_keys = False

    def __init__(self, make: Make, count: int, workers: int, *, patience_seconds: float) -> None:
        """make: (how many) -> environments, in the worker. patience_seconds: after which a step counts as hung."""
        ends = np.linspace(0, count, min(workers, count) + 1).astype(int)
        self._parts = [slice(low, high) for low, high in pairwise(ends.tolist())]
        self._workers = [_Worker(make, part.stop - part.start, patience_seconds) for part in self._parts]

    def begin(self, born: np.ndarray, tasks: PyTree, seeds: np.ndarray, keys: Key | None) -> PyTree:
        """See `Envs`."""
        pairs = list(zip(self._workers, self._parts, strict=True))
        for worker, part in pairs:
            worker.ask_begin(born[part], _map(lambda x, p=part: x[p], tasks), seeds[part])
        return _joined([worker.begun() for worker in self._workers])

    def send(self, action: np.ndarray, keys: Key | None, *, cut: bool) -> None:
        """See `Envs`."""
        for worker, part in zip(self._workers, self._parts, strict=True):
            worker.ask_step(action[part], cut=cut)

    def receive(self) -> Outcome:
        """See `Envs`."""
        outcomes = [worker.stepped() for worker in self._workers]
        none = lambda one: np.zeros(len(one.reward), bool)
        lost = np.concatenate([none(one) if one.lost is None else one.lost for one in outcomes])
        told = _joined([one._replace(lost=None) for one in outcomes])
        return told._replace(lost=lost if lost.any() else None)

    def close(self) -> None:
        """See `Envs`."""
        for worker in self._workers:
            worker.close()


class _DiedError(Exception):
    """A worker is gone, or does not answer."""


class _Worker:
    """A process with some environments, seen from outside."""

    def __init__(self, make: Make, count: int, patience_seconds: float) -> None:
        self._make, self._count, self._patience = make, count, patience_seconds
        self._deaths, self._died = 0, False
        self._tasks: PyTree = None
        self._seeds = np.zeros(count, np.uint32)
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        code = f"from rl_meta.tasks.workers import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[theirs.fileno()], start_new_session=True, env=_environment()
        )
        theirs.close()
        self._pipe = Connection(ours.detach())
        self._pipe.send_bytes(cloudpickle.dumps((self._make, self._count)))

    def ask_begin(self, born: np.ndarray, tasks: PyTree, seeds: np.ndarray) -> None:
        """Begin lifetimes where `born`; `begun` has to follow."""
        if not self._died:
            self._deaths = 0
        self._died = False
        chosen = lambda new, old: np.where(born.reshape(-1, *[1] * (new.ndim - 1)), new, old)
        self._tasks = tasks if self._tasks is None else _map(chosen, tasks, self._tasks)
        self._seeds = np.where(born, seeds, self._seeds)
        with contextlib.suppress(OSError):  # a worker that is gone is noticed when it is to answer
            self._pipe.send_bytes(cloudpickle.dumps(("begin", (born, self._tasks, self._seeds))))

    def begun(self) -> PyTree:
        """The first observations."""
        try:
            return self._answer(START_SECONDS)
        except _DiedError as error:
            return self._again(error)

    def ask_step(self, action: np.ndarray, *, cut: bool) -> None:
        """Step; `stepped` has to follow."""
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(cloudpickle.dumps(("step", (action, cut))))

    def stepped(self) -> Outcome:
        """What came of it; of a worker that died, no step, and all its lifetimes lost."""
        try:
            return self._answer(self._patience)
        except _DiedError as error:
            obs, none = self._again(error), np.zeros(self._count, bool)
            return Outcome(obs, obs, np.zeros(self._count, np.float32), none, none, ~none)

    def _answer(self, seconds: float) -> Any:
        try:
            if not self._pipe.poll(seconds):
                raise _DiedError(f"no answer for {seconds:g} seconds")
            kind, answer = cloudpickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            raise _DiedError(f"its process ended with status {self._process.returncode}") from None
        if kind == "wrong":
            raise UserError(answer)
        return answer

    def _again(self, error: _DiedError) -> PyTree:
        """Start the worker once more, with all its environments at the birth of their lifetimes."""
        self._died = True
        while True:
            self._deaths += 1
            self.close()
            if self._deaths >= MOST_DEATHS:
                raise UserError(f"a worker with {self._count} environments died {MOST_DEATHS} times in a row: {error}")
            self._start()
            everyone, seeds = np.ones(self._count, bool), (self._seeds + self._deaths) % 2**31
            with contextlib.suppress(OSError):
                self._pipe.send_bytes(cloudpickle.dumps(("begin", (everyone, self._tasks, seeds))))
            try:
                return self._answer(START_SECONDS)
            except _DiedError as again:
                error = again

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()


def _environment() -> dict[str, str]:
    """A worker finds the modules that this process finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def serve(descriptor: int) -> None:
    """The work of a worker, until the other end of the socket closes."""
    pipe = Connection(descriptor)
    make, count = cloudpickle.loads(pipe.recv_bytes())
    envs: Envs | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            what, words = cloudpickle.loads(pipe.recv_bytes())
            try:
                envs = envs or make(count)
                answer = ("done", _done(envs, what, words))
            except UserError as error:
                answer = ("wrong", str(error))
            pipe.send_bytes(cloudpickle.dumps(answer))


def _done(envs: Envs, what: str, words: tuple) -> Any:
    if what == "begin":
        born, tasks, seeds = words
        return envs.begin(born, tasks, seeds, None)
    action, cut = words
    envs.send(action, None, cut=cut)
    return envs.receive()


def _map(function: Callable, *trees: PyTree) -> PyTree:
    """`function` on the arrays of tasks, NamedTuples of them."""
    return type(trees[0])(*map(function, *trees))


def _joined(trees: list[PyTree]) -> PyTree:
    """Arrays of all workers [B, ...]."""
    first = trees[0]
    if first is None:
        return None
    if isinstance(first, dict):
        return {name: _joined([tree[name] for tree in trees]) for name in first}
    if isinstance(first, tuple):
        return type(first)(*map(_joined, map(list, zip(*trees, strict=True))))
    return np.concatenate(trees)
