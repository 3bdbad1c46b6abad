import numpy as np
import pytest
from matplotlib.figure import Figure
from synthetic_run import synthetic_evaluation

from rl_meta.analysis.canvas import ValueFormatter
from rl_meta.analysis.metrics import Column
from rl_meta.analysis.plots import adaptation_figure, distribution_figure, learning_figure, panel_figure


def column(values):
    """[M, seeds, K] logged every thousand steps."""
    values = np.asarray(values, float)
    return Column("loss", 1000.0 * np.arange(1, len(values) + 1), values)


def test_where_everybody_has_one_episode_returns_stand_side_by_side():
    evaluation = synthetic_evaluation(episodes=1)
    del evaluation["baselines"]["scratch"]
    labels = [label.get_text() for label in adaptation_figure(evaluation).axes[0].get_yticklabels()]
    assert labels == ["rl2", "told which task it is", "one policy for all tasks"]


def test_the_adaptation_figure_can_be_saved_as_an_image(tmp_path):
    figure = adaptation_figure(synthetic_evaluation())
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "curve.png", dpi=50)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_steps_are_logarithmic_only_where_they_span_decades():
    scales = [
        adaptation_figure(synthetic_evaluation(baselines=baselines)).axes[0].get_xscale() for baselines in (True, False)
    ]
    assert scales == ["log", "linear"]


def test_labels_beside_curves_do_not_overlap():
    figure = adaptation_figure(synthetic_evaluation(episodes=10))
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 5
    assert all(not box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[:i])
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize("draw", [learning_figure, panel_figure])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 5, 1), (3, 2, 4), (1, 2, 40)])
def test_metrics_of_every_shape_and_with_gaps_can_be_drawn(tmp_path, draw, shape):
    values = np.random.default_rng(0).normal(size=shape)
    values[-1, 0, 0] = np.nan
    figure = draw(column(values))
    figure.savefig(tmp_path / "figure.svg")
    assert figure.axes[0].lines


def test_a_panel_shows_the_first_the_last_and_few_of_the_others():
    figure = panel_figure(column(np.random.default_rng(0).normal(size=(9, 2, 100))))
    assert len(figure.axes[0].lines) == 8
    assert [text.get_text() for text in figure.axes[0].texts] == ["100", "1"]


def test_sorted_returns_rise_and_the_20th_percentile_is_marked():
    scores = np.random.default_rng(0).normal(size=50)
    figure = distribution_figure(scores.tolist(), (scores + 9).tolist(), "first episode", "episode 2")
    curves = {len(line.get_xdata()): line for line in figure.axes[0].lines}
    assert (np.diff(curves[50].get_ydata()) >= 0).all()
    assert curves[1].get_ydata()[0] == np.quantile(scores, 0.2)


def test_equal_ends_are_drawn_once():
    figure = distribution_figure([1.0, 2.0], [1.0, 2.0], "first episode", "first episode")
    assert len(figure.axes[0].texts) == 2


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0, 50, 100], ["0", "50", "100"]),
        ([-0.02, 0.0, 0.02], ["−0.02", "0", "0.02"]),
        ([0.5, 0.75, 1.0], ["0.50", "0.75", "1.00"]),
        ([10_000, 20_000], ["10,000", "20,000"]),
        ([1.5e-5, 2e-5], ["1.5e−5", "2e−5"]),
        ([1e6, 2e6], ["1e6", "2e6"]),
        ([0.0], ["0"]),
        ([], []),
    ],
)
def test_ticks_have_as_many_decimals_as_tell_them_apart(ticks, labels):
    assert ValueFormatter().format_ticks(ticks) == labels
