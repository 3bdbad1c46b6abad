"""All methods on five families, with as many environment steps for each: what they reach, and at what cost in the task.

    python benchmarks/learning/all_methods.py                          all
    python benchmarks/learning/all_methods.py cartpole pendulum        two families
    python benchmarks/learning/all_methods.py cartpole rl2 maml        two methods on one family

Every method has its default settings but for what `SETTINGS` says of the family, which holds for all methods that have
such a setting. A row of benchmarks/results/all-methods.json is written as soon as it is there; rows that are there
already are left alone.
`scratch` needs no meta-training: its agents learn in each task for as many steps as its default lifetime has.
"""

import dataclasses
import json
from typing import Any

from experiment import RESULTS, RUNS, SEEDS, SWING_UP, chosen, metrics_of

import rl_meta
from rl_meta.algorithms.base import Method
from rl_meta.tasks.base import Family
from rl_meta.training.catalogue import families, methods
from rl_meta.training.run import versions

FAMILIES = ("cartpole", "grid-navigation", "pendulum", "dark-room", "point-goal-sparse")
SETTINGS = {"pendulum": SWING_UP}
"""By family."""
STEPS = 1_000_000
TASKS = 200
OUTPUT = RESULTS / "all-methods.json"


def row(family_name: str, method_name: str) -> dict[str, Any]:
    """One method on one family: all seeds trained at once."""
    family: Family = families.load(family_name)()
    make: type[Method] = methods.load(method_name)
    known = {field.name for field in dataclasses.fields(make)}
    method = make(**{name: value for name, value in SETTINGS.get(family_name, {}).items() if name in known})
    untrained = getattr(method, "learns_in_lifetime_only", False)
    run = rl_meta.train(
        family,
        method,
        out=RUNS / f"all-{family_name}-{method_name}",
        steps=1 if untrained else STEPS,
        seeds=SEEDS,
    )
    config = json.loads((run / "config.json").read_text())
    told = rl_meta.evaluate(run, tasks=TASKS, baselines=(), seed=1000)
    return {
        "family": config["family"],
        "method": config["method"],
        "env_steps": 0 if untrained else STEPS,
        "seeds": SEEDS,
        "tasks": TASKS,
        "acting": told["acting"],
        "training_seconds": round(sum(line["seconds"] for line in metrics_of(run))),
        **{name: told[name] for name in ("stages", "episodes", "lifetime", "delta")},
        "versions": versions(),
    }


def rows_so_far() -> dict[str, dict[str, Any]]:
    """By family and method."""
    return json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}


def main() -> None:
    """All that is not there yet."""
    names = chosen([*FAMILIES, *methods.table])
    for family in [name for name in FAMILIES if name in names] or FAMILIES:
        for method in [name for name in methods.table if name in names] or methods.table:
            if method in rows_so_far().get(family, {}):
                continue
            one = row(family, method)
            table = rows_so_far()  # again: another process may have written other rows
            table.setdefault(family, {})[method] = one
            whole = OUTPUT.with_suffix(".new")
            whole.write_text(json.dumps(table, indent=1) + "\n")
            whole.replace(OUTPUT)
            told = f"{one['stages'][-1]['mean']:.2f} in the last stage, {one['training_seconds']} s of training"
            print(f"{family}, {method}: {told}", flush=True)


if __name__ == "__main__":
    main()
