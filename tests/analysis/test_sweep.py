import numpy as np
import pytest

from rl_meta.analysis.sweep import sweep_figure


def swept(*, stages=2, how="mean", runs=("runs/first", "runs/second"), points=11):
    """A valley between two models."""
    alphas = np.linspace(0, 1, points)
    last = 150 + 40 * alphas - 500 * (alphas * (1 - alphas)) ** 2
    first = 60 + 10 * alphas - 100 * (alphas * (1 - alphas))
    score = lambda x: {"mean": x, "iqm": x, "low": x - 8, "high": x + 8, "p20": x - 20}
    rows = [
        {"alpha": a, "first": score(f if stages > 1 else l), "last": score(l)}
        for a, f, l in zip(alphas.tolist(), first.tolist(), last.tolist(), strict=True)
    ]
    return {"how": how, "runs": list(runs), "split": "test", "tasks": 100, "seeds": 5, "points": rows}


def words(figure):
    (axes,) = figure.axes
    return [axes.get_title(loc="left"), axes.get_xlabel(), *(text.get_text() for text in axes.texts)]


def test_a_sweep_shows_both_ends_of_the_lifetime_and_says_which_model_is_where():
    said = " ".join(words(sweep_figure(swept())))
    assert "line between two models, 100 test tasks, 5 seeds" in said
    assert "the share of first; at 0 it is second" in said
    assert "first stage" in said
    assert "last stage" in said


def test_the_curves_are_those_of_the_sweep_and_the_dots_lead_straight_across():
    told = swept()
    (axes,) = sweep_figure(told).axes
    drawn = [line.get_ydata() for line in axes.lines]
    reached = [row["last"]["iqm"] for row in told["points"]]
    assert any(np.allclose(y, reached) for y in drawn)
    assert any(np.allclose(y, np.linspace(reached[0], reached[-1], 11)) for y in drawn)


def test_where_there_is_one_stage_there_is_one_curve():
    said = " ".join(words(sweep_figure(swept(stages=1))))
    assert "stage" not in said
    assert said.endswith("return")


@pytest.mark.parametrize("runs", [("runs/$x_1$", "b" * 200), (".", "..")])
def test_names_of_runs_are_taken_as_they_are(runs):
    sweep_figure(swept(how="spherical", runs=runs)).canvas.draw()
