"""Workers of a crew as processes of this machine.

They are fresh processes, not forks: nothing of JAX is shared with them, and scripts need no guard. What is said is
pickled and goes over a socket; a process ends when the other end of its socket closes.
"""

import contextlib
import socket
import subprocess
import sys
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle

from rl_meta.collection.crew import Make, News, Worker
from rl_meta.tasks.surroundings import surroundings


class Processes:
    """See `Workplace`. A worker is the socket that leads to it."""

    def __init__(self, make: Make) -> None:
        self._make = cloudpickle.dumps(make)
        self._processes: dict[Connection, subprocess.Popen] = {}

    def hire(self) -> Connection:
        """See `Workplace`."""
        ours, theirs = socket.socketpair()
        code = f"from rl_meta.collection.processes import serve; serve({theirs.fileno()})"
        process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[theirs.fileno()], start_new_session=True, env=surroundings()
        )
        theirs.close()
        worker = Connection(ours.detach())
        self._processes[worker] = process
        with contextlib.suppress(OSError):  # a worker that is gone is noticed when it is to answer
            worker.send_bytes(self._make)
        return worker

    def share(self, value: Any) -> bytes:
        """See `Workplace`."""
        return cloudpickle.dumps(value)

    def give(self, worker: Connection, shared: bytes, job: Any) -> None:
        """See `Workplace`."""
        with contextlib.suppress(OSError):
            worker.send_bytes(shared)
            worker.send_bytes(cloudpickle.dumps(job))

    def news(self, seconds: float) -> list[News]:
        """See `Workplace`."""
        return [self._heard(worker) for worker in wait(list(self._processes), seconds)]  # type: ignore[arg-type]

    def _heard(self, worker: Connection) -> News:
        try:
            return News(worker, *cloudpickle.loads(worker.recv_bytes()))
        except (EOFError, OSError):
            process = self._processes[worker]
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            return News(worker, "died", f"its process ended with status {process.returncode}")

    def dismiss(self, worker: Connection) -> None:
        """See `Workplace`."""
        process = self._processes.pop(worker)
        worker.close()
        process.kill()
        process.wait()

    def close(self) -> None:
        """See `Workplace`."""
        for worker in list(self._processes):
            self.dismiss(worker)

    def about(self) -> str:
        """See `Workplace`."""
        return f"{len(self._processes)} processes of this machine are still starting"

    def pids(self) -> list[int]:
        """Of the processes."""
        return [process.pid for process in self._processes.values()]


def serve(descriptor: int) -> None:
    """The work of a worker, until the other end of the socket closes."""
    pipe, worker = Connection(descriptor), Worker()
    with contextlib.suppress(EOFError, OSError):
        pipe.send_bytes(cloudpickle.dumps(worker.begin(pipe.recv_bytes())))
        while True:
            shared = cloudpickle.loads(pipe.recv_bytes())
            pipe.send_bytes(cloudpickle.dumps(worker.do(shared, cloudpickle.loads(pipe.recv_bytes()))))
