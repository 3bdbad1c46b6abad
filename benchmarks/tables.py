"""Write the tables of the README and of docs from benchmarks/results/*.json.

python benchmarks/tables.py            rewrite them
python benchmarks/tables.py --check    fail if they are not what the results say
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rl_meta.numerics.statistics import summarise

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

LEARNING = [
    ("cartpole-rl2", "cartpole, length of the first episode in an unknown task", "rl2", "first episode"),
    ("bandit-10-5-rl2", "Bernoulli bandit, 10 pulls, 5 arms", "rl2", "lifetime"),
    ("bandit-10-5-hypernetwork", "the same", "hypernetwork", "lifetime"),
    ("bandit-10-5-transformer", "the same", "transformer (attention)", "lifetime"),
    ("bandit-10-5-maml", "the same, a gradient step after every 2 pulls", "maml", "lifetime"),
    ("bandit-100-5-rl2", "Bernoulli bandit, 100 pulls, 5 arms", "rl2", "lifetime"),
    ("bandit-100-5-linear-recurrence", "the same", "transformer (linear recurrence)", "lifetime"),
    ("bandit-100-10-rl2", "Bernoulli bandit, 100 pulls, 10 arms", "rl2 (recall)", "lifetime"),
    ("bandit-100-10-gru", "the same", "rl2", "lifetime"),
    ("bandit-100-10-linear-recurrence", "the same", "transformer (linear recurrence)", "lifetime"),
    ("bandit-100-10-attention", "the same", "transformer (attention)", "lifetime"),
    ("bandit-500-10-rl2", "Bernoulli bandit, 500 pulls, 10 arms", "rl2 (judge)", "lifetime"),
    ("bandit-500-50-rl2", "Bernoulli bandit, 500 pulls, 50 arms", "rl2 (judge)", "lifetime"),
    ("tabular-mdp-rl2", "random tabular MDPs, 10 episodes", "rl2 (recall)", "lifetime"),
    ("tabular-mdp-gru", "the same", "rl2", "lifetime"),
    ("tabular-mdp-hypernetwork", "the same", "hypernetwork (recall)", "lifetime"),
    ("tabular-mdp-transformer", "the same", "transformer (recall)", "lifetime"),
    ("tabular-mdp-maml", "the same, a gradient step after 5 episodes", "maml", "lifetime"),
    ("grid-navigation-rl2", "grid navigation, 4 episodes", "rl2", "lifetime"),
    ("grid-navigation-recall", "the same", "rl2 (recall)", "lifetime"),
    ("grid-navigation-varibad", "the same", "varibad", "lifetime"),
    ("grid-navigation-hypernetwork", "the same", "hypernetwork", "lifetime"),
    ("grid-navigation-transformer", "the same", "transformer", "lifetime"),
    ("grid-navigation-linear-recurrence", "the same", "transformer (linear recurrence)", "lifetime"),
    ("point-goal-maml", "point-goal, return per episode after 1 gradient step", "maml", "stage 1"),
    ("point-goal-maml", "the same, after 3 gradient steps", "maml", "stage 3"),
    ("point-goal-maml-3-steps", "the same, trained with 3 gradient steps", "maml", "stage 3"),
    ("point-goal-promp", "point-goal, return per episode after 1 gradient step", "promp", "stage 1"),
    ("point-goal-promp", "the same, after 3 gradient steps", "promp", "stage 3"),
    ("point-goal-sparse-pearl", "sparse point-goal, third episode", "pearl", "last episode"),
    ("point-goal-sparse-rl2", "the same", "rl2", "last episode"),
    ("pendulum-pearl", "pendulum, third episode", "pearl", "last episode"),
    ("pendulum-rl2", "the same", "rl2", "last episode"),
]
"""The results' name, the tasks, the method, and which score."""

COMPARED = {
    "cartpole": "cartpole",
    "pendulum": "pendulum",
    "point-goal-sparse": "point-goal, sparse",
    "grid-navigation": "grid navigation",
    "dark-room": "dark room",
}


def learning_table() -> list[str]:
    """Returns reached on held-out tasks beside the known values."""
    rows = [
        "| tasks | method | reached | 95 % interval | seeds | steps | known values |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, title, method, what in LEARNING:
        if (result := _result(name)) is None:
            continue
        score = _score(what, result)
        known = ", ".join(f"{what} {value:g}" for what, value in result["known"].items() if "target" not in what)
        interval = f"{score['low']:.2f} to {score['high']:.2f}"
        steps = f"{result['env_steps'] / 1e6:g} M"
        reached = f"**{score['mean']:.2f}**"
        rows.append(f"| {title} | `{method}` | {reached} | {interval} | {result['seeds']} | {steps} | {known} |")
    return rows


def _score(what: str, result: dict[str, Any]) -> dict[str, Any]:
    """`lifetime`, `first episode`, `last episode` or `stage N`, counted from 0."""
    kind, _, number = what.partition(" ")
    if kind == "stage":
        return summarise([[stages[int(number)]] for stages in result["stages_by_seed"]])
    if what == "last episode":
        return summarise([[episodes[-1]] for episodes in result["episodes_by_seed"]])
    return result[what.replace(" ", "_")]


def method_table() -> list[str]:
    """All methods on several families: mean return per episode in the last stage."""
    results = _result("all-methods") or {}
    shown = [family for family in COMPARED if family in results]
    rows = [f"| method | {' | '.join(COMPARED[family] for family in shown)} |", "|---" * (len(shown) + 1) + "|"]
    cells = lambda method: " | ".join(_cell(results[family].get(method)) for family in shown)
    tried = sorted({method for family in shown for method in results[family]})
    return rows + [f"| `{method}` | {cells(method)} |" for method in tried]


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    last = row["stages"][-1]
    return f"**{last['iqm']:.1f}** ({last['low']:.1f} to {last['high']:.1f}), {_count(last['env_steps'])}"


def _count(steps: float) -> str:
    return f"{steps / 1000:.2g}k" if steps >= 1000 else f"{steps:g}"


def speed_table() -> list[str]:
    """Environment steps per second beside named peers."""
    rows = ["| what | RL-Meta | fastest peer | ratio | by CPU time |", "|---|---|---|---|---|"]
    result = _result("throughput") or {"rows": {}}
    for name, row in result["rows"].items():
        if not row["ratio"]:
            continue
        peer, of_cpu = row["ratio"]["to"], row["ratio_of_cpu_time"]
        speed = {who: entry["median_steps_per_second"] for who, entry in row["entries"].items()}
        envs = {who: entry["envs"] for who, entry in row["entries"].items()}
        ours, theirs = (f"{speed[who]:,.0f} ({envs[who]} environments)" for who in ("ours", peer))
        rows.append(f"| {name} | {ours} | {peer} {theirs} | {row['ratio']['value']:.1f} | {of_cpu['value']:.1f} |")
    return rows


AXES = {
    "method": "method",
    "learned": "settings that learned",
    "order": "gradients",
    "meta_batch_size": "tasks",
    "copies": "trajectories per task",
    "inner_steps": "inner steps",
    "outer": "outer step",
    "memory": "width",
    "horizon": "steps per episode",
    "episodes": "episodes per lifetime",
}
"""The settings that the speed benchmarks vary, in words."""


def maml_speed_table() -> list[str]:
    """What MAML-TRPO costs, and what that grows with."""
    return _points(_result("throughput-maml") or {}, "by CPU time", lambda point: f"{point['steps_per_cpu_second']:,}")


def memory_speed_table() -> list[str]:
    """What methods with a memory cost."""
    result = _result("throughput-memories") or {}
    return _points(result, "by CPU time", lambda point: f"{point['steps_per_cpu_second']:,}")


def scaling_table() -> list[str]:
    """What RL² costs, and what that grows with."""
    return _points(_result("scaling") or {}, "of the limit", lambda point: f"{point['fraction_of_limit']:.0%}")


def _points(result: dict[str, Any], title: str, last: Callable[[dict[str, Any]], str]) -> list[str]:
    """A row for each point of each axis."""
    rows = [f"| varied | value | steps/s | {title} | compiling, s | peak memory, MB |", "|---|---|---|---|---|---|"]
    for points in result.values():
        varied = next(name for name in AXES if len({point.get(name) for point in points}) > 1)
        for point in points:
            speed, memory = (f"{point[name]:,}" for name in ("steps_per_second", "peak_memory_mb"))
            cells = (AXES[varied], point[varied], speed, last(point), f"{point['compile_seconds']:g}", memory)
            rows.append(f"| {' | '.join(map(str, cells))} |")
    return rows


def family_speed_table() -> list[str]:
    """How fast the families step with random actions."""
    result = _result("throughput-families") or {"families": {}}
    rows = ["| family | million steps/s |", "|---|---|"]
    by_speed = sorted(result["families"].items(), key=lambda item: -item[1]["steps_per_second"])
    return rows + [f"| `{name}` | {speed['steps_per_second'] / 1e6:.1f} |" for name, speed in by_speed]


def message_table() -> list[str]:
    """What it costs to send an iteration's parameters and lifetimes."""
    measured = (_result("cluster") or {"measured": {"messages": {}}})["measured"]
    rows = [
        "| collectors are | parameters, MB | lifetimes, MB | one exchange, ms | of it without contents, ms |",
        "|---|---|---|---|---|",
    ]
    for name, told in measured["messages"].items():
        sizes = [f"{told[part] / 1e6:.2f}" for part in ("parameter_bytes", "lifetime_bytes")]
        times = [f"{1000 * told[part]:.1f}" for part in ("seconds", "empty_seconds")]
        rows.append(f"| {' | '.join((name, *sizes, *times))} |")
    return rows


def collector_table() -> list[str]:
    """Iterations with and without collectors."""
    measured = (_result("cluster") or {"measured": {"steps_per_second": {}}})["measured"]
    rows = ["| environment | collectors | steps/s |", "|---|---|---|"]
    return rows + [
        f"| {environment} | {name} | {_roughly(speed)} |"
        for environment, speeds in measured["steps_per_second"].items()
        for name, speed in speeds.items()
    ]


def _roughly(speed: float) -> str:
    """To two digits."""
    return f"{float(f'{speed:.2g}'):,.0f}"


def plan_table() -> list[str]:
    """What many machines would reach."""
    simulated = (_result("cluster") or {"simulated": {"plans": {}}})["simulated"]
    rows = [
        "| environment | machines | steps/s | collecting | messages and waiting | updating |",
        "|---|---|---|---|---|---|",
    ]
    for name, plan in simulated["plans"].items():
        for point in plan["reached"]:
            parts = [f"{point[part]:.0%}" for part in ("collecting", "messages_and_waiting", "updating")]
            cells = (name, f"{point['machines']:,}", _roughly(point["steps_per_second"]), *parts)
            rows.append(f"| {' | '.join(cells)} |")
        half, limit = plan["machines_for_half_of_it"], _roughly(plan["limit_steps_per_second"])
        rows.append(f"| | no number | {limit} | half of it with {half:g} | | |")
    return rows


def _result(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def with_table(text: str, name: str, rows: list[str]) -> str:
    """The text with what stands between the table's two marks replaced; unchanged where it has no such marks."""
    start, end = f"<!-- table: {name} -->\n", f"<!-- end of table: {name} -->"
    if start not in text:
        return text
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return before + start + "\n".join(rows) + "\n" + end + after


TABLES = {
    "learning": learning_table,
    "methods": method_table,
    "speed": speed_table,
    "maml speed": maml_speed_table,
    "memory speed": memory_speed_table,
    "scaling": scaling_table,
    "family speed": family_speed_table,
    "cluster messages": message_table,
    "cluster speed": collector_table,
    "cluster plan": plan_table,
}


def main() -> None:
    """Rewrite or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    for page in PAGES:
        old = new = page.read_text()
        for name, table in TABLES.items():
            new = with_table(new, name, table())
        if check and new != old:
            sys.exit(f"the tables of {page.name} are not what benchmarks/results say: run python benchmarks/tables.py")
        if not check:
            page.write_text(new)


if __name__ == "__main__":
    main()
