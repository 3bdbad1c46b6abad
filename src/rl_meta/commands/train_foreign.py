"""`rl-meta train FAMILY reptile --learner LIBRARY:ALGORITHM`: meta-train a learner of another library."""

import ast
import json
import re
from dataclasses import make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from rl_meta import api
from rl_meta.commands.progress import stoppable, training_bar
from rl_meta.commands.train import VARY, cluster_of, family_named, free_directory
from rl_meta.errors import UserError
from rl_meta.integrations.foreign import ForeignReptile
from rl_meta.integrations.learners import library_of
from rl_meta.training.config import LEARNER


def run(words: list[str]) -> None:
    """Train, say where the model is."""
    names = [word for word in words[:2] if not word.startswith("-")]
    if len(names) < 2 or names[1] != "reptile":
        raise UserError(f"--learner goes with a family and the method reptile, got {' '.join(names) or 'neither'}")
    options = _options(names[0], words[2:])
    stem = re.sub(r"[^\w.-]", "-", f"{names[0]}-reptile-{options.learner}")
    varied = {"vary": options.vary} if getattr(options, "vary", ()) else {}
    out = options.out or free_directory(stem)
    with training_bar() as say:
        stoppable(
            lambda: api.train_learner(
                replace(options.family, **varied),
                options.learner,
                options.method,
                out=out,
                steps=options.steps,
                seed=options.seed,
                n_envs=options.n_envs,
                settings=dict(map(_setting, options.set)),
                cluster=cluster_of(options.workers, options.ray, name="workers"),
                report=say,
            ),
            out,
        )
    say_trained(out, as_json=options.json)


def say_trained(out: Path, *, as_json: bool) -> None:
    """Where the model is, and how its library reads it."""
    name = json.loads((out / LEARNER).read_text())["learner"]["name"]
    library = library_of(name)
    model = str(out / library.model)
    loading = library.loading.format(algorithm=name.partition(":")[2], model=model)
    print(json.dumps({"model": model}) if as_json else f"trained: {model}   next: {loading}")


def _options(name: str, words: list[str]) -> Any:
    """The options of this command; the fields of the family and of the outer loop are among them."""
    family = family_named(name)
    text = lambda kind, about: Annotated[kind, tyro.conf.arg(help=about)]
    setting = "A setting as the library calls it, NAME=VALUE: --set learning_rate=1e-3 --set n_steps=128."
    fields = [
        ("learner", text(str, "sb3: and PPO, A2C, SAC, TD3, DQN, TRPO or QRDQN; or rllib: and PPO or DQN."), "sb3:PPO"),
        ("set", Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(help=setting)], ()),
        ("n_envs", text(int, "Environments in a task."), 8),
        ("workers", text(int, "Other processes that learn in the tasks side by side; 0: this one does."), 0),
        ("ray", text(str | None, "Whose actors they are: a Ray cluster's ADDRESS, auto, or local."), None),
        ("out", text(Path | None, "Directory; default runs/FAMILY-reptile-LEARNER-N."), None),
        ("steps", text(int, "Environment steps over all tasks."), 1_000_000),
        ("seed", text(int, "Decides all randomness."), 0),
        ("json", text(bool, "Print where the model is as one JSON object."), False),
        ("family", type(family), family),
        ("method", ForeignReptile, ForeignReptile()),
        *(VARY if hasattr(family, "set_task") else ()),
    ]
    options = make_dataclass("TrainOptions", fields, frozen=True)
    return tyro.cli(options, args=words, prog=f"rl-meta train {name} reptile", description="Meta-train a learner.")


def _setting(entry: str) -> tuple[str, Any]:
    """NAME=VALUE, where the value is a Python literal or else a word."""
    name, found, value = entry.partition("=")
    if not found:
        raise UserError(f"--set must be like learning_rate=1e-3, got {entry!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
