"""Numbers and findings in words, as a person would write them."""

import math
from collections.abc import Sequence
from typing import Any

Entry = dict[str, Any]
"""Of an evaluation: `iqm`, `low`, `high`, ... of one stage, episode or lifetime."""

BASELINES = {
    "scratch": "learning from scratch",
    "multitask": "one policy for all tasks",
    "oracle": "told which task it is",
    "random": "random actions",
}


def number(value: float | None, width: float = 0.0) -> str:
    """A measured number with thousands separators and the digits that carry meaning.

    Args:
        value: None is written as a dash.
        width: of the interval around the value; 0 for unknown, and three digits are shown.
    """
    if value is None or math.isnan(value):
        return "–"
    decimals = _decimals(value, width)
    without_negative_zero = round(value, decimals) + 0.0
    return f"{without_negative_zero:,.{decimals}f}".replace("-", "−")


def _decimals(value: float, width: float) -> int:
    if width > 0:
        wanted = math.ceil(-math.log10(width / 5))
    else:
        wanted = 2 - math.floor(math.log10(abs(value))) if value else 0
    return min(max(wanted, 0), 4)


def count(value: float) -> str:
    """Steps, tasks, seeds: whole numbers with thousands separators."""
    return f"{value:,.0f}"


def counted(value: float, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def centre(entry: Entry) -> str:
    """The interquartile mean."""
    return number(entry["iqm"], entry["high"] - entry["low"])


def interval(entry: Entry) -> str:
    """Where the interquartile mean lies."""
    width = entry["high"] - entry["low"]
    return f"{number(entry['low'], width)} to {number(entry['high'], width)}"


def times(value: float) -> str:
    """A ratio."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def plain(name: str) -> str:
    """A name in a program as words."""
    return name.replace("_", " ").strip()


def baseline(name: str) -> str:
    """What a baseline does."""
    return BASELINES.get(name, plain(name))


def finest(curve: dict[str, Any]) -> tuple[str, list[Entry]]:
    """A curve by episode if it has episodes, by stage otherwise: the unit and its entries."""
    if curve.get("episodes"):
        return "episode", curve["episodes"]
    return "stage", curve["stages"]


def verdict(evaluation: dict[str, Any]) -> str:
    """What the evaluation says, in one sentence."""
    seen = evaluation["split"] == "train"
    where = "In a task of its training set" if seen else "In a task it has never seen"
    unit, entries = finest(evaluation)
    first, last = entries[0], entries[-1]
    clause = f"{where}, the agent's first {unit} returns {centre(first)} (95 % interval {interval(first)})"
    if len(entries) > 1:
        clause += f" and {unit} {len(entries)} returns {centre(last)} ({interval(last)})"
    return f"{clause}{_compared(evaluation, single=len(entries) == 1)}."


def verdict_without_evaluation(env_steps: Sequence[float], returns: Sequence[float]) -> str:
    """What the training log says of a run that has not been evaluated, in one sentence."""
    if not len(returns):
        return "This run has not been evaluated, and has not logged a return yet."
    change = abs(returns[-1] - returns[0])
    rise = f"{number(returns[0], change)} to {number(returns[-1], change)}"
    return (
        "This run has not been evaluated in new tasks yet; "
        f"in training, the return went from {rise} within {count(env_steps[-1])} environment steps."
    )


def budget(evaluation: dict[str, Any], name: str) -> float:
    """Environment steps that a baseline was given in the task."""
    curve = evaluation.get("baselines", {}).get(name)
    if curve is None:
        entry = evaluation["speedup"][name]
        return entry["steps"] * (entry["times"] or 0)
    return max(entry["env_steps"] for entry in (*curve.get("stages", ()), *curve.get("episodes", ())))


def _compared(evaluation: dict[str, Any], *, single: bool) -> str:
    """The clause on learning from scratch, or on whichever baseline there is."""
    speedup = evaluation.get("speedup", {})
    if not speedup:
        return ""
    name = "scratch" if "scratch" in speedup else next(iter(speedup))
    entry = speedup[name]
    target = "that" if single else number(entry["return"])
    if entry["baseline_steps"] is None:
        ratio = f": at least {times(entry['times'])} times as many" if entry["times"] else ""
        spent = f"{count(budget(evaluation, name))} steps, against the agent's {count(entry['steps'])}"
        return f"; {baseline(name)} does not reach {target} within {spent}{ratio}"
    steps = f"{count(entry['baseline_steps'])} steps"
    if entry["times"] < 1:
        own = count(entry["steps"])
        return f"; {baseline(name)} needs only {steps} for {target}, fewer than the agent's {own}"
    ratio = f"{times(entry['times'])} times as many"
    if single:
        return f"; {baseline(name)} needs {steps} for that: {ratio}"
    return f"; {baseline(name)} needs {steps} for {target}, the agent {count(entry['steps'])}: {ratio}"
