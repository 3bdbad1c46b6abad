"""One page on a run: what the agent can do in a new task, how it learned that, and with which settings."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from rl_meta.analysis import page, wording
from rl_meta.analysis.canvas import to_svg
from rl_meta.analysis.metrics import Column, columns, mean_of_known
from rl_meta.analysis.page import Markup
from rl_meta.analysis.plots import (
    adaptation_figure,
    distribution_figure,
    learning_figure,
    panel_figure,
)
from rl_meta.analysis.run_files import RunFiles, read_run
from rl_meta.analysis.wording import Entry

MOST_ROWS = 12
"""Longer tables are folded."""
HOW_TO_READ = (
    "An agent lives one lifetime in a task, made of stages after each of which it may learn; the return of a "
    "stage is the mean over the episodes (attempts at the task) that began in it, and only what the agent "
    "itself has lived through in the task carries over from one to the next. "
    "Curves and large numbers are interquartile means (IQM), the mean over the middle half of all tasks and "
    "seeds, which a few very easy or very hard tasks cannot move. "
    "The 95 % interval says how far the IQM may be off because tasks and training runs are only a sample, "
    "and the 20th percentile is the return that a fifth of the tasks stays below."
)


def write_report(run_directory: Path, film: Figure | None = None) -> Path:
    """Write `report.html` into a run's directory.

    Args:
        run_directory: holds `config.json`, `versions.json`, `metrics.jsonl` and, once the run has been
            evaluated, `evaluation.json`.
        film: pictures of the agent at work (`film.film_of_run`).

    Returns:
        The page's path. It needs no network and no other file.

    Raises:
        UserError: a file is missing or broken.
    """
    run = read_run(run_directory)
    path = run_directory / "report.html"
    path.write_text(render(run, film), encoding="utf-8")
    return path


def render(run: RunFiles, film: Figure | None = None) -> str:
    """The page's HTML."""
    title = f"{run.config['method']['name']} on {run.config['family']['name']}"
    measured = columns(run.metrics)
    returns = measured.pop("return", None)
    body = [page.header(title, _verdict(run, returns), _facts(run))]
    if run.evaluation:
        body += [page.tiles(_tiles(run.evaluation)), *_evaluation_sections(run.evaluation)]
    body += [_film_section(film)] if film else []
    body += [_training_section(returns, measured)]
    body += [page.section("How to read this page", page.text(HOW_TO_READ)), _settings_section(run)]
    return page.page(title, body)


def _verdict(run: RunFiles, returns: Column | None) -> str:
    if run.evaluation:
        return wording.verdict(run.evaluation)
    if returns is None:
        return wording.verdict_without_evaluation([], [])
    curve = mean_of_known(returns.values.reshape(len(returns.values), -1), axis=1)
    return wording.verdict_without_evaluation(returns.env_steps.tolist(), curve.tolist())


def _facts(run: RunFiles) -> list[str]:
    """What the finding rests on."""
    facts = []
    if run.evaluation:
        tasks, seeds = run.evaluation["tasks"], run.evaluation["seeds"]
        facts += [wording.counted(tasks, f"{run.evaluation['split']} task"), wording.counted(seeds, "seed")]
        facts += [f"actions {run.evaluation['acting']}"] if "acting" in run.evaluation else []
    if run.metrics:
        facts += _training_facts(run)
    return facts


def _training_facts(run: RunFiles) -> list[str]:
    """How long the training was."""
    last = run.metrics[-1]
    facts = []
    if "env_steps" in last:
        each = " per seed" if run.config.get("seeds", 1) > 1 else ""
        facts.append(f"trained for {wording.count(last['env_steps'])} environment steps{each}")
    if "seconds" in last:
        seconds = sum(row.get("seconds") or 0 for row in run.metrics)
        facts.append(f"{wording.duration(seconds)} of training")
    return facts


def _tiles(evaluation: dict[str, Any]) -> list[tuple[str, str, str]]:
    unit, entries = wording.main_curve(evaluation)
    last = entries[-1]
    name = f"{unit} {len(entries)}" if len(entries) > 1 else f"first {unit}"
    tiles = [(f"First {unit}", wording.centre(entries[0]), wording.interval(entries[0]))]
    if len(entries) > 1:
        tiles.append((name.capitalize(), wording.centre(last), wording.interval(last)))
        if "delta" in evaluation and len(evaluation.get("stages") or []) > 1:
            delta = evaluation["delta"]
            sign = "+" if delta["iqm"] > 0 else ""
            tiles.append(("Gain from adapting", sign + wording.centre(delta), wording.interval(delta)))
    width = last["high"] - last["low"]
    tiles.append(("20th percentile", wording.number(last["p20"], width), f"of tasks, {name}"))
    for baseline, entry in evaluation.get("speedup", {}).items():
        tiles.append(_speedup_tile(evaluation, baseline, entry))
    return tiles


def _speedup_tile(evaluation: dict[str, Any], name: str, entry: dict[str, Any]) -> tuple[str, str, str]:
    bound = "≥ " if entry["at_least"] else ""
    value = f"{bound}{wording.times(entry['times'])} ×" if entry["times"] is not None else "–"
    other = entry["baseline_steps"]
    steps = f"> {wording.count(wording.budget(evaluation, name))}" if other is None else wording.count(other)
    return f"Steps of {wording.baseline(name)}", value, f"{steps} against {wording.count(entry['steps'])}"


def _evaluation_sections(evaluation: dict[str, Any]) -> list[Markup]:
    drawing = page.figure(
        to_svg(adaptation_figure(evaluation), "adaptation"),
        "Return against environment steps spent in the task; the tables below hold the same numbers.",
    )
    sections = [page.section("Adaptation in a new task", drawing, *_tables(evaluation))]
    measures = _measure_tables(evaluation)
    if measures:
        sections.append(page.section("What else was measured", *measures))
    scores = evaluation.get("scores", {})
    if scores.get("first") and scores.get("last"):
        sections.append(_distribution_section(evaluation, scores))
    return sections


def _film_section(film: Figure) -> Markup:
    description = "Pictures from the agent's first and last episode in one held-out task."
    return page.section("The first and the last episode in a new task", page.figure(to_svg(film, "film"), description))


def _tables(evaluation: dict[str, Any]) -> list[Markup]:
    """The agent's stages in the open, the episodes where they say more, and every baseline."""
    stages, episodes = evaluation.get("stages") or [], evaluation.get("episodes") or []
    tables = []
    if stages:
        table = _curve_table("stage", stages, evaluation.get("lifetime"))
        tables.append(_folded(evaluation["method"], "stage", stages, table) if len(stages) > MOST_ROWS else table)
    if episodes and [entry["iqm"] for entry in episodes] != [entry["iqm"] for entry in stages]:
        table = _curve_table("episode", episodes, evaluation.get("lifetime"))
        tables.append(_folded(evaluation["method"], "episode", episodes, table))
    for name, curve in evaluation.get("baselines", {}).items():
        unit, entries = wording.main_curve(curve)
        table = _curve_table(unit, entries, curve.get("lifetime"))
        tables.append(_folded(wording.baseline(name), unit, entries, table))
    return tables


def _measure_tables(evaluation: dict[str, Any]) -> list[Markup]:
    """Of every measure of the family, the first and the last episode of the agent and of what is beside it."""
    curves = {evaluation["method"]: evaluation}
    curves |= {wording.baseline(name): curve for name, curve in evaluation.get("baselines", {}).items()}
    tables = []
    for measure in evaluation.get("measures", {}):
        rows = []
        for name, curve in curves.items():
            episodes = curve.get("measures", {}).get(measure, {}).get("episodes", [])
            for entry in episodes[:1] + episodes[1:][-1:]:
                mean = wording.number(entry["mean"], entry["high"] - entry["low"])
                rows.append([f"{name}, episode {entry['episode'] + 1}", mean, wording.interval(entry)])
        tables.append(page.table((wording.plain(measure), "mean", "95 % interval of the mean"), rows))
    return tables


def _folded(name: str, unit: str, entries: list[Entry], table: Markup) -> Markup:
    return page.fold(f"{name}: {wording.counted(len(entries), unit)}", table)


def _distribution_section(evaluation: dict[str, Any], scores: dict[str, list[float]]) -> Markup:
    unit, _ = wording.main_curve(evaluation)
    stages = len(evaluation.get("stages") or [])
    first, last = f"first {unit}", f"{unit} {stages}"
    if stages <= 1:
        first = last = "first episode" if len(evaluation.get("episodes") or []) <= 1 else "all episodes"
    drawing = to_svg(distribution_figure(scores["first"], scores["last"], first, last), "distribution")
    description = "Returns of all tasks, sorted from the worst task to the best."
    return page.section("Every task counts", page.figure(drawing, description))


def _curve_table(unit: str, entries: list[Entry], lifetime: Entry | None) -> Markup:
    head = (unit, "environment steps", "IQM", "95 % interval", "mean", "20th percentile")
    rows = [_curve_row(str(order), entry) for order, entry in enumerate(entries, start=1)]
    if lifetime:
        rows.append(_curve_row("sum of the lifetime", {"env_steps": entries[-1]["env_steps"], **lifetime}))
    return page.table(head, rows)


def _curve_row(name: str, entry: Entry) -> list[str]:
    width = entry["high"] - entry["low"]
    rest = [wording.number(entry[key], width) for key in ("mean", "p20")]
    return [name, wording.count(entry["env_steps"]), wording.centre(entry), wording.interval(entry), *rest]


def _training_section(returns: Column | None, measured: dict[str, Column]) -> Markup:
    parts = []
    if returns is not None:
        description = "Return in the training tasks against environment steps."
        parts.append(page.figure(to_svg(learning_figure(returns), "learning"), description))
    panels = [
        page.figure(to_svg(panel_figure(column), f"panel {name}"), f"{name} against environment steps")
        for name, column in measured.items()
    ]
    parts.append(page.grid(panels))
    if not panels and returns is None:
        parts = [page.text("No iteration has been logged yet.")]
    return page.section("Training", *parts)


def _settings_section(run: RunFiles) -> Markup:
    rest = {k: v for k, v in run.config.items() if k not in ("family", "method", "format")}
    groups = {
        "Run": rest,
        "Method": run.config["method"],
        "Family": run.config["family"],
        "Versions": run.versions,
    }
    tables = [page.settings_table(name, _settings(group)) for name, group in groups.items()]
    return page.section("Settings and versions", page.columns(*tables))


def _settings(group: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Rows of names and values; nested groups are flattened with dots."""
    rows = []
    for name, value in group.items():
        if isinstance(value, dict):
            rows += _settings(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + wording.plain(name), _setting(value)))
    return rows


def _setting(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return wording.count(value)
    return json.dumps(value, ensure_ascii=False)
