"""Connecting to Ray: to a cluster, or to a small and quiet one of this process's own."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from rl_meta.errors import UserError
from rl_meta.tasks.surroundings import surroundings

LOCAL = "local"
"""In place of an address: a Ray of this process's own."""
STORE_BYTES = 200 * 2**20
"""Of a local Ray's object store, where what goes through it is small: weights and scores."""


@contextmanager
def connected(cpus: int) -> Iterator[None]:
    """A Ray of this process's own, that ends with it; where one is connected to already, that one."""
    mine = not ray.is_initialized()
    start(cpus)
    try:
        yield
    finally:
        if mine:
            ray.shutdown()


def start(cpus: int) -> None:
    """Start Ray on this machine, or connect to the cluster that `RAY_ADDRESS` names, if that is not done already.

    Raises:
        UserError: it does not start, or nobody answers.
    """
    if not ray.is_initialized():
        connect(os.environ.get("RAY_ADDRESS") or LOCAL, cpus=cpus, store_bytes=STORE_BYTES)


def connect(address: str, *, cpus: float, gpus: float = 0.0, store_bytes: int | None = None) -> None:
    """Connect to a cluster, or start a Ray for this process that finds what this one finds: modules of the user's own.

    Args:
        address: of a cluster's head, `auto` for the one that this machine is in, or `local`.
        cpus: of a local Ray.
        gpus: of a local Ray.
        store_bytes: of a local Ray's object store; None: Ray's own choice.

    Raises:
        UserError: nobody answers, or it does not start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    python = ".".join(map(str, sys.version_info[:3]))
    problem = f"no Ray cluster answers at {address!r}"
    hint = f"start one with `ray start --head` (Ray {ray.__version__}, Python {python}, as here), or give --ray local"
    if address == LOCAL:
        how |= {"include_dashboard": False, "num_cpus": max(1, round(cpus)), "object_store_memory": store_bytes}
        how |= {"runtime_env": {"env_vars": {"PYTHONPATH": surroundings()["PYTHONPATH"]}}}
        how |= {"num_gpus": round(gpus)} if gpus else {}
        problem, hint = "Ray did not start on this machine", "try again when it has less to do, or do without Ray"
    try:
        with warnings.catch_warnings():  # of forks with threads: what Ray forks becomes another program at once
            warnings.filterwarnings("ignore", ".*os.fork", RuntimeWarning)
            ray.init(address=address, **how)
    except Exception as error:  # Ray raises several kinds, and `Exception` itself where it starts too slowly
        raise UserError(f"{problem}: {hint} ({error})") from None
