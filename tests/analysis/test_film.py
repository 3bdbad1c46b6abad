import numpy as np
import pytest

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.analysis.canvas import COLOURS
from rl_meta.analysis.film import FRAMES, film_figure, film_of_run
from rl_meta.evaluation.watching import Watched
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.grid_navigation import GridNavigation, GridState, GridTask

GRID = GridNavigation()
TASK = GridTask(np.array([3, 1]))


def walk(number, steps=15):
    """An episode along the lower edge."""
    along = np.minimum(np.arange(steps + 1), 4)
    return Watched(GridState(np.stack([along, 0 * along], 1), np.arange(steps + 1)), np.full(steps, -0.1), number)


def test_every_episode_is_a_strip_from_its_first_state_to_its_last():
    figure = film_figure(GRID, TASK, [walk(1), walk(4, steps=5)])
    assert [words.get_text() for words in figure.texts] == ["Episode 1: return −1.50", "Episode 4: return −0.500"]
    assert len(figure.axes) == 2 * FRAMES
    assert [axes.get_xlabel() for axes in figure.axes[FRAMES:]] == [f"step {time}" for time in range(6)]
    agents = [axes.patches[-1] for axes in figure.axes]
    assert [agent.center[0] for agent in agents[FRAMES:]] == [0, 1, 2, 3, 4, 4]
    assert {agent.get_facecolor() for agent in agents} != {axes.patches[0].get_facecolor() for axes in figure.axes}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    family = GridNavigation(size=3, horizon=4)
    method = RL2(meta_batch_size=4, memory=4, encoder=(4,))
    return rl_meta.train(family, method, out=tmp_path_factory.mktemp("film") / "run", steps=64)


def test_the_report_of_a_run_shows_its_film_when_asked_to(run):
    assert "The first and the last episode in a new task" not in rl_meta.report(run).read_text()
    page = rl_meta.report(run, film=True).read_text()
    assert "The first and the last episode in a new task" in page
    assert COLOURS["series-2"] not in page[page.index("</style>") :]


def test_a_film_shows_the_first_and_the_last_episode(run):
    figure = film_of_run(run)
    assert [words.get_text().split(":")[0] for words in figure.texts] == ["Episode 1", "Episode 4"]


def test_a_run_whose_family_has_no_pictures_has_no_film(tmp_path):
    method = RL2(meta_batch_size=4, memory=4, encoder=(4,))
    run = rl_meta.train(Bandit(arms=2), method, out=tmp_path / "run", steps=40)
    assert film_of_run(run) is None
