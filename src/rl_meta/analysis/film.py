"""Strips of pictures from the first and the last episode of an agent's lifetime in a held-out task.

Of families that can be drawn (`rl_meta.tasks.drawing`). Imports matplotlib, and the library below it: other than the
rest of a report, a film is not made of files alone, but of the agent itself, who lives a lifetime for it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patches import Polygon as Patch

from rl_meta.algorithms.base import deterministic
from rl_meta.analysis.canvas import COLOURS, EDGE_INCHES, WIDE_INCHES
from rl_meta.analysis.wording import number
from rl_meta.evaluation.watching import Watched, watch
from rl_meta.tasks.base import Family, draw_tasks
from rl_meta.tasks.drawing import Disc, Drawable, Line, Mark
from rl_meta.training.config import read_config
from rl_meta.training.run import load_params
from rl_meta.types import PyTree

FRAMES = 6
STROKE_POINTS = 1.8
LINE_INCHES = 0.3
"""Room for the words above a strip, and below each picture."""
ROLES = {"agent": "series-0", "goal": "series-2", "other": "series-1", "scene": "muted"}


def film_of_run(
    run_directory: Path, *, split: str = "test", seed: int = 0, family: Family | None = None, method: Any = None
) -> Figure | None:
    """The first and the last episode of the run's first agent, acting at its best, in one task of a split.

    Args:
        run_directory: of a run with a checkpoint.
        split: where the task is from.
        seed: decides which task it is, and all randomness in it.
        family: the family, where it is one of your own.
        method: the method, where it is one of your own.

    Returns:
        None where the family cannot be drawn, or where no episode came to its end.
    """
    config = read_config(run_directory / "config.json", family=family, method=method)
    if not isinstance(config.family, Drawable):
        return None
    view = config.method.view(config.family)
    algorithm = config.method.build(view, config.iterations)
    params = jax.tree.map(lambda x: x[0], load_params(config, run_directory))
    task = jax.tree.map(lambda x: np.asarray(x[0]), draw_tasks(config.family, jax.random.key(seed), 1, split))
    lived = watch(deterministic(algorithm), params, view, config.shape, task, jax.random.key(seed))
    return film_figure(config.family, task, [lived[0], lived[-1]][: len(lived)]) if lived else None


def film_figure(family: Drawable, task: PyTree, episodes: Sequence[Watched]) -> Figure:
    """One strip of pictures per episode, evenly spaced from its first state to its last."""
    left, right, low, high = family.window
    width = (WIDE_INCHES[0] - EDGE_INCHES) / FRAMES - EDGE_INCHES
    height = width * (high - low) / (right - left)
    strip = height + 2 * LINE_INCHES
    size = (WIDE_INCHES[0], strip * len(episodes) + EDGE_INCHES)
    figure = Figure(figsize=size, facecolor="white")
    for row, episode in enumerate(episodes):
        top = size[1] - row * strip
        words = f"Episode {episode.number}: return {number(float(episode.rewards.sum()))}"
        baseline = (top - 0.7 * LINE_INCHES) / size[1]
        figure.text(EDGE_INCHES / size[0], baseline, words, color=COLOURS["ink"], fontsize=10, fontweight="bold")
        for column, time in enumerate(np.linspace(0, len(episode.rewards), FRAMES).round().astype(int)):
            x = EDGE_INCHES + column * (width + EDGE_INCHES)
            place = (x / size[0], (top - LINE_INCHES - height) / size[1], width / size[0], height / size[1])
            axes = figure.add_axes(place, facecolor="none")
            state = jax.tree.map(lambda leaf, t=time: leaf[t], episode.states)
            picture(axes, family.window, family.draw(state, task))
            axes.set_xlabel(f"step {time}", color=COLOURS["muted"], fontsize=8.5, labelpad=3)
    return figure


def picture(axes: Axes, window: tuple[float, float, float, float], marks: Sequence[Mark]) -> None:
    """Marks on empty axes with one scale."""
    axes.set(xlim=window[:2], ylim=window[2:], aspect="equal", xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(COLOURS["rule"])
    for order, mark in enumerate(marks):
        colour, above = COLOURS[ROLES[mark.role]], order + 2
        if isinstance(mark, Line):
            thickness = STROKE_POINTS / 2 if mark.role == "scene" else STROKE_POINTS
            axes.plot(*np.asarray(mark.points).T, color=colour, linewidth=thickness, zorder=above)
        elif isinstance(mark, Disc):
            axes.add_patch(Circle(tuple(mark.centre), mark.radius, facecolor=colour, linewidth=0, zorder=above))
        else:
            axes.add_patch(Patch(np.asarray(mark.corners), facecolor=colour, linewidth=0, zorder=above))
