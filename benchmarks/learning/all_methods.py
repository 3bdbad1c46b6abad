"""All methods on five families, with as many environment steps for each: what they reach, and at what cost in the task.

    python benchmarks/learning/all_methods.py                    all
    python benchmarks/learning/all_methods.py cartpole pendulum  some families

Every method has its default settings but for what `SETTINGS` says, which is the same for all families. A row of
benchmarks/results/all-methods.json is written as soon as it is there; rows that are there already are left alone.
`scratch` needs no meta-training: its agents learn in each task for as many steps as its default lifetime has.
"""

import json
from typing import Any

from experiment import RESULTS, SEEDS, chosen, trained_and_tried

from rl_meta.algorithms.base import Method
from rl_meta.tasks.base import Family
from rl_meta.training.catalogue import families, methods

FAMILIES = ("cartpole", "pendulum", "point-goal-sparse", "grid-navigation", "dark-room")
SETTINGS: dict[str, dict[str, Any]] = {}
STEPS = 2_000_000
TASKS = 200
OUTPUT = RESULTS / "all-methods.json"


def row(family_name: str, method_name: str) -> dict[str, Any]:
    """One method on one family."""
    family: Family = families.load(family_name)()
    method: Method = methods.load(method_name)(**SETTINGS.get(method_name, {}))
    name, untrained = f"all-{family_name}-{method_name}", getattr(method, "learns_in_lifetime_only", False)
    steps = 1 if untrained else STEPS
    result = trained_and_tried(name, family, method, steps=steps, tasks=TASKS, acting="sampled")
    return result | {"name": name, "env_steps": 0 if untrained else STEPS}


def main() -> None:
    """All that is not there yet."""
    table = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
    for family in chosen(list(FAMILIES)):
        for method in methods.table:
            if method in table.get(family, {}):
                continue
            table.setdefault(family, {})[method] = one = row(family, method)
            OUTPUT.write_text(json.dumps(table, indent=1) + "\n")
            last = [stages[-1] for stages in one["stages_by_seed"]]
            print(f"{family}, {method}: last stage {[round(value, 2) for value in last]} of {SEEDS} seeds", flush=True)


if __name__ == "__main__":
    main()
