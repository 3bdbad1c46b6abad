"""Ray on this machine: started small and quiet where nobody has connected to one."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from rl_meta.errors import UserError

STORE_BYTES = 200 * 2**20
"""Of Ray's object store: weights and scores are small."""


def modules_of_this_process() -> dict[str, Any]:
    """Let Ray's processes find what this one finds: families and methods of the user's own."""
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}}


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
    """Start Ray on this machine, if none is connected to and `RAY_ADDRESS` names none.

    Raises:
        UserError: it does not start.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
        return
    small: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*os.fork", RuntimeWarning)  # another program follows at once
        try:
            ray.init("local", runtime_env=modules_of_this_process(), **small, **quiet)
        except Exception as error:  # Ray gives its own processes 30 seconds, and raises no narrower one
            raise UserError(f"Ray did not start, try again when the machine is less busy: {error}") from error
