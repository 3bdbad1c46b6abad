"""`rl-meta train`: meta-train a method on a family, or continue a run."""

import json
import re
import shlex
from dataclasses import make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from rl_meta import api
from rl_meta.collection.cluster import Cluster
from rl_meta.commands.progress import stoppable, training_bar
from rl_meta.errors import UserError
from rl_meta.training.catalogue import families, methods
from rl_meta.training.config import LEARNER, RunConfig

GYM = "gym:"
VARY = [
    (
        "vary",
        Annotated[
            tuple[str, ...],
            tyro.conf.UseAppendAction,
            tyro.conf.arg(help="A parameter that differs between tasks: NAME=LOW:HIGH, NAME=log:LOW:HIGH, NAME=A,B,C."),
        ],
        (),
    )
]
"""The option of families of Gymnasium's environments, for every parameter."""

_about = lambda kind, text: Annotated[kind, tyro.conf.arg(help=text)]
CLUSTER = [
    ("collectors", _about(int, "Other processes that live the lifetimes; 0: this one does."), 0),
    ("ray", _about(str | None, "Whose actors they are: a Ray cluster's ADDRESS, auto, or local."), None),
    ("collector_cpus", _about(float, "Of Ray's, per collector."), Cluster.cpus),
    ("collector_gpus", _about(float, "Of Ray's, per collector."), Cluster.gpus),
    ("learner_devices", _about(int, "Over which an update is spread, where there are collectors."), 1),
]
"""The options that say who lives the lifetimes."""


def cluster_of(count: int, ray: str | None, *how: Any, name: str = "collectors") -> Cluster | None:
    """Who does the work; None: this process.

    how: the other fields of `Cluster`. name: of the option that says `count`.
    """
    if count:
        return Cluster(count, ray, *how)
    if ray is not None:
        raise UserError(f"Ray at {ray!r} needs to be told for how many {name}: --{name} N")
    return None


def _chosen(options: Any) -> Cluster | None:
    """What was chosen of `CLUSTER`."""
    return cluster_of(*(getattr(options, name) for name, _, _ in CLUSTER))


def run(words: list[str]) -> None:
    """Train, say where the run is."""
    from rl_meta.commands import train_foreign  # noqa: PLC0415 (it is made of this module)

    if "--resume" in words or any(word.startswith("--resume=") for word in words):
        resumed: Any = tyro.cli(ResumeOptions, args=words, prog="rl-meta train")
        with training_bar() as say:
            workers = cluster_of(resumed.workers, resumed.ray, name="workers") if resumed.workers else None
            cluster = workers or _chosen(resumed)
            stoppable(lambda: api.resume(resumed.resume, report=say, cluster=cluster), resumed.resume)
        say_trained = train_foreign.say_trained if (resumed.resume / LEARNER).exists() else _say_trained
        say_trained(resumed.resume, as_json=resumed.json)
        return
    if any(word.split("=")[0] == "--learner" for word in words):
        train_foreign.run(words)
        return
    family, method, options = _train_options(words)
    out = options.out or free_directory(re.sub(r"[^\w.-]", "-", f"{words[0]}-{words[1]}"))
    with training_bar() as say:
        stoppable(
            lambda: api.train(
                family,
                method,
                out=out,
                steps=options.steps,
                seed=options.seed,
                seeds=options.seeds,
                initial=options.init_from,
                cluster=_chosen(options),
                report=say,
            ),
            out,
        )
    _say_trained(out, as_json=options.json)


def _say_trained(run: Path, *, as_json: bool) -> None:
    told = f"trained: {run}   next: rl-meta evaluate {shlex.quote(str(run))}"
    print(json.dumps({"run": str(run)}) if as_json else told)


ResumeOptions = make_dataclass(
    "ResumeOptions",
    [
        ("resume", _about(Path, "The run directory.")),
        ("json", _about(bool, "Print where the run is as one JSON object."), False),
        ("workers", _about(int, "Of a learner of another library: other processes that learn side by side."), 0),
        *CLUSTER,
    ],
    namespace={"__doc__": "Continue a run that was stopped, to the same numbers as if it had not been."},
    frozen=True,
)


def _train_options(words: list[str]) -> tuple[Any, Any, Any]:
    """Family, method and options; the fields of the first two are options of this command."""
    names = [word for word in words[:2] if not word.startswith("-")]
    if len(names) < 2:
        print(
            "usage: rl-meta train FAMILY METHOD [--out DIR] [--steps N] [--seed S] [--seeds K] "
            "[--family.FIELD V] [--method.FIELD V] [--vary NAME=LOW:HIGH]\n"
            "       rl-meta train FAMILY METHOD --collectors N [--ray ADDRESS|auto|local]\n"
            "       rl-meta train --resume DIR\n"
            "       rl-meta train FAMILY reptile --learner sb3:PPO [--set NAME=VALUE]\n"
        )
        for kind in (families, methods):
            print(f"{kind.name}: {', '.join(sorted(kind.table))}{' or gym:ID' if kind is families else ''}")
        raise SystemExit(0 if {"-h", "--help"} & set(words) else 2)
    family, method = family_named(names[0]), methods.load(names[1])
    options = make_dataclass(
        "TrainOptions",
        [
            (
                "out",
                Annotated[Path | None, tyro.conf.arg(help="Run directory; default runs/FAMILY-METHOD-N.")],
                None,
            ),
            (
                "steps",
                Annotated[int, tyro.conf.arg(help="Environment steps over all lifetimes, per seed.")],
                RunConfig.steps,
            ),
            ("seed", Annotated[int, tyro.conf.arg(help="The first seed.")], 0),
            ("seeds", Annotated[int, tyro.conf.arg(help="Seeds to train at once.")], 1),
            ("init_from", Annotated[str | None, tyro.conf.arg(help="Weights to begin with: sb3:PPO:model.zip.")], None),
            ("json", Annotated[bool, tyro.conf.arg(help="Print where the run is as one JSON object.")], False),
            *CLUSTER,
            ("family", type(family), family),
            ("method", method, method()),
            *(VARY if hasattr(family, "set_task") else ()),
        ],
        frozen=True,
    )
    parsed: Any = tyro.cli(
        options, args=words[2:], prog=f"rl-meta train {names[0]} {names[1]}", description="Meta-train."
    )
    varied = {"vary": parsed.vary} if getattr(parsed, "vary", ()) else {}
    return replace(parsed.family, **varied), parsed.method, parsed


def family_named(name: str) -> Any:
    """A family's default settings; `gym:ID` is any environment of Gymnasium, of which nothing varies so far.

    Raises:
        UserError: no such family; or `gym:MODULE:ID`, for which there is an option.
    """
    if name.startswith(GYM):
        module, found, env = name.removeprefix(GYM).rpartition(":")
        if found:
            raise UserError(f"to use what a module of yours registers: rl-meta --import {module} train {GYM}{env} ...")
        return families.load("gymnasium")(env=env, vary=())
    return families.make(name)


def free_directory(stem: str) -> Path:
    """runs/STEM-N with the smallest N that is free."""
    index = 1
    while (path := Path("runs") / f"{stem}-{index}").exists():
        index += 1
    return path
