"""Draw the pictures of docs/methods from benchmarks/results/*.json: what each method's agents do in an unknown task.

python benchmarks/figures.py
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from rl_meta.analysis.canvas import COLOURS, SERIES, canvas, headline
from rl_meta.analysis.labels import Label, place_labels

ROOT = Path(__file__).parent.parent
RESULTS, PICTURES = ROOT / "benchmarks" / "results", ROOT / "docs" / "methods"
INCHES = (6.4, 3.2)
RIGHT_INCHES = 1.6
DOTS_PER_INCH = 110


class Picture(NamedTuple):
    """Which result, and what is known of it."""

    result: str
    title: str
    known: dict[str, float]
    """Return per episode by name."""
    stages: bool = False
    """By stage, which is a gradient step, not by episode."""


FIGURES = {
    "rl2": Picture("tabular-mdp-rl2", "Random tabular MDPs", {"knows the MDP": 21.83, "random": 10.0}),
    "varibad": Picture("grid-navigation-varibad", "Grid navigation", {"Bayes-optimal, later": 11.07}),
    "hypernetwork": Picture("grid-navigation-hypernetwork", "Grid navigation", {"Bayes-optimal, later": 11.07}),
    "transformer": Picture("grid-navigation-transformer", "Grid navigation", {"Bayes-optimal, later": 11.07}),
    "maml": Picture("point-goal-maml", "Point to a hidden goal", {"straight there": -0.505}, stages=True),
    "promp": Picture("point-goal-promp", "Point to a hidden goal", {"straight there": -0.505}, stages=True),
    "pearl": Picture("pendulum-pearl", "Pendulum of unknown physics", {}),
}


def adaptation(picture: Picture, result: dict[str, Any], path: Path) -> None:
    """Return by episode, or by gradient step: all seeds, their mean, and what is known."""
    figure, axes = canvas(INCHES, RIGHT_INCHES)
    by_seed = np.array(result["stages_by_seed" if picture.stages else "episodes_by_seed"], float)
    at, mean = np.arange(by_seed.shape[1]) + (0 if picture.stages else 1), by_seed.mean(0)
    axes.plot(at, by_seed.T, color=SERIES[0], linewidth=0.8, alpha=0.45)
    axes.plot(at, mean, color=SERIES[0], linewidth=2.2, marker="o", markersize=4.5)
    labels = [Label(f"mean of {len(by_seed)} seeds", at[-1], mean[-1], SERIES[0], bold=True)]
    for name, value in picture.known.items():
        axes.axhline(value, color=COLOURS["muted"], linewidth=1.1, linestyle=(0, (4, 3)))
        labels.append(Label(name, at[-1] + 0.05 * (at[-1] - at[0]), value, COLOURS["muted"]))
    axes.margins(y=0.15)
    axes.set_xlabel("gradient steps in the task" if picture.stages else "episode in the task")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    headline(figure, axes, f"{picture.title}: return per episode, {result['tasks']:,} unseen tasks", 10.5)
    place_labels(figure, axes, labels, [np.stack([at, mean], 1)], size=9)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def steps_in_the_task(result: dict[str, Any], path: Path) -> None:
    """Return against environment steps in the task of PPO from three starts."""
    figure, axes = canvas(INCHES, RIGHT_INCHES)
    at, labels, shapes = np.array(result["curve_env_steps"], float), [], []
    for colour, (name, by_seed) in zip(SERIES, result["curves"].items(), strict=False):
        curve = np.array(by_seed, float)
        axes.plot(at, curve.T, color=colour, linewidth=0.7, alpha=0.4)
        axes.plot(at, curve.mean(0), color=colour, linewidth=2.2)
        labels.append(Label(name, at[-1], curve.mean(0)[-1], colour, bold=True))
        shapes.append(np.stack([at, curve.mean(0)], 1))
    for target in result["returns"]:
        axes.axhline(target, color=COLOURS["muted"], linewidth=1.1, linestyle=(0, (4, 3)))
    axes.margins(y=0.15)
    axes.set_xlabel("environment steps in the task")
    headline(figure, axes, f"PPO from three starts: return, {result['tasks']:,} unseen tasks", 10.5)
    place_labels(figure, axes, labels, shapes, size=9)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def main() -> None:
    """All whose results are there."""
    for method, picture in FIGURES.items():
        source = RESULTS / f"{picture.result}.json"
        if source.exists():
            adaptation(picture, json.loads(source.read_text()), PICTURES / f"{method}.png")
    source = RESULTS / "reptile-cartpole.json"
    if source.exists():
        steps_in_the_task(json.loads(source.read_text()), PICTURES / "reptile.png")


if __name__ == "__main__":
    main()
