"""How fast RL-Meta trains next to its peers: environment steps per second, collection and learning together.

    .venv/bin/python benchmarks/throughput/ratios.py                          all rows
    .venv/bin/python benchmarks/throughput/ratios.py --only rl2 --rounds 5    some rows
    .venv/bin/python benchmarks/throughput/ratios.py --purejaxrl ~/purejaxrl  with a checkout of PureJaxRL

Every entry is a shell command whose last line of output is a line of JSON with at least

    {"peer": str, "envs": int, "steps_per_second": [float per repeat],
     "compile_seconds": float, "peak_memory_mb": float}

timed after compilation and a warm-up; `report` of `peers/measurement.py` prints it. The entry of RL-Meta is

    python benchmarks/throughput/ours.py --repeats R --method {plain-ppo,rl2} --envs N

A round runs every entry of a row once, each in its own process, and the next round runs them in reverse, so
that noise and drift of a shared machine hit all of them. A row's ratio is the median of ours over that of its
fastest peer; the lowest and highest ratio of a single round tell how much the machine swayed.
"""

import argparse
import difflib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUTPUT = ROOT / "benchmarks" / "results" / "throughput.json"
MAKE_PEERS = "benchmarks/throughput/make_peers.sh"
MAKE_FRAMEWORKS = "make .venv-frameworks/.installed"
TIME_LIMIT_SECONDS = 900
SPEED, CPU_SPEED = "steps_per_second", "steps_per_cpu_second"

OURS = "{python} {here}/ours.py --repeats {repeats} "
REJAX = "{jax} {here}/peers/rejax_ppo.py --repeats {repeats} "
PUREJAXRL = "{jax} {here}/peers/purejaxrl_ppo.py --checkout {purejaxrl} --repeats {repeats} "
SB3 = "{torch} {here}/peers/sb3_ppo.py --repeats {repeats} "
REPTILE = "{frameworks} {here}/reptile.py --repeats {repeats} "
FRESH = {"fresh-learners": "{torch} {here}/peers/sb3_reptile.py --repeats {repeats} --envs 1"}
RECURRENT = "{torch} {here}/peers/sb3_recurrent_ppo.py --repeats {repeats} "


@dataclass(frozen=True)
class Row:
    """One claim: the command of ours, and those of the peers it is held against, by name."""

    name: str
    ours: str
    peers: dict[str, str]

    @property
    def entries(self) -> dict[str, str]:
        """All commands by name, ours first."""
        return {"ours": self.ours, **self.peers}


def plain_ppo(envs: int) -> Row:
    """Feed-forward PPO beside the other programs that are compiled whole."""
    size = f"--envs {envs}"
    peers = {"rejax": REJAX + size, "purejaxrl": PUREJAXRL + size}
    return Row(f"plain-ppo-{envs}", OURS + f"--method plain-ppo {size}", peers)


ROWS = (
    plain_ppo(64),
    plain_ppo(256),
    plain_ppo(1024),
    Row("plain-ppo-sb3", OURS + "--method plain-ppo --envs 256", {"sb3": SB3 + "--envs 8"}),
    Row("rl2", OURS + "--method rl2 --envs 128", {"recurrent-ppo": RECURRENT + "--envs 16"}),
    Row("rl2-untrained", OURS + "--method rl2 --envs 128", {"recurrent-ppo": RECURRENT + "--envs 16 --steps 4096"}),
    Row("reptile-over-sb3", REPTILE + "--learner sb3:PPO --steps 32768", FRESH),
    Row("reptile", REPTILE + "--learner ours", FRESH),
)


class UnavailableError(Exception):
    """An entry cannot be measured here; the message is one line that says why and what to do."""


def fill(command: str, places: dict[str, str]) -> list[str]:
    """The command with its places filled in, as a list of words."""
    return shlex.split(command.format_map({name: shlex.quote(place) for name, place in places.items()}))


def check(words: Sequence[str]) -> None:
    """Raise UnavailableError where the interpreter, the script or the checkout of an entry is missing."""
    interpreter, script = Path(words[0]), Path(words[1])
    if not interpreter.exists():
        name = interpreter.parent.parent.name
        raise UnavailableError(f"no {name}: build it with {MAKE_FRAMEWORKS if 'frameworks' in name else MAKE_PEERS}")
    if not script.exists():
        raise UnavailableError(f"no {script.relative_to(ROOT)}")
    if "--checkout" in words and not words[words.index("--checkout") + 1]:
        raise UnavailableError("PureJaxRL is not packaged: give --purejaxrl PATH, the root of your checkout of it")


def measure(words: Sequence[str]) -> dict[str, Any]:
    """Run an entry in its own process: its line of JSON, with the load average the machine had before."""
    check(words)
    load = os.getloadavg()[0]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"took more than {TIME_LIMIT_SECONDS} s") from None
    if done.returncode != 0:
        complaint = done.stderr.strip().splitlines() or ["no message"]
        raise UnavailableError(f"failed with exit code {done.returncode}: {complaint[-1]}")
    try:
        line = json.loads(done.stdout.strip().splitlines()[-1])
        missing = {"peer", "envs", SPEED, "compile_seconds", "peak_memory_mb"} - set(line)
    except (IndexError, ValueError):
        raise UnavailableError("printed no line of JSON last") from None
    if missing:
        raise UnavailableError(f"left out of its line of JSON: {', '.join(sorted(missing))}")
    return {**line, "load_average_before": round(load, 2)}


def measure_row(row: Row, places: dict[str, str], rounds: int) -> dict[str, Any]:
    """All rounds of a row. An entry that cannot be measured is named once and left out from then on."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in row.entries}
    problems: dict[str, str] = {}
    for round_ in range(rounds):
        for name in list(row.entries)[:: -1 if round_ % 2 else 1]:
            if name in problems:
                continue
            try:
                results[name].append(measure(fill(row.entries[name], places)))
            except UnavailableError as problem:
                problems[name] = str(problem)
                print(f"{row.name}: {name} left out: {problem}", file=sys.stderr)
    measured = {name: lines for name, lines in results.items() if name not in problems}
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "rounds": rounds,
        "entries": {name: summary(lines) for name, lines in measured.items()},
        "problems": problems,
        "ratio": compare(measured, SPEED),
        "ratio_of_cpu_time": compare(measured, CPU_SPEED),
    }


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds of one entry, and the rounds themselves."""
    return {
        "peer": lines[0]["peer"],
        "envs": lines[0]["envs"],
        "median_steps_per_second": median(pooled(lines, SPEED)),
        "median_compile_seconds": median(line["compile_seconds"] for line in lines),
        "peak_memory_mb": max(line["peak_memory_mb"] for line in lines),
        "rounds": list(lines),
    }


def pooled(lines: Iterable[dict[str, Any]], speed: str) -> list[float]:
    """The speeds of all repeats of all rounds."""
    return [value for line in lines for value in line[speed]]


def compare(measured: dict[str, list[dict[str, Any]]], speed: str) -> dict[str, Any] | None:
    """Ours over the fastest peer; None where either is missing or does not report this speed."""
    known = {name: lines for name, lines in measured.items() if all(speed in line for line in lines)}
    peers = [name for name in known if name != "ours"]
    if "ours" not in known or not peers:
        return None
    fastest = max(peers, key=lambda name: median(pooled(known[name], speed)))
    by_round = [
        median(ours[speed]) / median(peer[speed]) for ours, peer in zip(known["ours"], known[fastest], strict=True)
    ]
    return {
        "to": fastest,
        "value": round(median(pooled(known["ours"], speed)) / median(pooled(known[fastest], speed)), 3),
        "lowest_round": round(min(by_round), 3),
        "highest_round": round(max(by_round), 3),
    }


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(usable),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The rows as lines of text."""
    lines = [f"{'row':<18}{'who':<16}{'envs':>6}{'steps/s':>12}{'compile s':>11}{'memory MB':>11}  ours / fastest peer"]
    for name, row in rows.items():
        for who, entry in row["entries"].items():
            lines.append(
                f"{name:<18}{who:<16}{entry['envs']:>6}{entry['median_steps_per_second']:>12,.0f}"
                f"{entry['median_compile_seconds']:>11.1f}{entry['peak_memory_mb']:>11,.0f}"
                f"{verdict(row) if who == 'ours' else ''}"
            )
        lines += [f"{name:<18}{who:<16}  left out: {problem}" for who, problem in row["problems"].items()]
    return "\n".join(lines)


def verdict(row: dict[str, Any]) -> str:
    """The ratio of a row in words."""
    ratio, of_cpu = row["ratio"], row["ratio_of_cpu_time"]
    if ratio is None:
        return ""
    text = f"  {ratio['value']:.2f} (rounds {ratio['lowest_round']:.2f} to {ratio['highest_round']:.2f})"
    return f"{text} of {ratio['to']}" + (f"; by CPU time {of_cpu['value']:.2f}" if of_cpu else "")


def selected(names: Sequence[str] | None) -> list[Row]:
    """The rows of these names, all without."""
    rows = {row.name: row for row in ROWS}
    for name in names or ():
        if name not in rows:
            near = difflib.get_close_matches(name, rows, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(rows)}"
            raise SystemExit(f"no row {name}: {hint}")
    return [row for row in ROWS if not names or row.name in names]


def write(path: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Replace the rows measured now in the file and keep its others, each with its own date and machine."""
    old = json.loads(path.read_text())["rows"] if path.exists() else {}
    merged = {**old, **{name: row for name, row in rows.items() if row["entries"]}}
    ordered = {row.name: merged[row.name] for row in ROWS if row.name in merged}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": ordered}, indent=1) + "\n")


def main() -> int:
    """Measure, write the results and print the table; 1 where a row has no ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="this row; may be given several times")
    parser.add_argument("--rounds", type=int, default=3, help="processes per entry")
    parser.add_argument("--repeats", type=int, default=3, help="timed repeats per process")
    parser.add_argument("--purejaxrl", default=os.environ.get("PUREJAXRL", ""), help="root of a checkout of it")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    places = {
        "python": sys.executable,
        "jax": str(ROOT / ".venv-peers-jax" / "bin" / "python"),
        "torch": str(ROOT / ".venv-peers-torch" / "bin" / "python"),
        "frameworks": str(ROOT / ".venv-frameworks" / "bin" / "python"),
        "here": str(HERE),
        "purejaxrl": str(Path(options.purejaxrl).expanduser().resolve()) if options.purejaxrl else "",
        "repeats": str(options.repeats),
    }
    results = {}
    for row in selected(options.only):
        results[row.name] = measure_row(row, places, options.rounds)
        write(options.output, results)
        print(table({row.name: results[row.name]}), "\n", flush=True)
    print(f"written to {options.output}")
    return int(any(row["ratio"] is None for row in results.values()))


if __name__ == "__main__":
    sys.exit(main())
