"""An agent that adapts, from a directory that `rl-meta export` wrote. Needs NumPy and one runtime, and no RL-Meta.

The programs beside this file can also be called without it: agent.json names their inputs and outputs.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, Any]


class Agent:
    """Lives one lifetime at a time, between two calls of `begin_task`.

    An agent that adapts by learning does so by itself, after every `copies` times `steps` steps of its stages.
    """

    def __init__(self, directory: str | Path = Path(__file__).parent) -> None:
        """directory: where agent.json is."""
        self.about = json.loads((Path(directory) / "agent.json").read_text())
        load = {"onnx": _onnx, "tensorflow": _tensorflow, "torch": _torch}[self.about["to"]]
        self._programs = {name: load(Path(directory), name, about) for name, about in self.about["programs"].items()}
        learn = self.about["programs"].get("learn", {"inputs": []})
        self._learned_from = [x["name"] for x in learn["inputs"] if x["name"].startswith("steps_")]

    def begin_task(self, seed: int = 0) -> None:
        """A new task: all that was learned in the last one is forgotten. `seed` decides every later draw."""
        self._random = np.random.default_rng(seed)
        state = self._run("begin", {}) if "begin" in self._programs else {}
        self._adapted = {name: x for name, x in state.items() if name.startswith("adapted")}
        memory = {name: x for name, x in state.items() if name.startswith("memory")}
        self._memories = [memory] * self.about["stage"]["copies"]
        self._inputs: Arrays = {}
        self._steps: list[Arrays] = []

    def act(
        self,
        observation: Any,
        reward: float = 0.0,
        terminated: bool = False,
        truncated: bool = False,
        *,
        final_observation: Any = None,
        deterministic: bool = False,
    ) -> np.ndarray:
        """The next action.

        Args:
            observation: what the environment shows now: after the end of an episode, the first one of the next.
            reward: what the previous action brought. Ignored in the first call of a task.
            terminated: whether the previous action ended the episode.
            truncated: whether a time limit did.
            final_observation: the last observation of the episode that ended, where one did and it is known.
            deterministic: act at its best instead of as in training.
        """
        shown = self._named("inputs_obs", observation)
        if not all(np.isfinite(x).all() for x in (*shown.values(), np.float32(reward))):
            raise ValueError(f"an observation and a reward must be finite, got {observation} and {reward}")
        if not self._inputs:
            zeros = {x["name"]: np.zeros(x["shape"], x["dtype"]) for x in self.about["programs"]["act"]["inputs"]}
            unseen = {name: x for name, x in zeros.items() if name.startswith("inputs_last")}
            self._inputs = {**unseen, **shown, "inputs_first": np.ones((), bool)}
        else:
            final = observation if final_observation is None else final_observation
            self._go_on(shown, final if terminated or truncated else observation, reward, (terminated, truncated))
        resting = self.about["resting_noise"] if deterministic else ()
        copy = len(self._steps) // self.about["stage"]["steps"]
        out = self._run("act", {**self._adapted, **self._memories[copy], **self._inputs}, resting)
        self._memories[copy] = {name: x for name, x in out.items() if name.startswith("memory")}
        self._last = out
        return np.asarray(out["action"])

    def _go_on(self, shown: Arrays, result: Any, reward: float, ended: tuple[bool, bool]) -> None:
        """Record what the last action led to; learn where that ended the stage. ended: terminated, truncated."""
        stage, (terminated, truncated) = self.about["stage"], map(bool, ended)
        last_of_stage = (len(self._steps) + 1) % stage["steps"] == 0
        truncated = (truncated or (last_of_stage and stage["restart"])) and not terminated
        step = {f"steps_{name}": x for name, x in {**self._inputs, **self._last}.items()}
        step |= {"steps_action": self._last["drawn"], "steps_reward": np.float32(reward)}
        step |= {"steps_terminated": np.array(terminated), "steps_truncated": np.array(truncated)}
        step |= self._named("steps_next_obs", result)
        self._steps.append({name: step[name] for name in self._learned_from})
        self._inputs = {**shown, **self._named("inputs_last_result", result)}
        self._inputs |= {"inputs_last_action": self._last["drawn"], "inputs_last_reward": np.float32(reward)}
        self._inputs |= {"inputs_first": np.array(terminated or truncated)}
        if len(self._steps) == stage["steps"] * stage["copies"]:
            self._end_stage()

    def _end_stage(self) -> None:
        if self._learned_from:
            shape = self.about["stage"]["copies"], self.about["stage"]["steps"]
            rows = {name: np.stack([np.asarray(step[name]) for step in self._steps]) for name in self._learned_from}
            stage = {name: x.reshape(*shape, *x.shape[1:]) for name, x in rows.items()}
            self._adapted = self._run("learn", {**self._adapted, **stage})
        self._steps = []

    def _named(self, name: str, observation: Any) -> Arrays:
        """An observation's parts by name, in their types."""
        if isinstance(observation, Mapping):
            parts = [self._named(f"{name}_{key}", part) for key, part in observation.items()]
            return {name: x for part in parts for name, x in part.items()}
        name = re.sub(r"\W", "_", name)
        as_seen = re.sub("steps_next_obs|inputs_last_result", "inputs_obs", name)
        (like,) = [x for x in self.about["programs"]["act"]["inputs"] if x["name"] == as_seen]
        return {name: np.asarray(observation, like["dtype"]).reshape(like["shape"])}

    def _run(self, program: str, given: Arrays, resting: Any = ()) -> Arrays:
        """Outputs by name, `next_` taken off."""
        about = self.about["programs"][program]
        noise = {x["name"]: self.draw(x, resting=x["name"] in resting) for x in about["noise"]}
        known = {**given, **noise}
        found = self._programs[program]({x["name"]: np.asarray(known[x["name"]]) for x in about["inputs"]})
        return {name.removeprefix("next_"): x for name, x in found.items()}

    def draw(self, noise: Mapping[str, Any], *, resting: bool) -> np.ndarray:
        """A random input. resting: for acting deterministically."""
        shape, kind = noise["shape"], noise["kind"]
        if kind == "bits":
            return self._random.integers(0, 2**32, shape, np.uint32)
        drawn = self._random.gumbel(size=shape) if kind == "gumbel" else self._random.normal(size=shape)
        return np.asarray(0 * drawn if resting else drawn, np.float32)


Program = Callable[[Arrays], Arrays]


def _onnx(directory: Path, name: str, about: Mapping[str, Any]) -> Program:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # faster for small networks
    session = onnxruntime.InferenceSession(directory / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
    outputs = [x["name"] for x in about["outputs"]]
    return lambda inputs: dict(zip(outputs, session.run(outputs, inputs), strict=True))


def _tensorflow(directory: Path, name: str, about: Mapping[str, Any]) -> Program:
    import tensorflow

    model = tensorflow.saved_model.load(str(directory / "saved_model"))

    def run(inputs: Arrays) -> Arrays:
        found = model.signatures[name](**{name: tensorflow.constant(x) for name, x in inputs.items()})
        return {x["name"]: found[x["name"]].numpy() for x in about["outputs"]}

    return run


def _torch(directory: Path, name: str, about: Mapping[str, Any]) -> Program:
    import torch

    module = torch.export.load(directory / f"{name}.pt2").module()

    def run(inputs: Arrays) -> Arrays:
        with torch.no_grad():
            found = module(*(torch.from_numpy(np.array(x)) for x in inputs.values()))
        return {x["name"]: y.numpy() for x, y in zip(about["outputs"], found, strict=True)}

    return run
