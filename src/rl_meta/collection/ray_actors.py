"""Workers of a crew as actors of a Ray cluster. What goes with all jobs is put into its object store once.

An actor that died is not restarted by Ray but replaced by the crew, on any node that has room. One for which there is
no room waits for a node that has.
"""

from typing import Any

import cloudpickle
import ray

from rl_meta.collection.crew import Make, News, Worker
from rl_meta.ray_session import connect


class RayActors:
    """See `Workplace`. Goes on in a Ray that runs in this process already, and leaves that running."""

    def __init__(self, make: Make, address: str, *, workers: int, cpus: float = 1.0, gpus: float = 0.0) -> None:
        """address: of the cluster's head, `auto` for the one that this machine is in, `local` for one of its own.

        Args:
            make: see `Crew`.
            address: where the cluster is.
            workers: for how many actors a local Ray is to have room.
            cpus: that an actor takes, in Ray's account.
            gpus: the same of accelerators; an actor that takes none stays on the processor.

        Raises:
            UserError: there is no cluster.
        """
        self._make, self._needs = cloudpickle.dumps(make), {"num_cpus": cpus, "num_gpus": gpus}
        self._workers: set[Any] = set()
        self._asked: dict[Any, Any] = {}
        self._ours = not ray.is_initialized()
        if self._ours:
            connect(address, cpus=workers * cpus, gpus=workers * gpus)
        self._actor = ray.remote(Worker)

    def hire(self) -> Any:
        """See `Workplace`."""
        actor = self._actor.options(**self._needs, max_restarts=0).remote()
        self._workers.add(actor)
        self._asked[actor.begin.remote(self._make, accelerated=self._needs["num_gpus"] > 0)] = actor
        return actor

    def share(self, value: Any) -> Any:
        """See `Workplace`."""
        return ray.put(value)

    def give(self, worker: Any, shared: Any, job: Any) -> None:
        """See `Workplace`."""
        self._asked[worker.do.remote(shared, job)] = worker

    def news(self, seconds: float) -> list[News]:
        """See `Workplace`."""
        answered, _ = ray.wait(list(self._asked), timeout=seconds)
        if answered:  # and all others that have answered meanwhile
            answered, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
        return [self._heard(answer) for answer in answered]

    def _heard(self, answer: Any) -> News:
        worker = self._asked.pop(answer)
        try:
            return News(worker, *ray.get(answer))
        except ray.exceptions.RayError as error:
            return News(worker, "died", str(error))

    def dismiss(self, worker: Any) -> None:
        """See `Workplace`."""
        self._workers.discard(worker)
        self._asked = {answer: other for answer, other in self._asked.items() if other != worker}
        ray.kill(worker)

    def close(self) -> None:
        """See `Workplace`."""
        if not ray.is_initialized():
            return
        for worker in list(self._workers):
            self.dismiss(worker)
        if self._ours:
            ray.shutdown()

    def about(self) -> str:
        """See `Workplace`."""
        has, free = ray.cluster_resources(), ray.available_resources()
        counted = [f"{free.get(name, 0):g} of {has.get(name, 0):g} {name}s free" for name in ("CPU", "GPU")]
        return f"the cluster has {' and '.join(counted)}, a worker needs {self._needs}"
