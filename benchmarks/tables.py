"""Write the README's tables from benchmarks/results/*.json.

python benchmarks/tables.py            rewrite them
python benchmarks/tables.py --check    fail if they are not what the results say
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"

LEARNING = {
    "bandit-10-5-rl2": "Bernoulli bandit, 10 pulls, 5 arms",
    "bandit-100-5-rl2": "Bernoulli bandit, 100 pulls, 5 arms",
    "bandit-100-10-rl2": "Bernoulli bandit, 100 pulls, 10 arms",
    "grid-navigation-rl2": "grid navigation, 4 episodes",
    "tabular-mdp-rl2": "random tabular MDPs, 10 episodes",
    "cartpole-rl2": "cartpole, length of the first episode",
}


def learning_table() -> list[str]:
    """Returns reached on held-out tasks beside the known values."""
    rows = ["| tasks | RL² | 95 % interval | seeds | steps | known values |", "|---|---|---|---|---|---|"]
    for name, title in LEARNING.items():
        if (result := _result(name)) is None:
            continue
        score = _score(name, result)
        known = ", ".join(f"{what} {value:g}" for what, value in result["known"].items() if "target" not in what)
        interval = f"{score['low']:.2f} to {score['high']:.2f}"
        steps = f"{result['env_steps'] / 1e6:g} M"
        rows.append(f"| {title} | **{score['mean']:.2f}** | {interval} | {result['seeds']} | {steps} | {known} |")
    return rows


def _score(name: str, result: dict[str, Any]) -> dict[str, float]:
    return result["first_episode"] if name.startswith("cartpole") else result["lifetime"]


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


def _result(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def with_table(text: str, name: str, rows: list[str]) -> str:
    """The text with what stands between the table's two marks replaced."""
    start, end = f"<!-- table: {name} -->\n", f"<!-- end of table: {name} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return before + start + "\n".join(rows) + "\n" + end + after


def main() -> None:
    """Rewrite or check the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    old = README.read_text()
    new = with_table(with_table(old, "learning", learning_table()), "speed", speed_table())
    if check and new != old:
        sys.exit("the README's tables are not what benchmarks/results say: run python benchmarks/tables.py")
    if not check:
        README.write_text(new)


if __name__ == "__main__":
    main()
