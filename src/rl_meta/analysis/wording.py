"""Numbers and findings in words, as a person would write them."""

import math
from collections.abc import Sequence
from typing import Any

Number = int | float
Entry = dict[str, Any]
"""Of an evaluation: `iqm`, `low`, `high`, ... of one stage, episode or lifetime."""

BASELINES = {
    "scratch": "learning from scratch",
    "multitask": "one policy for all tasks",
    "oracle": "told which task it is",
    "random": "random actions",
}


def number(value: Number | None, width: Number = 0.0) -> str:
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


def _decimals(value: Number, width: Number) -> int:
    if width > 0:
        wanted = math.ceil(-math.log10(width / 5))
    else:
        wanted = 2 - math.floor(math.log10(abs(value))) if value else 0
    return min(max(wanted, 0), 4)


def count(value: Number) -> str:
    """Steps, tasks, seeds: whole numbers with thousands separators."""
    return f"{value:,.0f}"


def counted(value: Number, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def centre(entry: Entry) -> str:
    """The interquartile mean."""
    return number(entry["iqm"], entry["high"] - entry["low"])


def interval(entry: Entry) -> str:
    """Where the interquartile mean lies."""
    width = entry["high"] - entry["low"]
    return f"{number(entry['low'], width)} to {number(entry['high'], width)}"


def times(value: Number) -> str:
    """A ratio."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def plain(name: str) -> str:
    """A name in a program as words."""
    return name.replace("_", " ").strip()


def baseline(name: str) -> str:
    """What a baseline does."""
    return BASELINES.get(name, plain(name))


def duration(seconds: Number) -> str:
    """Hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{count(hours)} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def main_curve(curve: dict[str, Any]) -> tuple[str, list[Entry]]:
    """The curve to show, and what its points are: `stage` or `episode`.

    Stages, which are as long for a beginner as for a master; episodes where every stage is one episode, and
    where there is one stage only.
    """
    stages, episodes = curve.get("stages") or [], curve.get("episodes") or []
    same = [entry["iqm"] for entry in stages] == [entry["iqm"] for entry in episodes]
    if same or not stages or (len(stages) == 1 and episodes):
        return "episode", episodes
    return "stage", stages


def verdict(evaluation: dict[str, Any]) -> str:
    """What the evaluation says, in one sentence."""
    where = "of its training set" if evaluation["split"] == "train" else "it has never seen"
    unit, entries = main_curve(evaluation)
    returns = _returns_by_episode(entries) if unit == "episode" else _returns_by_stage(entries)
    return f"In a task {where}, the agent{returns}{_compared(evaluation, entries)}."


def _returns_by_episode(entries: list[Entry]) -> str:
    first, last = entries[0], entries[-1]
    start = f"'s first episode returns {centre(first)} (95 % interval {interval(first)})"
    end = f" and episode {len(entries)} returns {centre(last)} ({interval(last)})"
    return start + end if len(entries) > 1 else start


def _returns_by_stage(entries: list[Entry]) -> str:
    first, last = entries[0], entries[-1]
    where = f"per episode in its first {count(first['env_steps'])} steps"
    start = f" returns {centre(first)} (95 % interval {interval(first)}) {where}"
    end = f" and {centre(last)} ({interval(last)}) in stage {len(entries)}"
    return start + end if len(entries) > 1 else start


def verdict_without_evaluation(env_steps: Sequence[Number], returns: Sequence[Number]) -> str:
    """What the training log says of a run that has not been evaluated, in one sentence."""
    if not len(returns):
        return "This run has not been evaluated, and has not logged a return yet."
    change = abs(returns[-1] - returns[0])
    rise = f"{number(returns[0], change)} to {number(returns[-1], change)}"
    return (
        "This run has not been evaluated in new tasks yet; "
        f"in training, the return went from {rise} within {count(env_steps[-1])} environment steps."
    )


def budget(evaluation: dict[str, Any], name: str) -> Number:
    """Environment steps that a baseline was given in the task."""
    curve = evaluation.get("baselines", {}).get(name)
    if curve is None:
        entry = evaluation["speedup"][name]
        return entry["steps"] * (entry["times"] or 0)
    return max(entry["env_steps"] for entry in (*curve.get("stages", ()), *curve.get("episodes", ())))


def _compared(evaluation: dict[str, Any], entries: list[Entry]) -> str:
    """The clause on learning from scratch, or on whichever baseline there is."""
    speedup = evaluation.get("speedup", {})
    if not speedup:
        return ""
    name = "scratch" if "scratch" in speedup else next(iter(speedup))
    entry, who = speedup[name], baseline(name)
    own = count(entry["steps"])
    target = _target(entry, entries)
    if entry["baseline_steps"] is None:
        ratio = f": at least {times(entry['times'])} times as many" if entry["times"] else ""
        spent = f"{count(budget(evaluation, name))} steps, against the agent's {own}"
        return f"; {who} does not reach {target} within {spent}{ratio}"
    steps = f"{count(entry['baseline_steps'])} steps"
    if entry["times"] <= 1:
        return f"; {who} needs only {steps} for {target}, no more than the agent's {own}"
    return f"; {who} needs {steps} for {target}, the agent {own}: {times(entry['times'])} times as many"


def _target(entry: Entry, entries: list[Entry]) -> str:
    """The return that the baseline is to reach, in words where the sentence has it already."""
    if entry["steps"] != entries[0]["env_steps"]:
        return number(entry["return"])
    return "that" if len(entries) == 1 else "the former"
