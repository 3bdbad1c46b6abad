"""Environments in worker processes, several in each; a worker that dies or hangs is started again in its tasks.

Workers are fresh processes, not forks: nothing of JAX is shared with them, and scripts need no guard. What is said
once, or once in a lifetime, is pickled and goes over a socket: how to make the environments, and the tasks to begin in.
Steps are written into memory that all see (`tasks.shared_block`), every worker having its rows there; over the socket
goes only that they are to be taken, and that they are done.
"""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import cloudpickle
import jax
import numpy as np

from rl_meta.errors import UserError
from rl_meta.tasks.envs import Envs, Outcome
from rl_meta.tasks.shared_block import arrays_in, copied, layout_of, nameless_file, write
from rl_meta.tasks.surroundings import surroundings
from rl_meta.types import Key, PyTree

MOST_DEATHS = 10
"""Of one worker, without a lifetime in between that it outlived: the run ends."""
START_SECONDS = 120.0
"""That a worker may take to start and to put its environments into their tasks."""

GO, DONE = b"go", b"done"
"""What is said of steps; no pickle is either."""

Make = Callable[[int], Envs]


class _Steps(NamedTuple):
    """One step of all environments, in memory that all processes see."""

    action: np.ndarray
    """[B, ...] Written by `send`."""
    cut: np.ndarray
    """[] bool, written by `send`."""
    final: np.ndarray
    """[B] bool, written by `send`."""
    outcome: Outcome
    """[B, ...] Written by the workers; `lost` is always there."""

    def rows(self, part: slice) -> tuple[np.ndarray, np.ndarray, Outcome]:
        """The actions, whether they are the final ones, and the outcomes of some of the environments."""
        return self.action[part], self.final[part], jax.tree.map(lambda x: x[part], self.outcome)


class WorkerEnvs:
    """See `tasks.envs.Envs`."""

    wants_keys = False

    def __init__(
        self, make: Make, count: int, workers: int, *, patience_seconds: float, measures: Sequence[str] = ()
    ) -> None:
        """`make` is called in the workers, each with a part of the environments.

        Args:
            make: (how many) -> environments.
            count: how many in all.
            workers: processes.
            patience_seconds: after which a step counts as hung.
            measures: names of what they measure.
        """
        ends = np.linspace(0, count, min(workers, count) + 1).astype(int)
        self._file = nameless_file()
        self._workers = [
            _Worker(make, slice(low, high), self._file.fileno(), patience_seconds)
            for low, high in pairwise(ends.tolist())
        ]
        self._measures = measures
        self._obs: PyTree = None
        self._steps: _Steps | None = None

    def begin(self, born: np.ndarray, tasks: PyTree, seeds: np.ndarray, keys: Key | None) -> PyTree:
        """See `Envs`."""
        for worker in self._workers:
            rows = jax.tree.map(lambda x, part=worker.part: x[part], (born, tasks, seeds))
            worker.ask_begin(*rows)
        self._obs = jax.tree.map(lambda *x: np.concatenate(x), *[worker.begun() for worker in self._workers])
        return self._obs

    def send(self, action: np.ndarray, keys: Key | None, *, cut: bool, final: np.ndarray | None = None) -> None:
        """See `Envs`."""
        if self._steps is None:  # what steps look like is known from the first one on
            self._steps = arrays_in(self._file.fileno(), _layout(action, self._obs, self._measures))
        np.copyto(self._steps.action, action)
        np.copyto(self._steps.cut, cut)
        np.copyto(self._steps.final, final is not None and final)
        for worker in self._workers:
            worker.ask_step(self._steps)

    def receive(self) -> Outcome:
        """See `Envs`."""
        assert self._steps is not None
        for worker in self._workers:
            worker.stepped(self._steps)
        told = copied(self._steps.outcome)
        return told if told.lost.any() else told._replace(lost=None)

    def close(self) -> None:
        """See `Envs`."""
        for worker in self._workers:
            worker.close()
        self._steps = None
        self._file.close()


def _layout(action: np.ndarray, obs: PyTree, measures: Sequence[str]) -> _Steps:
    """Of steps with such actions and observations."""
    return layout_of(
        _Steps(action, np.zeros((), bool), np.zeros(len(action), bool), _nothing(obs, len(action), measures))
    )


def _nothing(obs: PyTree, count: int, measures: Sequence[str]) -> Outcome:
    """Of a step that never was."""
    zeros, flag = np.zeros(count, np.float32), np.zeros(count, bool)
    return Outcome(obs, obs, zeros, flag, flag, ~flag, dict.fromkeys(measures, zeros))


class _DiedError(Exception):
    """A worker is gone, or does not answer."""


class _Worker:
    """A process with some environments, seen from outside."""

    def __init__(self, make: Make, part: slice, memory: int, patience_seconds: float) -> None:
        """part: which of the environments. memory: descriptor of the file in which steps will be."""
        self.part, self._count = part, part.stop - part.start
        self._make, self._memory, self._patience = make, memory, patience_seconds
        self._deaths, self._died = 0, False
        self._tasks: PyTree = None
        self._seeds = np.zeros(self._count, np.uint32)
        self._born, self._lost = np.zeros(self._count, bool), np.zeros(self._count, bool)
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        descriptors = theirs.fileno(), self._memory
        code = f"from rl_meta.tasks.workers import serve; serve{descriptors}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=descriptors, start_new_session=True, env=surroundings()
        )
        theirs.close()
        self._pipe = Connection(ours.detach())
        with contextlib.suppress(OSError):  # a worker that is gone is noticed when it is to answer
            self._pipe.send_bytes(cloudpickle.dumps((self._make, self._count)))
        self._knows_steps = False

    def ask_begin(self, born: np.ndarray, tasks: PyTree, seeds: np.ndarray) -> None:
        """Begin lifetimes where `born`; `begun` has to follow."""
        if not self._died:
            self._deaths = 0
        self._died = False
        chosen = lambda new, old: np.where(born.reshape(-1, *[1] * (new.ndim - 1)), new, old)
        self._tasks = tasks if self._tasks is None else jax.tree.map(chosen, tasks, self._tasks)
        self._seeds, self._born = np.where(born, seeds, self._seeds), born
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(cloudpickle.dumps(("begin", (born, self._tasks, self._seeds))))

    def begun(self) -> PyTree:
        """The first observations. Lifetimes that were to go on, and died with the worker, are lost in the next step."""
        try:
            return self._answer(START_SECONDS)
        except _DiedError as error:
            self._lost = ~self._born
            return self._again(error)

    def ask_step(self, steps: _Steps) -> None:
        """Step as is written there; `stepped` has to follow."""
        how = GO if self._knows_steps else cloudpickle.dumps(("first step", (layout_of(steps), self.part)))
        self._knows_steps = True
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(how)

    def stepped(self, steps: _Steps) -> None:
        """Until what came of it is written there; of a worker that died, no step, and all its lifetimes lost."""
        try:
            self._answer(self._patience)
        except _DiedError as error:
            obs = self._again(error)
            write(steps.rows(self.part)[-1], _nothing(obs, self._count, list(steps.outcome.measured)))
        told = steps.rows(self.part)[-1]
        write(told, told._replace(lost=told.lost | self._lost))
        self._lost = np.zeros(self._count, bool)

    def _answer(self, seconds: float) -> Any:
        """None where all there is to say is written into the shared memory."""
        try:
            if not self._pipe.poll(seconds):
                raise _DiedError(f"no answer for {seconds:g} seconds")
            message = self._pipe.recv_bytes()
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            raise _DiedError(f"its process ended with status {self._process.returncode}") from None
        if message == DONE:
            return None
        kind, answer = cloudpickle.loads(message)
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


def serve(descriptor: int, memory: int) -> None:
    """The work of a worker, until the other end of the socket closes.

    Args:
        descriptor: of the socket.
        memory: descriptor of the file in which steps will be.
    """
    pipe = Connection(descriptor)
    make, count = cloudpickle.loads(pipe.recv_bytes())
    served: _Served | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            message = pipe.recv_bytes()
            try:
                served = served or _Served(make(count), memory)
                answer = served.step() if message == GO else served.answer(*cloudpickle.loads(message))
            except UserError as error:
                answer = cloudpickle.dumps(("wrong", str(error)))
            pipe.send_bytes(answer)


class _Served:
    """The environments of a worker, and their rows in the memory that all see."""

    def __init__(self, envs: Envs, memory: int) -> None:
        self._envs, self._memory = envs, memory

    def answer(self, what: str, words: tuple) -> bytes:
        """To what is said once in a lifetime, or once."""
        if what == "begin":
            born, tasks, seeds = words
            return cloudpickle.dumps(("begun", self._envs.begin(born, tasks, seeds, None)))
        layout, part = words
        steps: _Steps = arrays_in(self._memory, layout)
        self._cut, (self._action, self._final, self._outcome) = steps.cut, steps.rows(part)
        return self.step()

    def step(self) -> bytes:
        """As is written; then what came of it is. Environments may keep an action, so they are given a copy."""
        self._envs.send(self._action.copy(), None, cut=bool(self._cut), final=self._final)
        outcome = self._envs.receive()
        none = np.zeros(len(outcome.reward), bool)
        write(self._outcome, outcome._replace(lost=none) if outcome.lost is None else outcome)
        return DONE
