"""`rl-meta demo`: the main job from end to end."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rl_meta import api
from rl_meta.commands.evaluate import EvaluateOptions, evaluated, print_evaluation
from rl_meta.commands.progress import stoppable, training_bar
from rl_meta.commands.train import free_directory


@dataclass(frozen=True)
class DemoOptions:
    """Meta-train RL² on cartpole, adapt to 200 unseen tasks, compare with learning each of them from scratch."""

    out: Path | None = None
    """Run directory; default runs/demo-N."""
    steps: int = 4_000_000
    """Environment steps of training."""


def run(words: list[str]) -> None:
    """Train, evaluate, report."""
    options = tyro.cli(DemoOptions, args=words, prog="rl-meta demo")
    out = options.out or free_directory("demo")
    print("Poles with hidden gravity, length, mass, push strength and push direction: learning how to learn them.")
    with training_bar() as say:
        stoppable(lambda: api.train("cartpole", "rl2", out=out, steps=options.steps, report=say), out)
    print_evaluation(evaluated(EvaluateOptions(run=out)))
    print(f"\nlook at: {api.report(out)}")
