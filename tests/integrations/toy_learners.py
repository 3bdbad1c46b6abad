"""Learners of no library, that are known in closed form."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np


class HalfWay:
    """Moves half-way to its task's number."""

    def __init__(self, returned=lambda goal: goal):
        self.x, self.steps, self.goals, self.begun, self.returned = np.float32(0), np.int32(0), [], [], returned

    def get_parameters(self):
        return {"x": self.x, "steps": self.steps}

    def set_parameters(self, parameters):
        self.x, self.steps = parameters["x"], parameters["steps"]
        self.begun.append(float(self.x))

    def learn(self, task, steps):
        self.goals.append(float(task.goal))
        self.x, self.steps = np.float32((self.x + task.goal) / 2), np.int32(self.steps + steps)
        return self.returned(self.goals[-1])

    def evaluate(self, task):
        return -abs(float(self.x - task.goal))

    def save(self, path):
        path.write_text(str(self.x))


class Wavering(HalfWay):
    """Draws numbers, which no task may hand on to the next one."""

    random = np.random.default_rng(0)

    def reseed(self, seed):
        self.random = np.random.default_rng(seed)

    def learn(self, task, steps):
        die_once()
        super().learn(task, steps)
        self.x += np.float32(self.random.normal())
        return float(self.random.normal())


def die_once():
    """Where $GRAVE is a file that is not there, the first one to get here makes it and ends its process."""
    if "GRAVE" in os.environ:
        with suppress(FileExistsError):
            Path(os.environ["GRAVE"]).touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
